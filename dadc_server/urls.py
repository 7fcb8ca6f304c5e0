"""Every address of the server."""

from django.contrib import admin
from django.urls import include, path

from dadc_server import health

urlpatterns = [
    path("healthz", health.alive, name="alive"),
    path("readyz", health.ready, name="ready"),
    path("admin/", admin.site.urls),
    path("accounts/", include("accounts.urls")),
    path("", include("annotate.urls")),
]
