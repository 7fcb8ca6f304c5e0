"""Addresses of the validator's pages, and of the owner's inbox."""

from django.urls import path

from validate import owner_views, views

urlpatterns = [
    path("validate/", views.home, name="validate-home"),
    path("validate/<slug:slug>/", views.validate, name="validate"),
    path("validate/<slug:slug>/look-again/", views.look_again, name="validate-look-again"),
    path("tasks/<slug:slug>/inbox/", owner_views.inbox, name="inbox"),
    path("tasks/<slug:slug>/inbox/decide/", owner_views.decide, name="inbox-decide"),
    path("tasks/<slug:slug>/inbox/take-back/", owner_views.take_back, name="inbox-take-back"),
    path("tasks/<slug:slug>/inbox/<uuid:uid>/", owner_views.case, name="inbox-case"),
    path("tasks/<slug:slug>/inbox/<uuid:uid>/similar/", owner_views.similar, name="inbox-similar"),
]
