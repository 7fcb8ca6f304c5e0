"""Intervals of rates: the numbers behind boards and figures; imports no Django.

Rates are shares of 1, `k` successes of `n` trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np

CONFIDENCE: Final = 0.95


class Interval(NamedTuple):
    """A range of rates."""

    low: float
    high: float


def wilson(k: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Score interval of a rate (Wilson 1927): good for small n and for rates near 0 and 1.

    Without trials it is the whole range from 0 to 1.
    """
    _check_counts(k, n)
    if n == 0:
        return Interval(0.0, 1.0)
    z = _normal_quantile(confidence)
    rate = k / n
    centre = rate + z * z / (2 * n)
    reach = z * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # Rounding would leave 1e-17 where the interval ends at 0 or 1.
    low = (centre - reach) / scale if k > 0 else 0.0
    high = (centre + reach) / scale if k < n else 1.0
    return Interval(low, high)


def cluster_bootstrap(
    successes: Sequence[int],
    trials: Sequence[int],
    *,
    resamples: int = 4000,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Percentile interval of a pooled rate that resamples whole authors, not examples.

    `successes[i]` of `trials[i]` belong to author i. Examples of one author resemble each other, so
    this is wider than Wilson's interval. With fewer than two authors it is the whole range from 0
    to 1: nothing is known about others. When all examples failed or all succeeded resampling sees
    no variation, and Wilson's interval is given.
    """
    k, n = np.asarray(successes, dtype=np.int64), np.asarray(trials, dtype=np.int64)
    if k.shape != n.shape or k.ndim != 1:
        raise ValueError("Give one number of successes and one of trials for each author.")
    if (k < 0).any() or (k > n).any():
        raise ValueError("An author has between 0 and all of their trials as successes.")
    k, n = k[n > 0], n[n > 0]
    if len(n) < 2:
        return Interval(0.0, 1.0)
    if k.sum() in (0, n.sum()):
        return wilson(int(k.sum()), int(n.sum()), confidence)
    random = np.random.default_rng(seed)
    rates = np.empty(resamples)
    step = max(1, 2_000_000 // len(n))  # bounds the picked indices to 16 MB
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        picked = random.integers(len(n), size=(rows, len(n)))
        rates[start : start + rows] = k[picked].sum(axis=1) / n[picked].sum(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(rates, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _check_counts(k: int, n: int) -> None:
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is no rate.")


def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
