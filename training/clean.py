"""Clean data where an owner gave too little: what people sent that fooled nobody, confirmed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from annotate.models import Example, Task
from core.transactions import durable
from ml.learners import Base, Item
from training.config import RetrainingSettings
from training.models import Split
from training.queries import is_doubted
from training.snapshots import BATCH, sides_of
from training.splits import capped

FEWEST: Final = 20  # held-out items: with fewer the owner's data judge nothing, nor do people's
MOST: Final = 5_000  # the newest ones


@dataclass(frozen=True, slots=True)
class ConfirmedItem(Item):
    """An item that somebody sent, and what it is called outside of the database."""

    name: str


def choose_clean(
    task: Task, settings: RetrainingSettings, base: Base
) -> dict[str, list[int]] | None:
    """The keys of what stands in beside the owner's clean data, by the side of its authors.

    None where the owner's are enough, or people's too few. As with foolings, authors who test never
    train, and none gives more than their share of a side.
    """
    if len(base.held_out) >= FEWEST:
        return None
    confirmed = Example.objects.usable().filter(
        ~is_doubted("pk"),
        task=task,
        fooled=False,
        status=Example.Status.VERIFIED,
        copy_of=None,
        author__isnull=False,
    )
    newest = confirmed.select_related("author").defer("input", "probabilities", "explanation")
    with durable():
        found = sorted(newest.order_by("-pk")[:MOST], key=lambda example: example.pk)
        sides = sides_of(task, settings)
    parts = {}
    for side in Split.TRAIN, Split.HELD_OUT:
        own = [one for one in found if sides[cast(int, one.author_id)] == side]
        authors = [one.author.pseudonym for one in own if one.author is not None]
        kept = capped(authors, share=settings.author_share, seed=f"{task.slug}:{settings.seed}")
        parts[str(side)] = [own[place].pk for place in kept]
    return parts if len(parts[Split.HELD_OUT]) >= FEWEST else None


def filled(
    task: Task, base: Base, chosen: dict[str, list[int]] | None, labels: Collection[str] = ()
) -> Base:
    """The owner's clean data and what was chosen beside them, as far as a model has its labels."""
    if chosen is None:
        return base
    more = {
        side: [item for item in _read(task, keys) if not labels or item.label in labels]
        for side, keys in chosen.items()
    }
    return replace(
        base,
        train=[*base.train, *more[Split.TRAIN]],
        held_out=[*base.held_out, *more[Split.HELD_OUT]],
    )


def digest_of_clean(chosen: dict[str, list[int]]) -> str:
    """SHA-256 over the public names on both sides."""
    digest = hashlib.sha256()
    for side, keys in sorted(chosen.items()):
        names = (row.public_id for row in _rows(keys))
        digest.update(f"{side} {' '.join(sorted(names))}\n".encode())
    return digest.hexdigest()


def _read(task: Task, keys: list[int]) -> Iterable[Item]:
    for row in _rows(keys):
        with suppress(Exception):  # one bad item never ends a run
            label = row.label if row.final_label is None else row.final_label
            yield ConfirmedItem(task.kind.parse(_whole(task, row)), label, row.public_id)


def _whole(task: Task, row: Example) -> Any:
    row.task = task
    return row.whole_input


def _rows(keys: list[int]) -> Iterable[Example]:
    for first in range(0, len(keys), BATCH):
        rows = Example.objects.filter(pk__in=keys[first : first + BATCH])
        yield from rows.select_related("context", "config").order_by("pk")
