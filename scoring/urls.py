"""Addresses of the boards."""

from django.urls import path

from scoring import views

urlpatterns = [
    path("tasks/<slug:slug>/leaderboard/", views.leaderboard, name="leaderboard"),
]
