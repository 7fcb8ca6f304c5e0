"""Validating over REST: blind, fenced, one request a vote."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from annotate.models import Example, Task
from tests import cast
from validate.models import Lease, Vote

AsUser = Callable[[User], APIClient]
NEXT = "/api/v1/tasks/digits/validations/next/"
UNDO = "/api/v1/tasks/digits/validations/undo/"


def vote_on(lease: object) -> str:
    return f"/api/v1/validations/{lease}/vote/"


@pytest.fixture
def example(task: Task, annotator: User) -> Example:
    return cast.submission(task, annotator)


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
    assert (progress["waiting"], progress["skipped"]) == ("none", 1)
