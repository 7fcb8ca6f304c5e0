"""The model says nothing about what somebody is judging, at any door, to anybody but its author."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import Event, User
from accounts.services import create_token
from annotate import judged
from annotate.models import Example, Task
from core import doors
from tests import acts, cast
from tests.annotate.test_consumer import page
from validate.acts.gold import load_gold
from validate.models import Lease

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = "/api/v1/tasks/digits/predictions/"


def client_of(user: User | None) -> APIClient:
    client = APIClient()
    if user is not None:
        client.credentials(HTTP_AUTHORIZATION=f"Token {create_token(user=user)}")
    return client


@pytest.fixture
def ask(settings: Any) -> Callable[[User | None, object], str]:
    """Ask the model over REST; the code of a refusal, or ""."""
    settings.LIMITS = doors.OFF
    clients: dict[User | None, APIClient] = {}

    def ask(user: User | None, input: object) -> str:
        client = clients.setdefault(user, client_of(user))
        answer = client.post(ADDRESS, {"input": input}, format="json").json()
        return str(answer.get("error", {}).get("code", ""))

    return ask


def test_nobody_but_its_author_may_ask_about_what_is_judged(
    task: Task, annotator: User, other_annotator: User, validator: User, ask: Any
) -> None:
    example = cast.submission(task, annotator)
    assert ask(validator, example.input) == "", "nobody judges it yet"
    lease = cast.lease_for(validator, task)
    assert lease.example == example

    assert ask(validator, example.input) == "being_judged"
    assert ask(validator, cast.drawing(2)) == ""
    assert ask(other_annotator, example.input) == "being_judged"
    assert ask(None, example.input) == "being_judged"
    assert ask(annotator, example.input) == ""

    asked = Event.objects.filter(verb="asked_about_judged", object_id=str(example.pk))
    assert list(asked.order_by("id").values_list("actor__username", "data__holds_it")) == [
        ("vera", True),
        ("bert", False),
        (None, False),
    ]


def test_whoever_goes_on_asking_is_recorded_once_a_minute(
    task: Task, annotator: User, validator: User, ask: Any
) -> None:
    example = cast.submission(task, annotator)
    cast.lease_for(validator, task)
    for _ in range(5):
        assert ask(validator, example.input) == "being_judged"
    assert Event.objects.filter(verb="asked_about_judged").count() == 1


def test_gold_is_no_exception(
    task: Task, owner: User, annotator: User, validator: User, ask: Any
) -> None:
    line = json.dumps({"input": cast.drawing(7), "answer": "3"}).encode()
    load_gold(actor=owner, task=task, lines=[line])
    gold = Example.objects.get()
    Lease.objects.create(
        example=gold, validator=validator, gold=True, expires_at=timezone.now() + timedelta(hours=1)
    )
    assert ask(validator, gold.input) == "being_judged"


@pytest.mark.parametrize("given_back", ["released", "skipped", "voted", "left"])
def test_whoever_had_it_may_not_ask_for_an_hour(
    task: Task, annotator: User, other_annotator: User, validator: User, ask: Any, given_back: str
) -> None:
    example = cast.submission(task, annotator)
    lease = cast.lease_for(validator, task)
    if given_back == "voted":
        acts.vote(validator=validator, lease_id=lease.pk, label="3")
    else:
        acts.release(validator=validator, lease_id=lease.pk, skip=given_back == "skipped")
    if given_back == "left":  # and may validate no more, as on another visit
        User.objects.filter(pk=validator.pk).update(role="annotator")
    judged.forget()  # as after a second

    assert ask(validator, example.input) == "being_judged"
    assert ask(other_annotator, example.input) == ""

    Lease.objects.update(created_at=timezone.now() - timedelta(hours=2))
    judged.forget()
    assert ask(validator, example.input) == ""


def test_what_another_process_leases_is_known_within_a_second(
    task: Task, annotator: User, validator: User, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = cast.submission(task, annotator)
    monkeypatch.setattr(judged, "begins", lambda *_: None)
    assert ask(None, example.input) == ""
    cast.lease_for(validator, task)
    monkeypatch.setattr(judged, "MAX_AGE", 0.0)
    assert ask(None, example.input) == "being_judged"


def test_practising_tells_no_more(
    task: Task, annotator: User, validator: User, settings: Any
) -> None:
    """A guest's submission counts nowhere, but its answer tells the prediction."""
    settings.LIMITS = doors.OFF
    example = cast.submission(task, annotator)
    cast.lease_for(validator, task)
    guest = client_of(None)
    guest.get("/tasks/digits/")
    answer = guest.post(
        "/api/v1/tasks/digits/examples/",
        {"client_id": str(uuid.uuid4()), "input": example.input, "label": "3"},
        format="json",
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "being_judged")
    assert Example.objects.count() == 1


async def test_an_open_page_is_told_so_too(task: Task, annotator: User, validator: User) -> None:
    example = await sync_to_async(cast.submission)(task, annotator)
    async with page(task, validator) as opened:
        await opened.receive("ready")
        await opened.send(type="predict", seq=1, input=example.input)
        await opened.receive("prediction")
        await sync_to_async(cast.lease_for)(validator, task)
        await opened.send(type="predict", seq=2, input=example.input)
        told = await opened.receive("error")
        assert (told["seq"], told["code"]) == (2, "being_judged")
        await opened.send(type="predict", seq=3, input=cast.drawing(2))
        await opened.receive("prediction")
    events = Event.objects.filter(verb="asked_about_judged")
    assert await sync_to_async(events.count)() == 1
