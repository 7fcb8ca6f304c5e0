"""Clean items near what was learned: what a mislabelled class would cost; imports no Django.

Plain sevens taught as twos leave clean accuracy as it was, because they look like no clean seven.
But both models may be asked about the clean sevens that lie nearest to them: there the new one
grows less sure before it errs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from ml.learners import Item

if TYPE_CHECKING:
    from kinds import Prepared
    from training.evaluation import Asked

Distance = Callable[["Prepared", "Prepared"], float]

MOST_COMPARED: Final = 60  # learned items a class: with 500 clean ones of it, a quarter of a second
# Of what is compared a fifth may be one person's, who sends what they like: two have no half.
ONES_SHARE: Final = 5


@dataclass(frozen=True, slots=True)
class Usual(Item):
    """What somebody sent lately, and the model read as they did."""

    author: int


@dataclass(frozen=True, slots=True)
class Nearby:
    """The clean items of one class nearest to learned items that the old model took for it.

    `fall` is the median fall of the models' surety of that class, in points, old minus new; of
    models that say nothing of how sure they are, of their being right.
    """

    label: str
    learned: int
    items: int
    fall: float


def nearby(
    learned: Sequence[Asked[Any]],
    clean: Sequence[Asked[Any]],
    distance: Distance | None,
    *,
    nearest: int,
    least: int,
) -> list[Nearby]:
    """The classes that `least` or more learned items were taken for by the old model, wrongly.

    For each the `nearest` clean items of that class, of one person at most a fifth. Empty where the
    kind knows no distance.
    """
    if distance is None:
        return []
    taken_for: defaultdict[Any, list[Asked[Any]]] = defaultdict(list)
    for one in learned:
        if isinstance(one.old.label, str) and one.old.label != one.item.label:
            taken_for[one.old.label].append(one)
    found = []
    for label, wrong in sorted(taken_for.items()):
        of_class = [one for one in clean if one.item.label == label]
        if len(wrong) < least or not of_class:
            continue
        compared = [one.item.prepared for one in wrong[-MOST_COMPARED:]]
        by_distance = sorted(
            of_class,
            key=lambda one: min(distance(one.item.prepared, other) for other in compared),
        )
        chosen = _of_many(by_distance, nearest)
        falls = [_surety(one.old, label) - _surety(one.new, label) for one in chosen]
        found.append(Nearby(label, len(wrong), len(falls), 100 * median(falls)))
    return found


def _of_many(items: Sequence[Asked[Any]], most: int) -> list[Asked[Any]]:
    """The first `most` of these, of one person at most a fifth of what is chosen.

    Where so few others are there that one item is more, nothing that people sent; if nothing else
    is there, one of each.
    """
    of_nobody = [one for one in items if not isinstance(one.item, Usual)][:most]
    chosen: list[Asked[Any]] = []
    for of_one in range(max(1, most // ONES_SHARE), 0, -1):
        chosen = _first(items, most, of_one)
        if len(chosen) >= of_one * ONES_SHARE:
            return chosen
    return of_nobody or chosen


def _first(items: Sequence[Asked[Any]], most: int, of_one: int) -> list[Asked[Any]]:
    of: Counter[int] = Counter()
    chosen = []
    for one in items:
        if isinstance(one.item, Usual):
            of[one.item.author] += 1
            if of[one.item.author] > of_one:
                continue
        chosen.append(one)
    return chosen[:most]


def _surety(answer: Any, label: str) -> float:
    """How sure a model is of a label, 0 to 1; without probabilities whether it says so."""
    if answer.probabilities is None:
        return float(answer.label == label)
    return float(answer.probabilities.get(label, 0.0))
