"""Rates, their intervals and their differences: the numbers behind boards; imports no Django.

Rates are shares of 1, `k` successes of `n` trials. docs/statistics.md says in plain words what each
of these means and when not to trust it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, log, sqrt
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

CONFIDENCE: Final = 0.95


class Interval(NamedTuple):
    """A range of rates, or of differences between rates."""

    low: float
    high: float


UNKNOWN: Final = Interval(0.0, 1.0)


def wilson(k: float, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Score interval of a rate (Wilson 1927): good for small n and for rates near 0 and 1.

    Without trials it is the whole range from 0 to 1.
    """
    _check_counts(k, n)
    if n == 0:
        return UNKNOWN
    return _score_interval(k / n, n, _normal_quantile(confidence))


def _score_interval(rate: float, n: float, z: float) -> Interval:
    centre = rate + z * z / (2 * n)
    reach = z * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # Rounding would leave 1e-17 where the interval ends at 0 or 1.
    low = (centre - reach) / scale if rate > 0 else 0.0
    high = (centre + reach) / scale if rate < 1 else 1.0
    return Interval(low, high)


def clopper_pearson(k: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Exact interval: covers in at least 95 % of all cases, so it is wider than it has to be."""
    return _beta_interval(k, n, (0, 1), (1, 0), confidence)


def jeffreys(k: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Bayes' interval under Jeffreys' prior, its ends closed: 0 of n includes 0."""
    return _beta_interval(k, n, (0.5, 0.5), (0.5, 0.5), confidence)


def _beta_interval(
    k: int,
    n: int,
    below: tuple[float, float],
    above: tuple[float, float],
    confidence: float,
) -> Interval:
    """Between quantiles of two beta distributions, given by what is added to k and n - k."""
    from scipy.special import betaincinv

    _check_counts(k, n)
    if n == 0:
        return UNKNOWN
    tail = (1 - confidence) / 2
    low = float(betaincinv(k + below[0], n - k + below[1], tail)) if k else 0.0
    high = float(betaincinv(k + above[0], n - k + above[1], 1 - tail)) if k < n else 1.0
    return Interval(low, high)


def anytime(k: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """An interval that holds at every look at once, for numbers watched while they fill up.

    The rates that a beta-binomial mixture (a = b = 1/2; Robbins 1970) does not outbid by 1/alpha.
    """
    from scipy.special import betaln

    _check_counts(k, n)
    if n == 0:
        return UNKNOWN
    least = log(1 - confidence) + float(betaln(0.5 + k, 0.5 + n - k) - betaln(0.5, 0.5))

    def stays(rate: float) -> bool:
        hits = k * log(rate) if k else 0.0
        misses = (n - k) * log(1 - rate) if k < n else 0.0
        return hits + misses >= least

    low = _edge(stays, k / n, 0.0) if k else 0.0
    high = _edge(stays, k / n, 1.0) if k < n else 1.0
    return Interval(low, high)


def _edge(stays: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where the rates that stay end, between one that does and one that does not; by bisection."""
    for _ in range(60):
        middle = (inside + outside) / 2
        if stays(middle):
            inside = middle
        else:
            outside = middle
    return inside


# --- people differ --------------------------------------------------------------------------------
def clustered(
    successes: Sequence[float], trials: Sequence[int], confidence: float = CONFIDENCE
) -> Interval:
    """Interval of a pooled rate that knows that examples of one author resemble each other.

    `successes[i]` of `trials[i]` belong to author i; an item's share of 1 may be such, too. It is
    Wilson's interval of as many independent examples as would vary as much as the rate does when an
    author is left out, with Student's t for the number of authors (as surveys do: Korn and Graubard
    1998), and never narrower than Wilson's of all examples. Resampling authors, which is better
    known, holds the truth in 83 to 89 % of rounds with ten authors instead of 95 (`python -m
    benchmarks.coverage`). With fewer than two authors it is the whole range from 0 to 1: nothing is
    known about others. Where every example failed, or none, authors show no variation, and Wilson's
    interval is given.
    """
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.int64)
    if k.shape != n.shape or k.ndim != 1:
        raise ValueError("Give one number of successes and one of trials for each author.")
    if (k < 0).any() or (k > n).any():
        raise ValueError("An author has between 0 and all of their trials as successes.")
    k, n = k[n > 0], n[n > 0]
    if len(n) < _LEAST_AUTHORS:
        return UNKNOWN
    hits, total = float(k.sum()), int(n.sum())
    plain = wilson(hits, total, confidence)
    if hits in (0, total):
        return plain
    rate = hits / total
    variance, t = _over_authors((k - rate * n) / total, n / total, confidence)
    worth = rate * (1 - rate) / variance if variance else inf
    wide = _score_interval(rate, min(worth, total), t)
    return Interval(min(plain.low, wide.low), max(plain.high, wide.high))


_LEAST_AUTHORS: Final = 2


def _over_authors(
    moved: NDArray[np.float64], shares: NDArray[np.float64], confidence: float
) -> tuple[float, float]:
    """The variance of a number by leaving out one author after the other, and Student's t for it.

    `moved`: by how much each author moves it; `shares`: how much of the data is theirs. Many
    authors of whom few sent nearly everything are worth few.
    """
    from scipy.special import stdtrit

    authors = len(moved)
    variance = (authors - 1) / authors * float(((moved / (1 - shares)) ** 2).sum())
    freedom = max(1.0, 1 / float((shares**2).sum()) - 1)
    return variance, float(stdtrit(freedom, (1 + confidence) / 2))


# --- differences ----------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Difference:
    """Of two rates, now minus before, and the range in which the true one lies."""

    value: float
    interval: Interval

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval says so, else 0."""
        return (self.interval.low > 0) - (self.interval.high < 0)


def newcombe(now: float, of_now: Interval, before: float, of_before: Interval) -> Difference:
    """The difference of two rates from their own intervals (Newcombe 1998, method 10).

    With Wilson's intervals it is Newcombe's, with authors' it knows that authors differ.
    """
    difference = now - before
    below = sqrt((now - of_now.low) ** 2 + (of_before.high - before) ** 2)
    above = sqrt((of_now.high - now) ** 2 + (before - of_before.low) ** 2)
    return Difference(difference, Interval(difference - below, difference + above))


class Part(NamedTuple):
    """What one author did in one stratum, now or before."""

    stratum: str
    author: int
    now: bool
    successes: int
    trials: int


@dataclass(frozen=True, slots=True)
class Stratified:
    """A difference within strata that both sides have, and how much of each side these hold."""

    difference: Difference
    strata: int
    share_now: float
    share_before: float


def mantel_haenszel(parts: Iterable[Part], confidence: float = CONFIDENCE) -> Stratified | None:
    """The rate's difference within strata, weighed after Mantel and Haenszel, over authors.

    Its error adds up what each author contributes on both sides and in all strata, with Student's t
    for the number of authors, and is never less than that of independent examples: people who moved
    alike are luck, not knowledge. What has the stratum "" is in none, and counts in how much of a
    side is held. None where no stratum is on both sides, or of fewer than two authors.
    """
    parts = [part for part in parts if part.trials]
    hits: dict[tuple[str, bool], int] = {}
    sizes: dict[tuple[str, bool], int] = {}
    for part in parts:
        key = part.stratum, part.now
        hits[key] = hits.get(key, 0) + part.successes
        sizes[key] = sizes.get(key, 0) + part.trials
    shared = sorted({name for name, now in sizes if name and now and (name, False) in sizes})
    weights = {
        name: sizes[name, True] * sizes[name, False] / (sizes[name, True] + sizes[name, False])
        for name in shared
    }
    parts = [part for part in parts if part.stratum in weights]
    authors = {part.author for part in parts}
    if len(authors) < _LEAST_AUTHORS:
        return None
    whole = sum(weights.values())
    rates = {key: hits[key] / size for key, size in sizes.items()}
    value = sum(w * (rates[name, True] - rates[name, False]) for name, w in weights.items()) / whole
    moved, sent = dict.fromkeys(authors, 0.0), dict.fromkeys(authors, 0)
    for part in parts:
        key = part.stratum, part.now
        excess = (part.successes - rates[key] * part.trials) / sizes[key]
        moved[part.author] += (1 if part.now else -1) * weights[part.stratum] * excess / whole
        sent[part.author] += part.trials
    trials = np.array(list(sent.values()), dtype=np.float64)
    moves = np.array(list(moved.values()), dtype=np.float64)
    variance, t = _over_authors(moves, trials / trials.sum(), confidence)
    alone = sum(
        (weights[name] / whole) ** 2 * _spread(hits[name, now], sizes[name, now])
        for name in shared
        for now in (True, False)
    )
    reach = max(t * sqrt(variance), _normal_quantile(confidence) * sqrt(alone))
    held = {now: sum(sizes[name, now] for name in shared) for now in (True, False)}
    all_ = {now: sum(size for (_, side), size in sizes.items() if side == now) for now in held}
    return Stratified(
        Difference(value, Interval(value - reach, value + reach)),
        strata=len(shared),
        share_now=held[True] / all_[True],
        share_before=held[False] / all_[False],
    )


def _spread(k: int, n: int) -> float:
    """The variance of a rate of independent trials; some even where none or all succeeded."""
    rate = (k + 0.5) / (n + 1)
    return rate * (1 - rate) / n


# --- a mean over labels ---------------------------------------------------------------------------
def macro_f1(
    pairs: Mapping[tuple[frozenset[str], frozenset[str]], int],
    confidence: float = CONFIDENCE,
    *,
    seed: int = 0,
) -> tuple[float, Interval | None]:
    """The mean F1 of the labels that are right somewhere, and its percentile interval.

    No interval where all is right, or nothing: resampling moves neither, so that it would tell luck
    as certain; nor of fewer than twenty items, of which it tells too narrow a one.

    `pairs` counts items by the right labels, one or several, and what was said. Items are
    resampled: as counts, one multinomial sample over the pairs. A label that a resample lacks is
    left out of its mean.
    """
    cells = sorted(pairs, key=lambda cell: tuple(map(sorted, cell)))
    labels = sorted({label for right, _ in cells for label in right})
    if not labels:  # sets of no label at all
        return 0.0, None
    right = np.array([[label in truth for label in labels] for truth, _ in cells])
    said = np.array([[label in answer for label in labels] for _, answer in cells])
    counts = np.array([[pairs[cell] for cell in cells]])
    total = int(counts.sum())

    def means(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        hits, all_ = counts @ (right & said), counts @ right + counts @ said
        found: NDArray[np.float64] = np.nanmean(2 * hits / np.where(all_, all_, np.nan), axis=1)
        return found

    hits = sum(n for (truth, answer), n in pairs.items() if truth == answer)
    if total < LEAST_RESAMPLED or hits in (0, total):
        return float(means(counts)[0]), None
    picked = np.random.default_rng(seed).multinomial(total, counts[0] / total, size=_RESAMPLES)
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(means(picked), [tail, 100 - tail])
    return float(means(counts)[0]), Interval(float(low), float(high))


_RESAMPLES: Final = 1_000
LEAST_RESAMPLED: Final = 20


# --- a rate that somebody reports who errs --------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Corrected:
    """What is left of a reported rate when the errors of who reports it are taken out."""

    value: float
    interval: Interval


def corrected_rate(
    said: tuple[int, int],
    upheld: tuple[int, int],
    refused: tuple[int, int],
    confidence: float = CONFIDENCE,
) -> Corrected | None:
    """The true rate of yes behind a judge that said it to k of n (Rogan and Gladen 1978).

    Each is a count and of how many: `upheld` of what is yes it said yes to, `refused` of what is no
    it said no to. The interval knows that these two are counted, too (Lee et al., arXiv
    2511.21140). None where the judge tells yes from no no better than chance, or one is uncounted.
    """
    for k, n in (said, upheld, refused):
        _check_counts(k, n)
    if not (said[1] and upheld[1] and refused[1]):
        return None
    p, yes, no = (k / n for k, n in (said, upheld, refused))
    if yes + no <= 1:
        return None
    z = _normal_quantile(confidence)
    size = said[1] + z * z
    p_ = (said[0] + z * z / 2) / size
    yes_, no_ = ((k + 1) / (n + 2) for k, n in (upheld, refused))
    of_yes, of_no = (yes_ * (1 - yes_) / (upheld[1] + 2), no_ * (1 - no_) / (refused[1] + 2))
    tells = yes_ + no_ - 1
    if tells <= 0:
        return Corrected(_share((p + no - 1) / (yes + no - 1)), UNKNOWN)
    rate = (p_ + no_ - 1) / tells
    moved = 2 * z * z * (rate * of_yes - (1 - rate) * of_no)
    reach = z * sqrt(p_ * (1 - p_) / size + (1 - rate) ** 2 * of_no + rate**2 * of_yes) / tells
    ends = Interval(_share(rate + moved - reach), _share(rate + moved + reach))
    return Corrected(_share((p + no - 1) / (yes + no - 1)), ends)


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))


def _check_counts(k: float, n: int) -> None:
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is no rate.")


def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
