"""Whom somebody confirms more than chance lets them; imports no Django.

A look is a scored vote, as others see it: it *is tried* when these say that the author is wrong. An
honest person then mostly sees so too, and errs towards one author's label about as often as towards
any other's, and as others do with this author. Somebody who is in league confirms it.

The odds are those of a bet against chance that may be looked at after every vote: a beta mixture
over all rates against the rate that chance gives (Ville: who is honest passes 100 in one case of
a hundred, however often one looks). Half of the stake is on each author alone, half on all those
together whom the others hardly ever confirm, so that a friend with five accounts is seen as one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, lgamma, log
from statistics import fmean
from typing import Final, NamedTuple

import numpy as np

ODDS: Final = 100.0
LATEST: Final = 500  # of somebody's votes
# What is believed of honest people before any look: of ten tried labels they confirm two. And of
# others, and of one's other authors, that as many as a third may be in league.
_RATES: Final = np.linspace(0.01, 0.7, 70)
_BELIEF: Final = np.log(_RATES * (1 - _RATES) ** 7)
_LEAGUES: Final = np.array([0.02, 0.1, 0.2, 0.35])
_STANDS_BY: Final = 0.95
_SURELY_BELOW: Final = 0.5
_LEAST_VOTES, _HARDLY_EVER = 4, 0.2


class Look(NamedTuple):
    """A vote on an author's example: for their label or not, and how right it is by the others."""

    voter: int
    author: int
    confirmed: bool
    agreement: float

    @property
    def is_tried(self) -> bool:
        return (self.agreement < 0.5) == self.confirmed


@dataclass(frozen=True, slots=True)
class Tie:
    """An author whom somebody confirmed `confirmed` of the `tried` times that others did not.

    `chance` is what honest people would do at most; `odds` may be those of several authors.
    """

    author: int
    tried: int
    confirmed: int
    chance: float
    odds: float


def ties(own: Sequence[Look], others: Iterable[Look]) -> list[Tie]:
    """The authors that this person is tied to, by their own looks and the others' at the same.

    Leave out the authors they are known to be tied to, and of the others who is tied to an author.
    """
    counts = _counts(own)
    suspects = [author for author, (_, confirmed) in counts.items() if confirmed]
    said: defaultdict[int, list[Look]] = defaultdict(list)
    for look in others:
        said[look.author].append(look)
    # Whoever others disbelieve, confirmed or not: to choose by what is tested would find something.
    disbelieved = {one for one in counts if _is_disbelieved(_sober(said[one]))}

    def bet(group: set[int], stakes: int) -> tuple[float, float]:
        theirs = _by_voter(look for one in group for look in said[one])
        elsewhere = [counts[one] for one in counts if one not in group]
        chance = max(_honest_rate(elsewhere), _honest_rate(theirs))
        return _odds(*_sum(counts, group), chance) / (2 * stakes), chance

    together = bet(disbelieved, 1)
    found = []
    for one in suspects:
        odds, chance = bet({one}, len(counts))
        if one in disbelieved:
            odds, chance = max((odds, chance), together)
        if odds >= ODDS:
            found.append(Tie(one, *counts[one], chance, odds))
    return found


def may_be_tied(own: Sequence[Look]) -> bool:
    """Whether it is worth asking what the others say."""
    counts = _counts(own)
    suspects = {one for one, (tried, confirmed) in counts.items() if 2 * confirmed >= tried}
    groups = [{one} for one in suspects] + [suspects]
    return any(
        _odds(*_sum(counts, group), _honest_rate(counts[one] for one in counts if one not in group))
        >= ODDS
        for group in groups
    )


def _odds(tried: int, confirmed: int, chance: float) -> float:
    """How much likelier it is that they confirm at any rate whatever than that they do by chance;
    1 where they do not exceed it."""
    if confirmed <= tried * chance:
        return 1.0
    mixture = lgamma(confirmed + 1) + lgamma(tried - confirmed + 1) - lgamma(tried + 2)
    by_chance = confirmed * log(chance) + (tried - confirmed) * log(1 - chance)
    return exp(min(mixture - by_chance, 700.0))


def _counts(looks: Iterable[Look]) -> dict[int, tuple[int, int]]:
    """By author: how often a look was tried, and how many of these confirmed."""
    counts: dict[int, tuple[int, int]] = {}
    for look in looks:
        if look.is_tried:
            tried, confirmed = counts.get(look.author, (0, 0))
            counts[look.author] = tried + 1, confirmed + look.confirmed
    return counts


def _sober(looks: Sequence[Look]) -> list[Look]:
    """What the others say, without the third of them who confirm the most: a league has friends."""
    by_voter: defaultdict[int, list[Look]] = defaultdict(list)
    for look in looks:
        by_voter[look.voter].append(look)
    voters = sorted(by_voter.values(), key=lambda all: -fmean(one.confirmed for one in all))
    return [look for theirs in voters[len(voters) // 3 :] for look in theirs]


def _sum(counts: dict[int, tuple[int, int]], group: Iterable[int]) -> tuple[int, int]:
    chosen = [counts.get(one, (0, 0)) for one in group]
    return sum(tried for tried, _ in chosen), sum(confirmed for _, confirmed in chosen)


def _by_voter(looks: Iterable[Look]) -> list[tuple[int, int]]:
    """How often each of the others was tried, and how many of these confirmed."""
    return list(_counts(look._replace(author=look.voter) for look in looks).values())


def _honest_rate(counts: Iterable[tuple[int, int]]) -> float:
    """How often an honest person confirms when tried, at most, where some of these are in league.

    Each count is somebody's: of others with this author, or of oneself with other authors.
    """
    tried, confirmed = np.array(list(counts) or [(0, 0)], dtype=float).T
    missed = tried - confirmed
    honest = np.outer(np.log(_RATES), confirmed) + np.outer(np.log(1 - _RATES), missed)
    league = confirmed * log(_STANDS_BY) + missed * log(1 - _STANDS_BY)
    each = np.logaddexp(
        np.log(1 - _LEAGUES)[:, None, None] + honest[None],
        np.log(_LEAGUES)[:, None, None] + league[None, None],
    )
    belief = each.sum(axis=2) + _BELIEF
    weights = np.exp(belief - belief.max()).sum(axis=0)
    below = np.cumsum(weights) / weights.sum()
    return float(_RATES[int(np.searchsorted(below, _SURELY_BELOW))])


def _is_disbelieved(looks: Sequence[Look]) -> bool:
    """Whether the others hardly ever confirm this author, however they vote by themselves."""
    confirmed = sum(look.confirmed for look in looks)
    return len(looks) >= _LEAST_VOTES and confirmed <= _HARDLY_EVER * len(looks)
