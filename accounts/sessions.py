"""Sessions in the database, as Django's, read by a statement that is built once."""

from __future__ import annotations

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.utils import timezone

from core.sql.compiled import Compiled, Given

_OPEN = Compiled(
    lambda: Session.objects.filter(session_key=Given("key"), expire_date__gt=Given("now"))
)


class SessionStore(db.SessionStore):
    """Every request and every websocket begins with this one read."""

    def _get_session_from_db(self) -> Session | None:
        session = _OPEN.first(key=self.session_key, now=timezone.now())
        if session is None:
            self._session_key = None
        return session
