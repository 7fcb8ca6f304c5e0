"""The admin site as a place for curation: permission in each query, nothing edited by hand."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse


class CurationSite(AdminSite):
    """Django's admin with this server's sign-in, and only with pages that are made for it.

    Pages that packages bring (tokens, second factors, groups) ask for no role and would show
    secrets: `register` leaves out every class that has no `viewer_role` (accounts/curation.py).
    """

    site_title = site_header = "DADC Server"
    index_title = "Curation"
    enable_nav_sidebar = False

    def register(
        self, model_or_iterable: Any, admin_class: type[Any] | None = None, **options: Any
    ) -> None:
        if hasattr(admin_class, "viewer_role"):
            super().register(model_or_iterable, admin_class, **options)

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Send to the site's sign-in: it knows the second factor and counts attempts."""
        if request.user.is_authenticated:
            return HttpResponseRedirect(
                reverse("admin:index") if self.has_permission(request) else reverse("home")
            )
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))

    def password_change(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return HttpResponseRedirect(reverse("account_change_password"))
