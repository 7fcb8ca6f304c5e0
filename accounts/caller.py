"""Who asks: one function for pages, REST calls and the admin site."""

from __future__ import annotations

from typing import Any

from accounts.models import User


def person(request: Any) -> User:
    """The person who asks, of Django or REST framework, where no guest is let in."""
    assert isinstance(request.user, User)
    return request.user
