"""Keep the tallies in the transaction of the change that they count."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.db.models import F
from django.dispatch import receiver

from accounts.compiled import CompiledUpdate, Given
from annotate.models import Example
from annotate.signals import example_changed
from scoring.models import Tally
from scoring.tally import contribution


@receiver(example_changed)
def count_change(before: Example | None, example: Example, **_: Any) -> None:
    """Move the author's tally by the difference that this change makes."""
    difference = contribution(example)
    difference.subtract(contribution(before))
    changed = {column: change for column, change in difference.items() if change}
    if not changed:
        return
    row = {"round": example.round_id, "author": example.author_id}
    move = _move(tuple(changed))
    if not move.run(**row, **changed):
        # The first example of this author in this round. ignore_conflicts: two first ones at once.
        assert example.author_id is not None  # a guest's counts nowhere
        first = Tally(round_id=example.round_id, author_id=example.author_id)
        Tally.objects.bulk_create([first], ignore_conflicts=True)
        move.run(**row, **changed)


@cache
def _move(columns: tuple[str, ...]) -> CompiledUpdate:
    """The update that moves these columns of one tally, each by what is given under its name."""
    return CompiledUpdate(
        lambda: Tally.objects.filter(round=Given("round"), author=Given("author")),
        **{column: F(column) + Given(column) for column in columns},
    )
