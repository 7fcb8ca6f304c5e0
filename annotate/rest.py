"""What the REST calls of every app share: who calls, how often they may, and which task it is."""

from __future__ import annotations

import uuid
from functools import cache
from typing import Any

from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.serializers import Serializer

from accounts.models import User, WorkSession
from accounts.receivers import SESSION_KEY
from accounts.services import guest_session
from annotate.models import Task
from annotate.queries import Participant, visible_task
from core.addresses import address_of
from core.errors import Refused
from core.limits import Passage


class TooManyRequests(Refused):
    """This person, or this address, has to wait `retry_ms`."""

    def __init__(self, seconds: float) -> None:
        super().__init__("too_many_requests", "That was too fast: wait a moment.", status=429)
        self.retry_ms = int(seconds * 1000) + 1


def pass_door(door: str, request: Request, person: str = "") -> Passage:
    """Count one passage of this person and of their address; TooManyRequests when one has had its
    share."""
    passage = Passage(door, person=person, address=address_of(request))
    if wait := passage.wait():
        raise TooManyRequests(wait)
    return passage


def signed_in(request: Request) -> User | None:
    """The person who calls, None for a guest."""
    return request.user if isinstance(request.user, User) else None


def participant_of(request: Request) -> Participant:
    """Who submits: the account, or the guest whose visit the task's page began."""
    user = signed_in(request)
    if user is not None and user.by_link is not None:
        return Participant(user=user, session=user.by_link.session)
    if user is not None:
        visit = request.session.get(SESSION_KEY) if request.auth is None else None
        return Participant(user=user, session=WorkSession(pk=uuid.UUID(visit)) if visit else None)
    guest = request.session.get("guest")
    if guest is None:
        raise NotAuthenticated("Sign in, or open the task's page first.")
    return Participant(session=guest_session(uuid.UUID(guest)))


def task_or_404(request: Request, slug: str) -> Task:
    """The task if the caller may see it."""
    task = visible_task(request.user, slug)
    if task is None or task.config is None:
        raise Refused("not_found", "There is no such task.", status=404)
    return task


def checked(serializer: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    """The body's known fields, checked; what else was sent is ignored."""
    return dict(shared(serializer).run_validation(request.data))


def asked(serializer: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    """The query's known parameters, checked; a blank one is as good as none."""
    given = {name: value for name, value in request.query_params.items() if value}
    return dict(shared(serializer).run_validation(given))


@cache
def shared(serializer: type[Serializer[Any]]) -> Serializer[Any]:
    """The one of its kind, to read and to show with: making one copies all of its fields.

    Neither `run_validation` nor `to_representation` changes anything in it, so threads share it.
    """
    return serializer(error_messages={"null": "The body is null: an object is needed."})
