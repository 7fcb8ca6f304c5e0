"""simulate: sentences for people, the same numbers for programs."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError

from annotate.models import Task


def test_the_tasks_policy_stands_beside_five_votes_on_each(
    task: Task, command: Any, summary: Any
) -> None:
    numbers = summary("simulate", "digits", "--items", "40", "--repetitions", "2")
    words = command("simulate", "digits", "--items", "40", "--repetitions", "2")

    assert set(numbers) == {"two_plus_one", "three_of_five"}
    assert numbers["three_of_five"]["votes_per_item"] == 5
    assert numbers["two_plus_one"]["votes_per_item"] <= 3
    assert "three_of_five: 5.00 votes an item" in words


def test_a_wrong_option_is_a_sentence(task: Task, command: Any) -> None:
    with pytest.raises(CommandError, match="shares from 0 to 1"):
        command("simulate", "digits", "--spammers", "7")
    with pytest.raises(CommandError, match="There is no task chess"):
        command("simulate", "chess")
