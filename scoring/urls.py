"""Addresses of the boards, and of the owner's page on agreement."""

from django.urls import path

from scoring import owner_views, views

urlpatterns = [
    path("tasks/<slug:slug>/leaderboard/", views.leaderboard, name="leaderboard"),
    path("tasks/<slug:slug>/agreement/", owner_views.agreement, name="agreement"),
]
