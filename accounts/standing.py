"""Whether people who were let in may still be there: asked for many at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.sessions.models import Session
from knox.models import AuthToken

from accounts.models import User


@dataclass(frozen=True)
class Ticket:
    """How somebody came in: their session as it was then, or a token.

    `since` is the password's hash and how often they had signed out everywhere.
    """

    user_id: int
    since: tuple[str, int]
    session_key: str | None = None
    token: str | None = None


def ticket_of(user: User, *, session_key: str | None, token: str | None) -> Ticket:
    since = (user.password, user.sessions_ended)
    return Ticket(user.pk, since, None if token else session_key, token)


def void_tickets(tickets: Iterable[Ticket]) -> set[Ticket]:
    """Those whose bearers were banned, closed their account, changed the password or signed out,
    or whose token was revoked; at most three queries for any number."""
    tickets = set(tickets)
    users = {
        user.pk: user
        for user in User.objects.filter(pk__in={ticket.user_id for ticket in tickets})
        if user.may_sign_in
    }
    session_keys = {ticket.session_key for ticket in tickets if ticket.session_key}
    tokens = {ticket.token for ticket in tickets if ticket.token}
    if session_keys:
        found = Session.objects.filter(session_key__in=session_keys)
        session_keys -= set(found.values_list("session_key", flat=True))
    if tokens:
        tokens -= set(AuthToken.objects.filter(digest__in=tokens).values_list("digest", flat=True))

    def void(ticket: Ticket) -> bool:
        user = users.get(ticket.user_id)
        if user is None:
            return True
        if ticket.token:
            return ticket.token in tokens
        changed = (user.password, user.sessions_ended) != ticket.since
        return changed or ticket.session_key in session_keys

    return {ticket for ticket in tickets if void(ticket)}
