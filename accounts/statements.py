"""What every request, submission and vote waits for, built once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.contrib.sessions.models import Session

from accounts.models import Event, User
from core.sql import compiled
from core.sql.compiled import Compiled, Given

_PERSON = Compiled(lambda: User.objects.filter(pk=Given("user")))
_OPEN_SESSION = Compiled(
    lambda: Session.objects.filter(session_key=Given("key"), expire_date__gt=Given("now"))
)


def person(user_id: int) -> User | None:
    return _PERSON.first(user=user_id)


def open_session(key: str | None, now: datetime) -> Session | None:
    """The session with this key that has not run out."""
    return _OPEN_SESSION.first(key=key, now=now)


def add_events(events: Sequence[Event]) -> None:
    """Insert Events without reading their keys: nobody asks for them."""
    compiled.insert_all(events, keys=False)
