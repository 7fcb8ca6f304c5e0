"""How a visit's page shows who it is where cookies may be blocked: a token in its calls, and for
the socket, whose handshake takes no header from a page, a ticket that is good once: the first
comes with the page."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import UUID

from django.core.cache import cache
from django.db import DatabaseError
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts.models import User
from core.bridge import in_database_thread
from core.errors import Refused
from crowd import queries, statements
from crowd.models import Visit

SCHEME: Final = "Visit"
TICKET_SECONDS: Final = 60
_TICKET: Final = re.compile(r"[\w-]{32}", re.ASCII)  # others are no keys of every cache
OVER: Final = 4401
LOOK_EVERY: Final = 2.0

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def open_visit(token: str) -> Visit:
    """The visit that a page's token was made for; Refused, with what to do, when it is over or was
    opened elsewhere since."""
    visit, newest = queries.visit_of(token)
    if visit is None:
        raise AuthenticationFailed("Open your link again.")
    if visit.state != Visit.State.OPEN:
        raise Refused("visit_over", "This visit is over: open your link to see how.", status=409)
    if not newest:
        raise Refused(
            "opened_elsewhere",
            "This work is open in another window or on another device: go on there, or open your "
            "link again to go on here.",
            status=409,
        )
    return visit


class VisitAuthentication(BaseAuthentication):
    """`Authorization: Visit …`, as long as the visit is open. No cookie is looked at, so that no
    other site's page can call with it."""

    def authenticate(self, request: Request) -> tuple[User, Visit] | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != SCHEME.lower():
            return None
        visit = open_visit(token)
        user = queries.user_of(visit)
        if not user.may_sign_in:
            raise AuthenticationFailed("This account is closed or banned.")
        return user, visit

    def authenticate_header(self, request: Request) -> str:
        return SCHEME


class VisitScheme(OpenApiAuthenticationExtension):
    """The same, as the OpenAPI schema describes it."""

    target_class = "crowd.passes.VisitAuthentication"
    name = "visit"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Visit` and the token in the page of somebody who came by a link.",
        }


# --- sockets --------------------------------------------------------------------------------------
def new_ticket(visit: Visit) -> str:
    ticket = secrets.token_urlsafe(24)
    cache.set(f"visit-ticket-{ticket}", (str(visit.pk), visit.token), TICKET_SECONDS)
    return ticket


def _redeem(ticket: str) -> Visit | None:
    """The visit that a ticket was made for; the first to come has it."""
    key = f"visit-ticket-{ticket}"
    found = cache.get(key)
    if found is None or not cache.delete(key):
        return None
    visit = statements.visit(UUID(found[0]))
    if visit is None or (visit.token, visit.state) != (found[1], Visit.State.OPEN):
        return None
    return visit if visit.worker.user.may_sign_in else None


def _goes_on(visit: Visit) -> bool:
    try:
        here = Visit.objects.filter(pk=visit.pk, state=Visit.State.OPEN, token=visit.token)
        return here.exists()
    except DatabaseError:  # away for a moment: nothing is known against it
        return True


class VisitTicket:
    """Open a socket for the person on a visit, whoever else this browser is signed in as.

    It ends with the visit, or when that is opened elsewhere: it is looked at as frames come, every
    two seconds at most, and by what is submitted each time (`crowd.receivers`).
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> Any:
        tickets = parse_qs(scope.get("query_string", b"").decode("latin1")).get("ticket", [])
        if not tickets:
            return await self.inner(scope, receive, send)
        ticket = tickets[0]
        known = _TICKET.fullmatch(ticket)
        visit = await in_database_thread(_redeem, ticket) if known else None
        if visit is None:
            await receive()
            await send({"type": "websocket.close", "code": OVER})
            return None
        seen = monotonic()

        async def receive_while_it_goes_on() -> dict[str, Any]:
            nonlocal seen
            message = await receive()
            if message["type"] == "websocket.receive" and monotonic() - seen >= LOOK_EVERY:
                seen = monotonic()
                if not await in_database_thread(_goes_on, visit):
                    await send({"type": "websocket.close", "code": OVER})
                    return {"type": "websocket.disconnect", "code": OVER}
            return message

        scope = {**scope, "user": queries.user_of(visit), "session": {}}
        return await self.inner(scope, receive_while_it_goes_on, send)
