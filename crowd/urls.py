"""Addresses of links, and of the owners' pages about them."""

from django.urls import path

from crowd import owner_views, views

urlpatterns = [
    path("hit/hooks/prolific/", views.prolific_event, name="crowd-event"),
    path("hit/<slug:slug>/", views.link, name="crowd-link"),
    path("tasks/<slug:slug>/campaigns/", owner_views.campaigns, name="campaigns"),
    path("tasks/<slug:slug>/campaigns/<slug:name>/", owner_views.campaign, name="campaign"),
    path(
        "tasks/<slug:slug>/campaigns/<slug:name>/statement.csv",
        owner_views.statement,
        name="campaign-statement",
    ),
    path(
        "tasks/<slug:slug>/campaigns/<slug:name>/pay/<slug:batch>.csv",
        owner_views.pay_file,
        name="campaign-pay-file",
    ),
]
