"""Addresses of the owner's training page, and of the page that compares models."""

from django.urls import path

from training import board_views, region_views, rehearsal_views, views

urlpatterns = [
    path("tasks/<slug:slug>/compare/", board_views.comparison_page, name="comparison"),
    path("tasks/<slug:slug>/compare/evaluate/", board_views.evaluate, name="evaluate"),
    path(
        "tasks/<slug:slug>/compare/<slug:name>.<slug:form>",
        board_views.comparison_plot,
        name="comparison-plot",
    ),
    path("tasks/<slug:slug>/regions/", region_views.regions_page, name="regions"),
    path("tasks/<slug:slug>/regions/find/", region_views.find, name="regions_find"),
    path("tasks/<slug:slug>/regions/<int:region>/name/", region_views.name, name="region_name"),
    path("tasks/<slug:slug>/training/", views.training_page, name="training"),
    path("tasks/<slug:slug>/training/live/", views.live_part, name="training_live"),
    path("tasks/<slug:slug>/training/start/", views.start, name="training_start"),
    path("tasks/<slug:slug>/training/serve/<int:number>/", views.serve, name="training_serve"),
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
