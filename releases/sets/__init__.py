"""The field's own published sets as logs, one file each; no Django.

A file has `SET`: what its columns mean is a function from a folder to rows, all else is done here.
What a set does not publish is not made up: an author, a voter or a model without a name is called
so, and where no prediction is published nobody claims to have fooled a model.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Final

from core.errors import Refused

NOT_PUBLISHED: Final = "not published"
NAMES: Final = tuple(sorted(found.name for found in iter_modules(__path__)))
Votes = Iterable[tuple[str, str | None]]
"""Who said what, in order; None: they could not tell."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One example with its votes, and what its publishers say that it is (None: nothing)."""

    id: str
    input: Any
    label: str
    votes: Votes = ()
    theirs: str | None = None
    prediction: str | None = None
    probabilities: Mapping[str, float] | None = None
    model: str = NOT_PUBLISHED
    author: str = NOT_PUBLISHED
    round: int = 1


@dataclass(frozen=True, kw_only=True)
class PublicSet:
    """A set: what it is called, what a task of it is, and how a folder of it is read."""

    title: str
    kind: str
    labels: tuple[str, ...]
    home: str
    licence: str
    rows: Callable[[Path], Iterator[Row]]


def set_named(name: str) -> PublicSet:
    if name not in NAMES:
        raise Refused("unknown_set", f"Choose one of {', '.join(NAMES)}.")
    found: PublicSet = import_module(f"releases.sets.{name}").SET
    return found


def task_file(found: PublicSet, slug: str) -> dict[str, Any]:
    """The least task that a set fits."""
    return {
        "slug": slug,
        "name": found.title,
        "input": found.kind,
        "labels": list(found.labels),
        "validation": {"policy": "two_plus_one"},
    }


def rows_of(found: PublicSet, folder: Path) -> Iterator[Row]:
    """Its rows; Refused names the column that is missing, or says that there is nothing."""
    read = False
    try:
        for row in found.rows(folder):
            read = True
            yield row
    except (KeyError, ValueError, SyntaxError, AttributeError, TypeError) as error:
        what = f"there is no column {error}" if isinstance(error, KeyError) else str(error)
        raise Refused(
            "other_columns", f"{folder} is not {found.title} as published: {what}."
        ) from None
    if not read:
        raise Refused("nothing_there", f"{folder} has no file of {found.title}: see {found.home}.")


def log_lines(name: str, rows: Iterable[Row]) -> Iterator[bytes]:
    """The rows as a log. Names are the set's own: another's `w1` is somebody else."""
    for row in rows:
        known = row.prediction is not None
        yield _line(
            kind="example",
            id=row.id,
            round=row.round,
            author=f"{name}: {row.author}",
            input=row.input,
            label=row.label,
            prediction=row.prediction if known else row.label,
            model=row.model if known else NOT_PUBLISHED,
            **({"probabilities": row.probabilities} if row.probabilities else {}),
        )
        first: dict[str, str | None] = {}
        for voter, label in row.votes:
            first.setdefault(voter, label)  # some voted twice
        for voter, label in first.items():
            if voter != row.author:
                said = {"flag": "unsure"} if label is None else {"label": label}
                yield _line(kind="vote", example=row.id, validator=f"{name}: {voter}", **said)


def _line(**fields: Any) -> bytes:
    return f"{json.dumps(fields)}\n".encode()


# --- what several need ----------------------------------------------------------------------------
def records(folder: Path, *patterns: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every record of the files that match, as CSV, JSON lines or JSON, by their names' ends."""
    for path in sorted({path for pattern in patterns for path in folder.rglob(pattern)}):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            if ".csv" in path.suffixes:
                yield from ((path, dict(row)) for row in csv.DictReader(file))
            elif (text := file.read()).startswith(("[", "{\n")) or text.count("\n") < 2:
                yield from ((path, row) for row in _table(json.loads(text)))
            else:
                yield from ((path, json.loads(line)) for line in text.splitlines() if line.strip())


def _table(data: Any) -> Iterator[dict[str, Any]]:
    """A list of records, one, or columns by row numbers, as pandas writes them."""
    if isinstance(data, list):
        yield from data
    elif all(isinstance(column, dict) for column in data.values()):
        for number in next(iter(data.values()), {}):
            yield {name: column.get(number) for name, column in data.items()}
    else:
        yield data


def by_place(labels: Iterable[str | None]) -> list[tuple[str, str | None]]:
    """Votes without names: whoever stands at one place is taken for one person."""
    return [(f"voter {place}", label) for place, label in enumerate(labels, start=1)]


def most(votes: Votes) -> str | None:
    """What more than half of those who could tell said."""
    counts = Counter(label for _, label in votes if label is not None)
    for label, number in counts.most_common(1):
        return label if 2 * number > counts.total() else None
    return None
