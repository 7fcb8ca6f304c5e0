"""Whether a judge may stand in for a person: the alternative-annotator test; imports no Django.

Calderon, Reichart and Dror, "The Alternative Annotator Test", ACL 2025 (arXiv 2501.10970). One
person after the other is left out: who is nearer to what the rest said of an item, the judge or
that person? The judge wins against somebody when it is the worse of the two in fewer than `epsilon`
more items than it is the better one, beyond chance; it passes when it wins against half of them.
`epsilon` is what a person costs more: .1 for a crowd, .15 for skilled people, .2 for experts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import Any, Final, Generic, TypeVar

import numpy as np

CROWD: Final = 0.1
FALSE_DISCOVERIES: Final = 0.05
LEAST_PEOPLE: Final = 2  # an item
LEAST_ITEMS: Final = 30  # a person: below, Student's t says nothing of what is 0 or 1
PASSES: Final = 0.5

P = TypeVar("P", bound=Hashable)
Likeness = Callable[[Any, Sequence[Any]], float]


@dataclass(frozen=True, slots=True)
class Against(Generic[P]):
    """The judge beside one person: `advantage` is the share of items where it is as near or nearer
    to the others; `p` that this is chance."""

    person: P
    items: int
    advantage: float
    p: float
    won: bool


@dataclass(frozen=True, slots=True)
class Tested(Generic[P]):
    """The whole test; `left_out` have too few items."""

    epsilon: float
    items: int
    people: tuple[Against[P], ...]
    left_out: tuple[P, ...]

    @property
    def winning_rate(self) -> float:
        return sum(one.won for one in self.people) / len(self.people)

    @property
    def advantage(self) -> float:
        return sum(one.advantage for one in self.people) / len(self.people)

    @property
    def passed(self) -> bool:
        return self.winning_rate >= PASSES


def share_alike(answer: Any, others: Sequence[Any]) -> float:
    """How many of the others say the same."""
    return sum(other == answer for other in others) / len(others)


def alternative_test(
    people: Mapping[P, Mapping[Hashable, Any]],
    judge: Mapping[Hashable, Any],
    *,
    epsilon: float = CROWD,
    likeness: Likeness = share_alike,
) -> Tested[P] | None:
    """Test a judge's answers against people's, both by item; `likeness` of one answer to several.

    Items that it has not answered, or with fewer than two people, are left out. None where fewer
    than two people have 30 items then.
    """
    said: defaultdict[Hashable, dict[P, Any]] = defaultdict(dict)
    for person, answers in people.items():
        for item, answer in answers.items():
            if item in judge:
                said[item][person] = answer
    items = {item: by for item, by in said.items() if len(by) >= LEAST_PEOPLE}
    beside: defaultdict[P, list[int]] = defaultdict(list)
    for item, by in items.items():
        for person, answer in by.items():
            others = [other for one, other in by.items() if one != person]
            mine, its = likeness(answer, others), likeness(judge[item], others)
            beside[person].append((mine > its) - (mine < its))
    able = [person for person, found in beside.items() if len(found) >= LEAST_ITEMS]
    if len(able) < LEAST_PEOPLE:
        return None
    chances = [_chance(beside[person], epsilon) for person in able]
    won = discoveries(chances)
    return Tested(
        epsilon=epsilon,
        items=len(items),
        people=tuple(
            Against(person, len(beside[person]), _advantage(beside[person]), p, place in won)
            for place, (person, p) in enumerate(zip(able, chances, strict=True))
        ),
        left_out=tuple(person for person in beside if person not in set(able)),
    )


def _advantage(beside: Sequence[int]) -> float:
    return sum(who <= 0 for who in beside) / len(beside)


def _chance(beside: Sequence[int], epsilon: float) -> float:
    """One-sided t test of a mean below epsilon; items that are all alike leave no doubt."""
    from scipy.special import stdtr

    n = len(beside)
    gap, spread = float(np.mean(beside)) - epsilon, float(np.std(beside, ddof=1))
    t = gap / (spread / sqrt(n)) if spread else (inf if gap > 0 else -inf)
    return float(stdtr(n - 1, t))


def discoveries(chances: Sequence[float], most_false: float = FALSE_DISCOVERIES) -> set[int]:
    """Which places to believe so that a share of at most `most_false` of them is false, however
    the tests hang together (Benjamini and Yekutieli 2001)."""
    order = np.argsort(chances, kind="stable")
    ranks = np.arange(1, len(chances) + 1)
    bounds = ranks * most_false / (len(chances) * float((1 / ranks).sum()))
    below = np.flatnonzero(np.asarray(chances)[order] <= bounds)
    return set(order[: below[-1] + 1].tolist()) if len(below) else set()
