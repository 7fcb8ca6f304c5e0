"""What is made on a visit counts once the platform has confirmed it."""

from __future__ import annotations

from accounts.models import WorkSession
from annotate.facts import Receiver
from annotate.models import Example
from core.errors import Conflict
from crowd.models import Visit


class Visits(Receiver):
    def arrives(self, example: Example) -> None:
        """Mark what is made on a visit (one query); Conflict when that is over: a page may not
        have noticed yet."""
        session = example.session
        if session is not None and session.kind == WorkSession.Kind.LINK:
            if not Visit.objects.filter(session=session, state=Visit.State.OPEN).exists():
                raise Conflict("visit_over", "This visit is over: open your link to see how.")
            example.provisional = True
