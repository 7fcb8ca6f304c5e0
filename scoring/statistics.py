"""Intervals, differences and agreement: the numbers behind boards and figures; imports no Django.

Rates are shares of 1, `k` successes of `n` trials. What pages show on every request (Wilson,
anytime, Newcombe) takes the standard library alone; SciPy, slow to import, is loaded by the two
functions that need the inverse of the incomplete beta function.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from math import erfc, lgamma, log, sqrt
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np

CONFIDENCE: Final = 0.95


class Interval(NamedTuple):
    """A range of rates or of differences between rates."""

    low: float
    high: float


class Difference(NamedTuple):
    """How much higher the first rate is than the second."""

    estimate: float
    interval: Interval


class Stratum(NamedTuple):
    """Successes and trials of two groups within one kind of context."""

    k1: int
    n1: int
    k2: int
    n2: int


class ZTest(NamedTuple):
    """A test statistic and the two-sided probability of one at least as far from 0."""

    z: float
    p_value: float


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


def clopper_pearson(k: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Exact interval of a rate (Clopper and Pearson 1934): covers at least as often as it says."""
    _check_counts(k, n)
    tail = (1 - confidence) / 2
    low = _beta_quantile(tail, k, n - k + 1) if k > 0 else 0.0
    high = _beta_quantile(1 - tail, k + 1, n - k) if k < n else 1.0
    return Interval(low, high)


def jeffreys(k: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Equal-tailed interval of the posterior Beta(k + 1/2, n - k + 1/2) of a rate.

    It reaches 0 without successes and 1 without failures (Brown, Cai and DasGupta 2001).
    """
    _check_counts(k, n)
    tail = (1 - confidence) / 2
    low = _beta_quantile(tail, k + 0.5, n - k + 0.5) if k > 0 else 0.0
    high = _beta_quantile(1 - tail, k + 0.5, n - k + 0.5) if k < n else 1.0
    return Interval(low, high)


def anytime(k: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Confidence sequence of a rate: it holds at all times together, however often one looks.

    The rates p with B(a + k, b + n - k) / B(a, b) <= p^k (1 - p)^(n - k) / alpha, a = b = 1/2: a
    beta-binomial mixture against each p (Robbins 1970), whose two ends bisection finds.
    """
    _check_counts(k, n)

    def log_beta(a: float, b: float) -> float:
        return lgamma(a) + lgamma(b) - lgamma(a + b)

    mixture = log_beta(0.5 + k, 0.5 + n - k) - log_beta(0.5, 0.5)

    def excluded(rate: float) -> bool:
        likelihood = (k * log(rate) if k else 0.0) + ((n - k) * log(1 - rate) if n > k else 0.0)
        return mixture > likelihood - log(1 - confidence)

    inside = k / n if n else 0.5
    low = _bisect(excluded, outside=0.0, inside=inside) if k > 0 else 0.0
    high = _bisect(excluded, outside=1.0, inside=inside) if k < n else 1.0
    return Interval(low, high)


def newcombe(k1: int, n1: int, k2: int, n2: int, confidence: float = CONFIDENCE) -> Difference:
    """Difference of two independent rates with its hybrid score interval (Newcombe 1998, no. 10).

    ValueError if a group has no trials: there is no rate to compare.
    """
    return mantel_haenszel([Stratum(k1, n1, k2, n2)], confidence)


def mantel_haenszel(strata: Iterable[Stratum], confidence: float = CONFIDENCE) -> Difference:
    """Difference of two rates within kinds of context, averaged with Mantel-Haenszel's weights.

    It compares like with like where the two groups met different mixtures of contexts. A stratum
    weighs n1 n2 / (n1 + n2), so that one which only one group met drops out; ValueError if all do.
    The interval combines Newcombe's half-widths (MOVER; Zou and Donner 2008): one stratum gives his
    interval, and no successes anywhere do not shrink it to a point.
    """
    estimate = below = above = total = 0.0
    for k1, n1, k2, n2 in strata:
        _check_counts(k1, n1)
        _check_counts(k2, n2)
        if not (n1 and n2):
            continue
        weight = n1 * n2 / (n1 + n2)
        rate1, rate2 = k1 / n1, k2 / n2
        range1, range2 = wilson(k1, n1, confidence), wilson(k2, n2, confidence)
        total += weight
        estimate += weight * (rate1 - rate2)
        below += weight**2 * ((rate1 - range1.low) ** 2 + (range2.high - rate2) ** 2)
        above += weight**2 * ((range1.high - rate1) ** 2 + (rate2 - range2.low) ** 2)
    if not total:
        raise ValueError("The two groups share no context in which both have trials.")
    difference = estimate / total
    return Difference(
        difference, Interval(difference - sqrt(below) / total, difference + sqrt(above) / total)
    )


def two_proportion_z(k1: int, n1: int, k2: int, n2: int) -> ZTest:
    """Test that two rates are equal, with the pooled variance; z > 0 if the first is higher.

    Two rates that are both 0 or both 1 give z = 0. ValueError if a group has no trials.
    """
    _check_counts(k1, n1)
    _check_counts(k2, n2)
    if not (n1 and n2):
        raise ValueError("A group without trials has no rate to compare.")
    pooled = (k1 + k2) / (n1 + n2)
    variance = pooled * (1 - pooled) * (1 / n1 + 1 / n2)
    z = (k1 / n1 - k2 / n2) / sqrt(variance) if variance else 0.0
    return ZTest(z, erfc(abs(z) / sqrt(2)))


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


def krippendorff_alpha_nominal(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Agreement beyond chance of the labels given to each unit: 1 is perfect, 0 is chance.

    1 - (n - 1) sum o_ck / sum n_c n_k over c != k, where o_ck counts a unit's ordered pairs of
    labels, each divided by its m - 1 (Krippendorff 2011). Units with fewer than two labels drop
    out. None where it is undefined: no unit is left, or one label is all there is. Give only the
    first two votes of each unit where further votes depended on these: they would inflate it.
    """
    totals: Counter[Hashable] = Counter()
    disagreement = 0.0
    for unit in units:
        size = len(unit)
        if size < 2:
            continue
        counts = Counter(unit)
        totals.update(counts)
        unequal_pairs = size * size - sum(count * count for count in counts.values())
        disagreement += unequal_pairs / (size - 1)
    n = totals.total()
    expected = n * n - sum(count * count for count in totals.values())
    return 1 - (n - 1) * disagreement / expected if expected else None


def _check_counts(k: int, n: int) -> None:
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is no rate.")


def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _beta_quantile(probability: float, a: float, b: float) -> float:
    from scipy.special import betaincinv

    return float(betaincinv(a, b, probability))


def _bisect(excluded: Callable[[float], bool], *, outside: float, inside: float) -> float:
    """The place between `outside` and `inside` from which on nothing is excluded."""
    while True:
        middle = (outside + inside) / 2
        if middle in (outside, inside):
            return inside
        if excluded(middle):
            outside = middle
        else:
            inside = middle
