"""Gives every author of a task their split, once and for ever."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from annotate.models import Example, Task
from releases.models import AuthorPlace, Split
from releases.people import Pseudonyms, split_of
from releases.rows import names_of
from training.models import SnapshotItem, TrainingRun
from training.models import Split as Side
from training.queries import clean_of_people
from training.snapshots import BATCH

_OF_SIDE: dict[str, str] = {Side.TRAIN: Split.TRAIN.value, Side.HELD_OUT: Split.TEST.value}


def give_places(task: Task, names: Pseudonyms) -> None:
    """Place the authors who have no place yet: those who taught a model that is kept, or tested it,
    there.

    The others by a hash of their name in the release, which anybody can repeat: training has a
    side for them too, as soon as models are evaluated, but none of its sides validates.
    """
    placed = set(AuthorPlace.objects.filter(task=task).values_list("author", flat=True))
    taught = SnapshotItem.objects.filter(
        snapshot__task=task, snapshot__runs__candidate__isnull=False
    )
    taught = taught.exclude(split=Side.ASIDE)
    sides = dict(taught.order_by().values_list("example__author", "split").distinct())
    for _, clean in clean_of_people(TrainingRun.objects.filter(task=task)):
        for side, keys in clean.items():
            sides |= dict.fromkeys(_authors_of(keys), side)
    new = [
        AuthorPlace(
            task=task,
            author_id=author,
            split=_OF_SIDE[sides[author]] if author in sides else split_of(names.of(name)),
        )
        for author, name in names_of(task)
        if author not in placed
    ]
    # ignore_conflicts: a release that is made at the same time may have been first.
    AuthorPlace.objects.bulk_create(new, batch_size=500, ignore_conflicts=True)


def _authors_of(keys: Sequence[int]) -> set[int]:
    found: set[int] = set()
    for first in range(0, len(keys), BATCH):
        some = Example.objects.filter(pk__in=keys[first : first + BATCH], author__isnull=False)
        found.update(some.values_list("author", flat=True))
    return found


def places_of(task: Task, names: Pseudonyms) -> dict[str, str]:
    """The split of every author by their name."""
    rows = AuthorPlace.objects.filter(task=task).values_list("author__pseudonym", "split")
    return {names.of(name): split for name, split in rows}


def fixed_places(places: Mapping[str, str], authors: Iterable[str]) -> dict[str, str]:
    """Those of a release's authors that do not follow from the name.

    Of nobody else: who is here and in no row has only what validators are tested with, or has
    taken all of it back.
    """
    return {
        name: places[name]
        for name in sorted(authors)
        if name in places and places[name] != split_of(name)
    }
