"""simulate: a table for people, the same numbers for programs."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError

from annotate.models import Task


def test_the_tasks_policy_stands_beside_the_usual_ones(
    task: Task, command: Any, summary: Any
) -> None:
    numbers = summary("simulate", "digits", "--items", "40", "--repeats", "2")
    table = command("simulate", "digits", "--items", "40", "--repeats", "2")

    assert set(numbers) == {"digits: two_plus_one", "k_of_n 3 of 5"}
    assert numbers["k_of_n 3 of 5"]["mean"]["votes"] == 5
    assert "k_of_n 3 of 5" in table
    assert "5.000 ± 0.000" in table


def test_a_wrong_option_is_a_sentence(task: Task, command: Any) -> None:
    with pytest.raises(CommandError, match="'spammers' must be a number from 0 to 1"):
        command("simulate", "digits", "--spammers", "7")
    with pytest.raises(CommandError, match="There is no task chess"):
        command("simulate", "chess")
