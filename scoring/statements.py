"""What is built once: adding to tallies, for every submission and verdict, and a page's round."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache

from django.db.models import F

from annotate.models import Round
from core.sql import prepared
from core.sql.compiled import Compiled, CompiledUpdate, Given
from scoring.models import Tally
from scoring.tally import COLUMNS

_OPENED_ROUND = Compiled(
    lambda: Round.objects.exclude(status=Round.Status.DRAFT).filter(
        task=Given("task"), number=Given("number")
    )
)


def opened_round(task_id: int, number: int) -> Round | None:
    """The round of this number if it was ever opened."""
    return _OPENED_ROUND.first(task=task_id, number=number)


def add(counts: Mapping[tuple[int, int], Mapping[str, int]]) -> None:
    """Add to the tallies of these rounds and authors, and make those that are not there yet.

    In one order everywhere: nobody waits for somebody who waits for them.
    """
    rows = [(*whose, *(counts[whose][column] for column in COLUMNS)) for whose in sorted(counts)]
    prepared.changed(_adding(len(rows)), [value for row in rows for value in row])


@lru_cache(maxsize=100)
def _adding(rows: int) -> str:
    changes = ", ".join(f"{column} = t.{column} + excluded.{column}" for column in COLUMNS)
    places = ", ".join([f"({', '.join(['%s'] * (2 + len(COLUMNS)))})"] * rows)
    return (
        f"INSERT INTO scoring_tally AS t (round_id, author_id, {', '.join(COLUMNS)}) "  # noqa: S608
        f"VALUES {places} ON CONFLICT (round_id, author_id) DO UPDATE SET {changes}"
    )


def move(round_id: int, author_id: int | None, changes: Mapping[str, int]) -> int:
    """Move the columns of one tally by these numbers; how many there were, 0 or 1."""
    return _moving(tuple(changes)).run(round=round_id, author=author_id, **changes)


@cache
def _moving(columns: tuple[str, ...]) -> CompiledUpdate:
    return CompiledUpdate(
        lambda: Tally.objects.filter(round=Given("round"), author=Given("author")),
        **{column: F(column) + Given(column) for column in columns},
    )
