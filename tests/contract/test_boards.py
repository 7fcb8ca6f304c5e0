"""The boards over REST: the numbers of scoring.queries, with their intervals."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from annotate.models import Task
from tests import cast


@pytest.fixture
def boards(
    task: Task,
    guest: APIClient,
    annotator: User,
    validator: User,
    other_validator: User,
) -> Any:
    """Read a board; four submissions, three claims, one of them verified."""
    for seed in range(4):
        cast.submission(task, annotator, seed, fooled=seed > 0)
    for person in (validator, other_validator):
        cast.answer(person, task)
    return lambda call: guest.get(f"/api/v1/tasks/digits/{call}")


def test_people_come_with_counts_rates_and_intervals(boards: Any, annotator: User) -> None:
    body = boards("leaderboard/").json()

    (row,) = body["authors"]
    assert (body["task"], body["round"], row["name"]) == ("digits", None, annotator.username)
    assert (row["rank"], row["missing"]) == (None, 16)
    assert (row["counts"]["submitted"], row["counts"]["verified"]) == (4, 1)
    assert row["pending_share"] == pytest.approx(2 / 3)
    assert row["mer"]["value"] == 0.75
    assert row["vmer"]["low"] < row["vmer"]["value"] == 0.25 < row["vmer"]["high"]


def test_a_round_can_be_chosen(boards: Any) -> None:
    assert boards("leaderboard/?round=1").json()["round"] == 1
    assert boards("leaderboard/?round=").json()["round"] is None
    assert boards("leaderboard/?round=2").status_code == 404
    for bad in ("x", "-1", "99999999999999999999"):
        assert boards(f"leaderboard/?round={bad}").status_code == 400


def test_rounds_and_models_have_theirs(boards: Any) -> None:
    (round_,) = boards("rounds/").json()["rounds"]
    (model,) = boards("models/").json()["models"]

    assert (round_["number"], round_["status"], round_["models"]) == (1, "open", ["digits-1"])
    assert round_["counts"]["fooled"] == 3
    assert (model["name"], model["serving"], model["rounds"]) == ("digits-1", True, [1])
    assert model["mer"]["value"] == round_["mer"]["value"] == 0.75
