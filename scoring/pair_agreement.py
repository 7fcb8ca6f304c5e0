"""Krippendorff's alpha of pairs of votes, from how often each pair of labels came; no Django.

Counts are all that it takes, so a million pairs cost what a hundred cost, and so does resampling
them: n items picked with replacement are one multinomial sample over the cells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from scoring.statistics import CONFIDENCE, Interval

RELIABLE: Final = 0.8
TENTATIVE: Final = 0.667
RESAMPLES: Final = 2000
MIN_PAIRS: Final = 2

L = TypeVar("L", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Alpha of `pairs` items with two votes each; None where all votes are alike.

    Then nothing can be said about chance: libraries answer 0, 1 or NaN. The interval resamples
    items; None with fewer than two, or without alpha. `prevalence`: the commonest label's share.
    """

    pairs: int
    alpha: float | None
    interval: Interval | None
    prevalence: float | None = None

    @property
    def words(self) -> str:
        """Krippendorff's bands: 0.8 to build on, 0.667 for tentative conclusions."""
        if self.alpha is None:
            return "not defined: all agree" if self.pairs else "not known yet"
        if self.alpha >= RELIABLE:
            return "reliable"
        return "tentative" if self.alpha >= TENTATIVE else "too low to rely on"

    @property
    def tone(self) -> str:
        """The colour that goes with the words."""
        return {"reliable": "good", "tentative": "warn", "too low to rely on": "bad"}.get(
            self.words, ""
        )


def agreement(pairs: Mapping[tuple[L, L], int], *, seed: int = 0) -> Agreement:
    """Alpha (nominal) with its percentile interval, of items with exactly two labels each."""
    n = sum(pairs.values())
    cells = [cell for cell, count in pairs.items() if count]
    counts = np.array([[pairs[cell] for cell in cells]], dtype=np.int64)
    estimate = _alphas(counts, cells) if n else np.array([np.nan])
    alpha = None if np.isnan(estimate[0]) else float(estimate[0])
    given = Counter[L]()
    for cell in cells:
        for label in cell:
            given[label] += pairs[cell]
    prevalence = max(given.values()) / (2 * n) if n else None
    if alpha is None or n < MIN_PAIRS:
        return Agreement(n, alpha, None, prevalence)
    picked = np.random.default_rng(seed).multinomial(n, counts[0] / n, size=RESAMPLES)
    tail = 100 * (1 - CONFIDENCE) / 2
    # A resample with one label only says nothing about agreement beyond chance.
    low, high = np.nanpercentile(_alphas(picked, cells), [tail, 100 - tail])
    return Agreement(n, alpha, Interval(float(low), float(high)), prevalence)


def of_one_label(pairs: Mapping[tuple[L, L], int], label: L) -> dict[tuple[bool, bool], int]:
    """The same pairs as answers to "is it this label?"."""
    halved: dict[tuple[bool, bool], int] = {}
    for (first, second), count in pairs.items():
        cell = (first == label, second == label)
        halved[cell] = halved.get(cell, 0) + count
    return halved


def _alphas(counts: NDArray[np.int64], cells: Sequence[tuple[L, L]]) -> NDArray[np.float64]:
    """Alpha of each row of counts; NaN where one label is all there is."""
    labels = {label: place for place, label in enumerate({each for cell in cells for each in cell})}
    given = np.zeros((len(cells), len(labels)), dtype=np.int64)
    for place, cell in enumerate(cells):
        for label in cell:
            given[place, labels[label]] += 1
    unequal = np.array([first != second for first, second in cells])
    totals = counts @ given
    n = totals.sum(axis=1)
    # Each unequal pair gives the two ordered pairs of its coincidence.
    disagreement = 2 * counts[:, unequal].sum(axis=1)
    expected = n**2 - (totals**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        alphas: NDArray[np.float64] = np.where(
            expected > 0, 1 - (n - 1) * disagreement / expected, np.nan
        )
    return alphas
