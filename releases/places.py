"""Gives every author of a task their split, once and for ever."""

from __future__ import annotations

from annotate.models import Task
from releases.models import AuthorPlace, Split
from releases.people import Pseudonyms, split_of
from releases.rows import names_of
from training.models import AuthorSplit
from training.models import Split as Side

_OF_SIDE: dict[str, str] = {Side.TRAIN: Split.TRAIN.value, Side.HELD_OUT: Split.TEST.value}


def give_places(task: Task, names: Pseudonyms) -> None:
    """Place the authors who have no place yet: those who taught the model or tested it, there.

    The others by a hash of their name in the release, which anybody can repeat.
    """
    placed = set(AuthorPlace.objects.filter(task=task).values_list("author", flat=True))
    sides = dict(AuthorSplit.objects.filter(task=task).values_list("author", "split"))
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


def places_of(task: Task, names: Pseudonyms) -> tuple[dict[str, str], dict[str, str]]:
    """The split of every author by their name, and those that do not follow from the name."""
    rows = AuthorPlace.objects.filter(task=task).values_list("author__pseudonym", "split")
    places = {names.of(name): split for name, split in rows}
    fixed = {name: split for name, split in places.items() if split != split_of(name)}
    return places, dict(sorted(fixed.items()))
