"""What follows from signing in."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest

from accounts.models import User, WorkSession

SESSION_KEY = "work_session"  # its value is the id of a WorkSession


@receiver(user_logged_in)
def begin_visit(user: User, request: HttpRequest, **_: Any) -> None:
    """Begin a visit and keep its id in the session; what the guest before did stays the guest's."""
    if not hasattr(request, "session"):  # a script with a token has none
        return
    request.session.pop("guest", None)
    visit = WorkSession.objects.create(user=user, kind=WorkSession.Kind.LOCAL)
    request.session[SESSION_KEY] = str(visit.pk)
