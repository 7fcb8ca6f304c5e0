"""The writes of every submission and verdict, built once: adding to tallies."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache

from django.db.models import F

from core.sql import prepared
from core.sql.compiled import CompiledUpdate, Given
from scoring.models import Tally
from scoring.tally import COLUMNS


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
