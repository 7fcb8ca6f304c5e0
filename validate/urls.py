"""Addresses of the validator's pages."""

from django.urls import path

from validate import views

urlpatterns = [
    path("validate/", views.home, name="validate-home"),
    path("validate/<slug:slug>/", views.validate, name="validate"),
    path("validate/<slug:slug>/look-again/", views.look_again, name="validate-look-again"),
]
