"""Addresses of the owner's training page, and of the page that compares models."""

from django.urls import path

from training import (
    board_views,
    judge_views,
    region_views,
    rehearsal_views,
    robustness_views,
    round_views,
    run_views,
    views,
)

urlpatterns = [
    path("tasks/<slug:slug>/compare/", board_views.comparison_page, name="comparison"),
    path("tasks/<slug:slug>/compare/evaluate/", board_views.evaluate, name="evaluate"),
    path("tasks/<slug:slug>/compare/changed/", board_views.changed, name="changed"),
    path(
        "tasks/<slug:slug>/compare/<slug:name>.<slug:form>",
        board_views.comparison_plot,
        name="comparison-plot",
    ),
    path(
        "tasks/<slug:slug>/models/<int:number>/robustness/",
        robustness_views.robustness_page,
        name="robustness",
    ),
    path(
        "tasks/<slug:slug>/models/<int:number>/robustness.json",
        robustness_views.robustness_file,
        name="robustness-file",
    ),
    path("tasks/<slug:slug>/judges/", judge_views.judges_page, name="judges"),
    path("tasks/<slug:slug>/judges/add/", judge_views.add, name="judge_add"),
    path("tasks/<slug:slug>/judges/ask/", judge_views.ask, name="judges_ask"),
    path("tasks/<slug:slug>/judges/<int:number>/test/", judge_views.put_to_test, name="judge_test"),
    path("tasks/<slug:slug>/judges/<int:number>/demote/", judge_views.demote, name="judge_demote"),
    path("tasks/<slug:slug>/regions/", region_views.regions_page, name="regions"),
    path("tasks/<slug:slug>/regions/coverage/", region_views.coverage_page, name="coverage"),
    path("tasks/<slug:slug>/regions/find/", region_views.find, name="regions_find"),
    path("tasks/<slug:slug>/regions/ask/", region_views.ask, name="regions_ask"),
    path("tasks/<slug:slug>/regions/hints/", region_views.hints, name="region_hints"),
    path("tasks/<slug:slug>/regions/<int:region>/name/", region_views.name, name="region_name"),
    path("tasks/<slug:slug>/training/", views.training_page, name="training"),
    path("tasks/<slug:slug>/training/live/", views.live_part, name="training_live"),
    path("tasks/<slug:slug>/training/start/", views.start, name="training_start"),
    path("tasks/<slug:slug>/training/stop/", views.stop, name="training_stop"),
    path("tasks/<slug:slug>/training/serve/<int:number>/", views.serve, name="training_serve"),
    path(
        "tasks/<slug:slug>/training/rounds/<int:number>/",
        round_views.round_rules,
        name="training_round",
    ),
    path("tasks/<slug:slug>/training/runs/<int:number>/", run_views.run_page, name="training_run"),
    path(
        "tasks/<slug:slug>/training/runs/<int:number>/choose/",
        run_views.choose,
        name="training_choose",
    ),
    path("tasks/<slug:slug>/training/rehearsals/", rehearsal_views.newest, name="rehearsals"),
    path(
        "tasks/<slug:slug>/training/rehearsals/<int:number>/",
        rehearsal_views.rehearsal_page,
        name="rehearsal",
    ),
    path(
        "tasks/<slug:slug>/training/rehearsals/<int:number>/<slug:name>.<slug:form>",
        rehearsal_views.rehearsal_plot,
        name="rehearsal-plot",
    ),
]
