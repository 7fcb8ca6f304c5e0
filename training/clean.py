"""Clean data where an owner gave too little: what people sent that fooled nobody, confirmed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, cast

from django.db.models import F, Window
from django.db.models.functions import RowNumber

from annotate.models import Example, Task
from core.transactions import durable
from ml.learners import Base, Item
from training.config import RetrainingSettings
from training.models import Split
from training.queries import is_doubted, learnable
from training.snapshots import BATCH, sides_of, split_of, what_it_is_about
from training.splits import Side, aside, capped

FEWEST: Final = 20  # held-out items: with fewer the owner's data judge nothing, nor do people's
MOST: Final = 5_000


@dataclass(frozen=True, slots=True)
class ConfirmedItem(Item):
    """An item that somebody sent, and what it is called outside of the database."""

    name: str


def choose_clean(
    task: Task, settings: RetrainingSettings, base: Base
) -> dict[str, list[int]] | None:
    """The keys of what stands in beside the owner's clean data, by the side of its authors.

    None where the owner's are enough, or people's too few, or so few people's that one of them
    would give more than their share of what tests. As with foolings, authors who test never train,
    and what an example is about is on one side.
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
    # Everybody's newest first: who sends most pushes nobody else out.
    turn = Window(RowNumber(), partition_by=F("author"), order_by=F("id").desc())
    newest = confirmed.annotate(turn=turn).order_by("turn", "-pk")
    newest = newest.select_related("author", "config", "context")
    newest = newest.defer("probabilities", "explanation", *_inputs(task))
    with durable():
        found = sorted(newest[:MOST], key=lambda one: (one.settled_at, one.pk))
        sides = sides_of(task, settings)
        found = [one for one in found if cast(int, one.author_id) in sides]
        theirs = [sides[cast(int, one.author_id)] for one in found]
        claimed = _claimed(task, settings, sides)
        about = [what_it_is_about(task, one) for one in found]
    apart = aside([*claimed, *zip(about, theirs, strict=True)])[len(claimed) :]
    parts: dict[str, list[int]] = {}
    givers: dict[str, int] = {}
    for side in map(str, (Split.TRAIN, Split.HELD_OUT)):
        places = (n for n, its in enumerate(theirs) if its == side and not apart[n])
        own = sorted((found[n] for n in places), key=lambda one: one.pk)
        authors = [one.author.pseudonym for one in own if one.author is not None]
        kept = capped(authors, share=settings.author_share, seed=f"{task.slug}:{settings.seed}")
        parts[side], givers[side] = [own[place].pk for place in kept], len(set(authors))
    tests = str(Split.HELD_OUT)
    enough = givers[tests] * settings.author_share >= 1 and len(parts[tests]) >= FEWEST
    return parts if enough else None


def _claimed(
    task: Task, settings: RetrainingSettings, sides: Mapping[int, Side]
) -> list[tuple[str, Side]]:
    """What the examples that are learned from are about, with the sides that they put it on."""
    learned = learnable(task.pk, settings.also).select_related("config", "context")
    if not task.kind.given:
        learned = learned.exclude(context=None)
    learned = learned.defer("probabilities", "explanation", *_inputs(task))
    in_order = split_of(learned.order_by("settled_at", "pk"), sides)
    return [(what_it_is_about(task, example), side) for example, side in in_order]


def _inputs(task: Task) -> tuple[str, ...]:
    """What is not read unless it says what an example is about."""
    return () if task.kind.given else ("input",)


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
            row.task = task
            yield ConfirmedItem(task.kind.parse(row.whole_input), label, row.public_id)


def _rows(keys: list[int]) -> Iterable[Example]:
    for first in range(0, len(keys), BATCH):
        rows = Example.objects.filter(pk__in=keys[first : first + BATCH])
        yield from rows.select_related("context", "config").order_by("pk")
