"""Validating over REST: blind, fenced, one request a vote."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from annotate import rounds
from annotate.config import parse_task_file
from annotate.models import Example, Task
from core.doors import Door, Rate
from tests import cast
from validate.logs import import_log
from validate.models import Lease, Vote

AsUser = Callable[[User], APIClient]
NEXT = "/api/v1/tasks/digits/validations/next/"
UNDO = "/api/v1/tasks/digits/validations/undo/"


def vote_on(lease: object) -> str:
    return f"/api/v1/validations/{lease}/vote/"


@pytest.fixture
def example(task: Task, annotator: User) -> Example:
    return cast.submission(task, annotator)


def test_the_next_item_tells_what_to_judge_and_nothing_else(
    example: Example, validator: User, as_user: AsUser
) -> None:
    item = as_user(validator).post(NEXT).json()

    assert set(item) == {
        "lease", "example", "input", "context", "choices", "expires_at", "progress",
    }  # fmt: skip
    assert item["example"] == str(example.uid)
    assert item["input"] == example.input
    assert item["choices"][7] == {"value": "7", "name": "7", "key": "7"}
    assert item["progress"] == {"votes": 0, "today": 0, "waiting": 0, "skipped": 0}
    assert as_user(validator).post(NEXT).json()["lease"] == item["lease"]


def test_an_empty_queue_is_204(task: Task, validator: User, as_user: AsUser) -> None:
    response = as_user(validator).post(NEXT)

    assert (response.status_code, response.content) == (204, b"")


def test_a_vote_brings_the_next_item_and_no_secrets(
    task: Task, annotator: User, validator: User, other_validator: User, as_user: AsUser
) -> None:
    first, second = (cast.submission(task, annotator, seed) for seed in (1, 2))
    cast.answer(other_validator, task, label="0")
    client = as_user(validator)
    lease = client.post(NEXT).json()["lease"]

    answer = client.post(vote_on(lease), {"label": "5", "status": "verified", "surplus": True})

    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"next", "progress"}
    assert body["next"]["example"] == str(second.uid)
    assert body["progress"]["votes"] == 1
    text = json.dumps({**body, "next": {**body["next"], "input": 0, "choices": 0}})
    for secret in ("label", "prediction", "probabilities", "status", "fooled", "author"):
        assert secret not in text
    last = client.post(vote_on(body["next"]["lease"]), {"label": "5"}).json()
    assert last["next"] is None
    assert Vote.objects.filter(example=first).count() == 2


def test_a_vote_brings_the_item_after_one_that_is_held(
    task: Task, annotator: User, validator: User, as_user: AsUser
) -> None:
    for seed in (1, 2, 3):
        cast.submission(task, annotator, seed)
    client = as_user(validator)
    first = client.post(NEXT).json()["lease"]
    second = client.post(f"{NEXT}?after={first}").json()["lease"]

    third = client.post(f"{vote_on(first)}?after={second}", {"label": "5"}).json()["next"]

    assert third["lease"] not in (first, second)
    assert Lease.objects.filter(ended_at=None).count() == 2
    assert client.post(vote_on(third["lease"]), {"label": "5"}).json()["next"]["lease"] == second


def test_the_same_answer_again_counts_once_and_another_is_refused(
    example: Example, validator: User, as_user: AsUser
) -> None:
    client = as_user(validator)
    lease = client.post(NEXT).json()["lease"]

    statuses = [
        client.post(vote_on(lease), {"label": label}).status_code for label in ("5", "5", "6")
    ]

    assert statuses == [200, 200, 409]
    assert Vote.objects.count() == 1


def test_a_lease_that_ran_out_is_409_and_changes_nothing(
    example: Example, validator: User, as_user: AsUser
) -> None:
    client = as_user(validator)
    lease = client.post(NEXT).json()["lease"]
    Lease.objects.update(expires_at=timezone.now())

    response = client.post(vote_on(lease), {"label": "5"})

    assert (response.status_code, response.json()["error"]["code"]) == (409, "lease_lost")
    assert not Vote.objects.exists()


def test_somebody_elses_lease_is_no_lease(
    example: Example, validator: User, other_validator: User, as_user: AsUser
) -> None:
    lease = as_user(validator).post(NEXT).json()["lease"]

    for foreign in (lease, uuid.uuid4()):
        for call in ("vote", "release"):
            address = f"/api/v1/validations/{foreign}/{call}/"
            assert as_user(other_validator).post(address, {"label": "5"}).status_code == 409
    assert Lease.objects.get().ended_at is None


def test_a_vote_on_ones_own_example_is_403(
    task: Task, validator: User, annotator: User, as_user: AsUser
) -> None:
    own = cast.submission(task, validator)
    lease = Lease.objects.create(
        example=own, validator=validator, expires_at=timezone.now() + timedelta(hours=1)
    )

    response = as_user(validator).post(vote_on(lease.pk), {"label": "5"})

    assert (response.status_code, response.json()["error"]["code"]) == (403, "own_example")
    assert as_user(validator).post(NEXT).json()["lease"] == str(lease.pk)
    assert not Vote.objects.exists()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "bad_vote"),
        ({"label": None}, "bad_vote"),
        ({"label": "5", "flag": "spam"}, "bad_vote"),
        ({"label": "ten"}, "unknown_label"),
        ({"flag": "ugly"}, "bad_request"),
        ({"flag": "other", "reason": "x" * 1001}, "bad_request"),
    ],
)
def test_an_answer_that_is_none_is_refused_and_the_lease_kept(
    example: Example, validator: User, as_user: AsUser, body: dict[str, Any], code: str
) -> None:
    client = as_user(validator)
    lease = client.post(NEXT).json()["lease"]

    response = client.post(vote_on(lease), body)

    assert (response.status_code, response.json()["error"]["code"]) == (400, code)
    assert Lease.objects.get().ended_at is None
    assert not Vote.objects.exists()


def test_flags_and_cannot_tell_are_answers(
    task: Task, annotator: User, validator: User, as_user: AsUser
) -> None:
    cast.submission(task, annotator, 1)
    cast.submission(task, annotator, 2)
    client = as_user(validator)
    lease = client.post(NEXT).json()["lease"]

    following = client.post(vote_on(lease), {"flag": "other", "reason": "A face."}).json()["next"]
    client.post(vote_on(following["lease"]), {"flag": "unsure"})

    assert list(Vote.objects.order_by("id").values_list("flag", "reason")) == [
        ("other", "A face."),
        ("unsure", ""),
    ]


def test_a_skipped_item_does_not_come_back_and_a_released_one_does(
    task: Task, annotator: User, validator: User, as_user: AsUser
) -> None:
    cast.submission(task, annotator, 1)
    client = as_user(validator)

    def give_back(**body: Any) -> int:
        lease = client.post(NEXT).json()["lease"]
        return int(client.post(f"/api/v1/validations/{lease}/release/", body).status_code)

    assert give_back() == 204
    assert give_back(skip=True) == 204
    assert client.post(NEXT).status_code == 204
    progress = client.get("/api/v1/tasks/digits/validations/progress/").json()
    assert (progress["waiting"], progress["skipped"]) == (0, 1)


def test_the_last_vote_is_taken_back_while_it_decides_nothing(
    example: Example, validator: User, as_user: AsUser
) -> None:
    client = as_user(validator)
    assert client.post(UNDO).json()["error"]["code"] == "nothing_to_undo"
    lease = client.post(NEXT).json()["lease"]
    client.post(vote_on(lease), {"label": "5"})

    item = client.post(UNDO).json()

    assert item["example"] == str(example.uid)
    assert item["lease"] != lease
    assert item["progress"]["votes"] == 0
    assert not Vote.objects.exists()


def test_a_question_comes_without_the_answer_that_was_given(
    validator: User, as_user: AsUser
) -> None:
    file = {"slug": "qa", "name": "Questions", "input": "passage_qa"}
    task, _ = rounds.load_task(file=parse_task_file(file))
    asked = {"context": "Ada wrote it.", "question": "Who wrote it?"}
    line = {
        "kind": "example",
        "id": "q1",
        "round": 1,
        "author": "p-somebody",
        "input": {**asked, "answer": {"text": "Ada", "start": 0}},
        "label": "Ada",
        "prediction": "nobody",
        "model": "reader",
    }
    import_log(task, lambda: [json.dumps(line).encode()])

    item = as_user(validator).post("/api/v1/tasks/qa/validations/next/").json()

    assert item["input"] == asked


def test_asking_too_fast_has_a_limit_of_its_own(
    example: Example, validator: User, as_user: AsUser, settings: Any
) -> None:
    door = Door(person=Rate(1, 0.1), address=Rate(100, 100))
    settings.LIMITS = {**settings.LIMITS, "next": door}
    client = as_user(validator)
    lease = client.post(NEXT).json()["lease"]

    refused = client.post(NEXT)

    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "too_many_requests"
    assert 1 <= int(refused["Retry-After"]) <= 10
    assert client.post(vote_on(lease), {"label": "3"}).status_code == 200
