"""Addresses of the annotator's pages."""

from django.urls import path

from annotate import owner_views, views

urlpatterns = [
    path("", views.home, name="home"),
    path("tasks/<slug:slug>/", views.task_page, name="task"),
    path("tasks/<slug:slug>/file/", owner_views.task_file, name="task-file"),
    path("tasks/<slug:slug>/contexts/", owner_views.contexts, name="contexts"),
    path("tasks/<slug:slug>/contexts/offer/", owner_views.offer, name="contexts-offer"),
    path("me/work/", views.my_work, name="my_work"),
    path("me/work/data.jsonl", views.my_data, name="my_data"),
    path("me/work/<uuid:uid>/retract/", views.retract, name="retract"),
]
