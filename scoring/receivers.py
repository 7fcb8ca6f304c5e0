"""Keep the tallies in the transaction of the change that they count."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from django.db.models import F
from django.dispatch import receiver

from annotate.models import Example
from annotate.signals import example_changed, examples_submitted
from core.sql import prepared
from core.sql.compiled import CompiledUpdate, Given
from scoring.models import Tally
from scoring.tally import COLUMNS, contribution


@receiver(examples_submitted)
def count_submissions(examples: Sequence[Example], **_: Any) -> None:
    """Add new examples to their authors' tallies, which their first ones make."""
    sums: defaultdict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    for example in examples:
        if (counted := contribution(example)) and example.author_id is not None:
            sums[example.round_id, example.author_id].update(counted)
    if sums:
        # In one order everywhere: nobody waits for somebody who waits for them.
        values = [(*whose, *(sums[whose][column] for column in COLUMNS)) for whose in sorted(sums)]
        given = [one for row in values for one in row]
        prepared.changed(_adding(len(values)), given)


@lru_cache(maxsize=100)
def _adding(rows: int) -> str:
    """The SQL that adds to so many tallies, and makes those that are not there yet."""
    changes = ", ".join(f"{column} = t.{column} + excluded.{column}" for column in COLUMNS)
    places = ", ".join([f"({', '.join(['%s'] * (2 + len(COLUMNS)))})"] * rows)
    return (
        f"INSERT INTO scoring_tally AS t (round_id, author_id, {', '.join(COLUMNS)}) "  # noqa: S608
        f"VALUES {places} ON CONFLICT (round_id, author_id) DO UPDATE SET {changes}"
    )


@receiver(example_changed)
def count_change(before: Example, example: Example, **_: Any) -> None:
    """Move the author's tally by the difference that this change makes."""
    difference = contribution(example)
    difference.subtract(contribution(before))
    changed = {column: change for column, change in difference.items() if change}
    if not changed:
        return
    row = {"round": example.round_id, "author": example.author_id}
    if not _move(tuple(changed)).run(**row, **changed):
        # It came past the services. ignore_conflicts: two first ones at once.
        assert example.author_id is not None  # a guest's counts nowhere
        first = Tally(round_id=example.round_id, author_id=example.author_id)
        Tally.objects.bulk_create([first], ignore_conflicts=True)
        _move(tuple(changed)).run(**row, **changed)


@cache
def _move(columns: tuple[str, ...]) -> CompiledUpdate:
    """The update that moves these columns of one tally, each by what is given under its name."""
    return CompiledUpdate(
        lambda: Tally.objects.filter(round=Given("round"), author=Given("author")),
        **{column: F(column) + Given(column) for column in columns},
    )
