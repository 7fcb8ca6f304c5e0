"""Every address of the server."""

from django.contrib import admin
from django.urls import include, path, re_path

from dadc_server.api import NoSuchCall
from dadc_server.web import probes

handler500 = "dadc_server.web.outages.failed"

urlpatterns = [
    path("healthz", probes.alive, name="alive"),
    path("readyz", probes.ready, name="ready"),
    path("metrics", probes.metrics, name="metrics"),
    path("admin/", admin.site.urls),
    path("accounts/", include("accounts.urls")),
    path("api/v1/", include("dadc_server.api_urls")),
    re_path("^api/", NoSuchCall.as_view()),
    path("", include("annotate.urls")),
    path("", include("validate.urls")),
    path("", include("scoring.urls")),
    path("", include("training.urls")),
    path("", include("releases.urls")),
    path("", include("crowd.urls")),
]
