"""What is made on a visit counts once the platform has confirmed it."""

from __future__ import annotations

from accounts.models import WorkSession
from annotate.facts import Receiver
from annotate.models import Example
from crowd.models import Visit


class Visits(Receiver):
    def arrives(self, example: Example) -> None:
        """Mark it, unless the visit is confirmed already (one query, for who came by a link)."""
        session = example.session
        if session is not None and session.kind == WorkSession.Kind.LINK:
            confirmed = Visit.objects.filter(session=session, state=Visit.State.CONFIRMED)
            example.provisional = not confirmed.exists()
