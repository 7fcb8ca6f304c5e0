"""Sessions in the database, as Django's, read by a statement that is built once."""

from __future__ import annotations

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.utils import timezone

from accounts import statements


class SessionStore(db.SessionStore):
    """Every request and every websocket begins with this one read."""

    def _get_session_from_db(self) -> Session | None:
        session = statements.open_session(self.session_key, timezone.now())
        if session is None:
            self._session_key = None
        return session
