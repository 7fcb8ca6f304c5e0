"""Addresses of releases."""

from django.urls import path

from releases import views

urlpatterns = [
    path("tasks/<slug:slug>/releases/", views.page, name="releases"),
    path("tasks/<slug:slug>/releases/theirs/", views.theirs, name="releases-theirs"),
    path("tasks/<slug:slug>/releases/live/", views.live_part, name="releases-live"),
    path("tasks/<slug:slug>/releases/start/", views.start, name="releases-start"),
    path("tasks/<slug:slug>/releases/personal/", views.decide, name="releases-personal"),
    path("tasks/<slug:slug>/releases/<str:version>/open/", views.open_to, name="release-open"),
    path("tasks/<slug:slug>/releases/<str:version>/download/", views.download, name="release"),
    path(
        "tasks/<slug:slug>/releases/<str:version>/files/<path:name>",
        views.download_file,
        name="release-file",
    ),
]
