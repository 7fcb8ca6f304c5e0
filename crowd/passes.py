"""How a visit's page shows who it is where cookies may be blocked: a token in its calls, and for
the socket, whose handshake takes no header from a page, a ticket that is good once."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import UUID

from django.core.cache import cache
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts.models import User
from core.bridge import in_database_thread
from core.errors import Refused
from crowd import queries
from crowd.models import Visit

SCHEME: Final = "Visit"
TICKET_SECONDS: Final = 60


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
    cache.set(f"visit-ticket-{ticket}", str(visit.pk), TICKET_SECONDS)
    return ticket


def _redeem(ticket: str) -> User | None:
    """The person on the visit that a ticket was made for; the first to come has it."""
    key = f"visit-ticket-{ticket}"
    visit_id = cache.get(key)
    if visit_id is None or not cache.delete(key):
        return None
    visit = queries.visits().filter(pk=UUID(visit_id), state=Visit.State.OPEN).first()
    user = queries.user_of(visit) if visit is not None else None
    return user if user is not None and user.may_sign_in else None


class VisitTicket:
    """Open a socket for the person on a visit, whoever else this browser is signed in as."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(
        self, scope: dict[str, Any], receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> Any:
        tickets = parse_qs(scope.get("query_string", b"").decode("latin1")).get("ticket", [])
        if tickets:
            ticket = tickets[0]
            known = ticket.isascii() and ticket.isprintable() and len(ticket) < 100
            user = await in_database_thread(_redeem, ticket) if known else None
            if user is None:
                await receive()
                await send({"type": "websocket.close", "code": 4401})
                return None
            scope = {**scope, "user": user, "session": {}}
        return await self.inner(scope, receive, send)
