"""Addresses of the boards, and of the owner's page on agreement."""

from django.urls import path

from scoring import model_views, owner_views, round_views, views

urlpatterns = [
    path("tasks/<slug:slug>/leaderboard/", views.leaderboard, name="leaderboard"),
    path("tasks/<slug:slug>/rounds/<int:number>/", round_views.round_page, name="round"),
    path(
        "tasks/<slug:slug>/rounds/<int:number>/<slug:name>.<slug:form>",
        round_views.round_plot,
        name="round-plot",
    ),
    path(
        "tasks/<slug:slug>/rounds/<int:number>/foolings/",
        round_views.round_foolings,
        name="round-foolings",
    ),
    path("tasks/<slug:slug>/agreement/", owner_views.agreement, name="agreement"),
    path("tasks/<slug:slug>/models/", model_views.models_page, name="models"),
    path("tasks/<slug:slug>/models/<int:number>/", model_views.model_page, name="model"),
    path("tasks/<slug:slug>/models/<int:number>/retire/", model_views.retire, name="model_retire"),
]
