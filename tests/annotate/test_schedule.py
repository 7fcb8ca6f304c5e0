"""Rounds that open and close by the clock and by what they have, and what people are told then."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import Event, User
from annotate import services, submissions
from annotate.models import Example, Round, Task
from annotate.queries import Participant, Target, open_target
from annotate.rounds import change_target, open_next_round, retire_model
from annotate.schedule import change_round, follow_the_clock
from annotate.sections import Rounds
from core.errors import Conflict, Refused
from core.transactions import durable
from tests import cast
from tests.acts import adjudicate

NOW = datetime(2030, 5, 6, 12, tzinfo=UTC)
DAY = timedelta(days=1)
API = "/api/v1/tasks/digits/"
pytestmark = pytest.mark.django_db


def refused(call: Callable[[], Any]) -> Refused:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value


def command(*words: str) -> Any:
    output = StringIO()
    call_command("open_round", "digits", *words, "--json", stdout=output)
    return json.loads(output.getvalue().splitlines()[-1])


def next_round(task: Task, **rules: Any) -> Round:
    model = cast.fixed_model(task, task.models.count())
    with durable():
        return open_next_round(task=task, models=[model], rules=Rounds(**rules))


def sent(task: Task, author: User, target: Target | None = None) -> Any:
    return submissions.submit(
        participant=Participant(user=author),
        task_id=task.pk,
        client_id=uuid.uuid4(),
        input=cast.drawing(99),
        label="3",
        target=target,
    )


def verified(example: Example, owner: User) -> None:
    adjudicate(actor=owner, example_id=example.pk, status="verified", reason="It is one.")


def test_a_window_opens_and_closes_by_the_clock(owner: User, annotator: User) -> None:
    task = cast.digits_task(owner)
    with time_machine.travel(NOW, tick=False) as clock:
        draft = next_round(task, opens_at=NOW + DAY, closes_at=NOW + 2 * DAY, retraction="never")
        assert (draft.number, draft.status) == (2, "draft")
        assert cast.submission(task, annotator, 1).round.number == 1, "the first goes on"
        with pytest.raises(IntegrityError, match=r"UNIQUE|one_scheduled"), transaction.atomic():
            Round.objects.create(task=task, number=9, status="draft", opens_at=NOW + DAY)
        # An owner steps back meanwhile: what is scheduled comes after that.
        change_target(actor=owner, task=task, model=cast.fixed_model(task, 7), reason="Worse.")
        assert list(task.rounds.order_by("number").values_list("number", "status")) == [
            (1, "closed"), (2, "open"), (3, "draft"),
        ]  # fmt: skip
        model = draft.targets.get()
        with pytest.raises(Conflict, match="or the next"):
            retire_model(actor=owner, task=task, model=model, reason="Old.")
        clock.shift(DAY)
        follow_the_clock()
        opened = task.rounds.get(status="open")
        assert (opened.number, opened.targets.get(), opened.opened_at) == (3, model, NOW + DAY)
        example = cast.submission(task, annotator, 2)
        clock.shift(DAY)
        said = refused(lambda: sent(task, annotator))
        assert said.code == "no_open_round", "before anybody has closed it"
        follow_the_clock()
        assert set(task.rounds.values_list("status", flat=True)) == {"closed"}
        kept = refused(
            lambda: services.retract(participant=Participant(user=annotator), uid=example.uid)
        )
        assert kept.message == "In round 3 nothing can be taken back: what is sent counts."
        last, before = Event.objects.filter(verb__in=["opened", "closed"]).order_by("-id")[:2]
        assert (before.data["number"], last.data["reason"]) == (3, "Its time is over.")


def test_what_people_are_told_at_each_door(
    client: Client, owner: User, annotator: User, other_annotator: User
) -> None:
    rules = {"submissions": 4, "submissions_each": 2, "verified_each": 1, "retraction": "never"}
    task = cast.digits_task(owner, rounds=rules)
    client.force_login(annotator)
    page = client.get("/tasks/digits/").content.decode()
    for words in (
        "It takes 4 submissions in all.",
        "The first 2 that you send count, and no more are taken.",
        "With 1 verified foolings you are done.",
        "Nothing can be taken back.",
    ):
        assert words in page
    caller = APIClient()
    caller.force_authenticate(annotator)
    example = cast.submission(task, annotator, 1)
    cast.submission(task, annotator, 2, fooled=False)

    def send(seed: int) -> Any:
        body = {"client_id": str(uuid.uuid4()), "input": cast.drawing(seed), "label": "3"}
        return caller.post(f"{API}examples/", body, format="json")

    answer = send(3)
    assert answer.status_code == 409
    assert answer.json()["error"] == {
        "code": "quota_reached",
        "message": "You have sent 2 in round 1, as many as one person may.",
    }
    answer = caller.post(f"/api/v1/examples/{example.uid}/retract/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_retractable")
    work = client.get("/me/work/").content.decode()
    assert "Take back" not in work
    assert "nothing can be taken back" in work
    asked = client.get(f"/me/work/{example.uid}/retract/").content.decode()
    assert "nothing can be taken back" in asked
    assert "Take it back" not in asked
    assert client.post(f"/me/work/{example.uid}/retract/").status_code == 302
    example.refresh_from_db()
    assert example.retracted_at is None
    caller.force_authenticate(other_annotator)
    verified(cast.submission(task, other_annotator, 4), owner)
    answer = send(5)
    assert (
        answer.json()["error"]["message"]
        == "You have 1 verified foolings in round 1: you are done."
    )
    third = cast.person("tess")
    cast.submission(task, third, 6)
    caller.force_authenticate(third)
    assert "has its 4 submissions" in send(7).json()["error"]["message"]
    follow_the_clock()
    assert task.rounds.get().status == "closed"
    # Erasure is a right of its own.
    services.retract(participant=Participant(user=annotator), uid=example.uid, erases=True)


def test_a_round_is_planned_and_changed_over_rest_by_page_and_by_command(
    client: Client, owner: User, annotator: User
) -> None:
    task = cast.digits_task(owner, rounds={"retraction": "while_open", "submissions_each": 50})
    model = cast.fixed_model(task, 1)
    caller = APIClient()
    caller.force_authenticate(owner)
    with time_machine.travel(NOW, tick=False) as clock:
        body = {
            "model": model.name,
            "reason": "A shared task.",
            "opens_at": (NOW + DAY).isoformat(),
        }
        planned = caller.post(f"{API}rounds/", body, format="json")
        assert planned.status_code == 201, planned.content
        told = planned.json()
        assert (told["round"], told["status"], told["models"]) == (2, "draft", [model.name])
        assert (told["rules"]["retraction"], told["rules"]["submissions_each"]) == (
            "while_open",
            50,
        )
        bad = caller.patch(
            f"{API}rounds/2/", {"reason": "No.", "closes_at": NOW.isoformat()}, format="json"
        )
        assert bad.json()["error"]["code"] == "bad_rules"
        assert "must open before it closes" in bad.json()["error"]["message"]

        client.force_login(owner)
        address = "/tasks/digits/training/rounds/2/"
        assert "2030-05-07T12:00" in client.get(address).content.decode()
        sent = {"opens_at": "2030-05-07T12:00", "closes_at": "2030-05-09T18:00", "verified": "200"}
        short = client.post(
            address, {**sent, "retraction": "never", "verified": "0", "reason": "x"}
        )
        assert short.status_code == 400
        assert "greater than or equal to 1" in short.content.decode()
        answer = client.post(address, {**sent, "retraction": "never", "reason": "As announced."})
        assert answer.status_code == 302
        draft = task.rounds.get(number=2)
        assert draft.closes_at == datetime(2030, 5, 9, 18, tzinfo=UTC)
        assert draft.rules == {"verified": 200, "retraction": "never"}
        assert "Round 2 opens on" in client.get("/tasks/digits/training/").content.decode()

        task.rounds.filter(number=1).update(status="closed")
        page = client.get("/tasks/digits/").content.decode()
        assert "round 2 opens on 7 May 2030 at 12:00 UTC" in page
        now = command("--change", "2", "--opens-at", NOW.isoformat())
        assert (now["status"], now["rules"]["verified"]) == ("open", 200)
        shown = caller.get(f"{API}rounds/").json()["rounds"][0]
        assert (shown["status"], shown["rules"]["verified"]) == ("open", 200)
        example = cast.submission(task, annotator, 1)
        verified(example, owner)
        caller.patch(f"{API}rounds/2/", {"reason": "Enough.", "verified": 1}, format="json")
        follow_the_clock()
        assert task.rounds.get(number=2).status == "closed"
        closed = caller.patch(f"{API}rounds/2/", {"reason": "More.", "verified": 9}, format="json")
        assert (closed.status_code, closed.json()["error"]["code"]) == (409, "round_closed")

        begun = command("--submissions-each", "none")
        assert begun == {"round": 3, "status": "open", "rules": {"retraction": "while_open"}}
        mine = cast.submission(task, annotator, 2)
        assert command("--close", "3", "--reason", "The end.")["status"] == "closed"
        said = refused(
            lambda: services.retract(participant=Participant(user=annotator), uid=mine.uid)
        )
        assert said.message == "Round 3 is over: what was sent in it stays."
        # The promotion page opens a round under rules, too; what is scheduled is taken off again.
        promoted = client.post(
            f"/tasks/digits/training/serve/{model.number}/",
            {"reason": "Again.", "retraction": "always", "opens_at": "2030-05-08T00:00"},
        )
        assert promoted.status_code == 302
        assert task.rounds.get(status="draft").number == 4
        off = change_round(task=task, number=4, changes={"opens_at": None}, reason="Not now.")
        assert (off.pk, task.rounds.filter(status="draft").exists()) == (None, False)
        clock.shift(9 * DAY)
        follow_the_clock()
        assert not task.rounds.filter(status="open").exists()


def test_what_a_process_knew_of_a_round_is_held_against_the_clock_and_the_lock(
    owner: User, annotator: User
) -> None:
    task = cast.digits_task(owner)
    known = open_target(task.pk)
    change_round(task=task, number=1, changes={"closes_at": datetime.now(UTC)}, reason="Done.")

    late = refused(lambda: sent(task, annotator, known))

    assert late.code == "no_open_round"
