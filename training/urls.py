"""Addresses of the owner's training page."""

from django.urls import path

from training import views

urlpatterns = [
    path("tasks/<slug:slug>/training/", views.training_page, name="training"),
    path("tasks/<slug:slug>/training/live/", views.live_part, name="training_live"),
    path("tasks/<slug:slug>/training/start/", views.start, name="training_start"),
    path("tasks/<slug:slug>/training/serve/<int:number>/", views.serve, name="training_serve"),
]
