"""How often the intervals of boards hold the truth: `python -m benchmarks.coverage [--runs 20000]`.

Rounds of ten authors who differ (their rates come from a beta distribution, their numbers of
submissions from a skewed one), read once at their end; and one person's rate, looked at after each
of 2,000 submissions.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from scoring.statistics import Interval, anytime, clustered, wilson

AUTHORS = 10
LOOKS = 2_000
RESAMPLED = 1_000  # runs: each draws a thousand times


def rounds(runs: int, rate: float, alike: float) -> dict[str, float]:
    """The share of rounds whose interval holds the rate of the people they came from."""
    rng = np.random.default_rng(7)
    held, asked = Counter[str](), Counter[str]()
    for run in range(runs):
        trials = 5 + rng.negative_binomial(1, 1 / 60, AUTHORS)
        people = rng.beta(rate * alike, (1 - rate) * alike, AUTHORS)
        hits = rng.binomial(trials, people)
        found = {
            "authors": clustered(hits.tolist(), trials.tolist()),
            "wilson": wilson(int(hits.sum()), int(trials.sum())),
        }
        if run < RESAMPLED:
            found["percentile bootstrap"] = resampled(hits, trials, rng)
        for name, (low, high) in found.items():
            held[name] += low <= rate <= high
            asked[name] += 1
    return {name: held[name] / count for name, count in asked.items()}


def resampled(
    hits: Sequence[int], trials: Sequence[int], rng: np.random.Generator, draws: int = 1_000
) -> Interval:
    """What the boards had before: whole authors drawn again and again, and percentiles."""
    picked = rng.integers(AUTHORS, size=(draws, AUTHORS))
    rates = np.asarray(hits)[picked].sum(axis=1) / np.asarray(trials)[picked].sum(axis=1)
    low, high = np.quantile(rates, [0.025, 0.975])
    return Interval(float(low), float(high))


def missed(runs: int, rate: float, method: Callable[[int, int], Interval]) -> float:
    """The share of runs in which the interval left out the rate at one look or more."""
    rng = np.random.default_rng(11)
    found: dict[tuple[int, int], bool] = {}
    misses = 0
    for _ in range(runs):
        hits = np.cumsum(rng.random(LOOKS) < rate)
        for n, k in enumerate(hits.tolist(), start=1):
            if (k, n) not in found:
                low, high = method(k, n)
                found[k, n] = not low <= rate <= high
            if found[k, n]:
                misses += 1
                break
    return misses / runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--watched", type=int, default=1_000)
    asked = parser.parse_args()
    print("| rate | variance between people | people differ | Wilson | percentile bootstrap |")
    print("|---|---|---|---|---|")
    for rate, alike in ((0.3, 8), (0.3, 30), (0.1, 8), (0.1, 30), (0.5, 8)):
        held = rounds(asked.runs, rate, alike)
        shares = " | ".join(f"{100 * share:.1f} %" for share in held.values())
        print(f"| {rate} | beta({rate * alike:.1f}, {(1 - rate) * alike:.1f}) | {shares} |")
    for name, method in (("anytime", anytime), ("Wilson", wilson)):
        for rate in (0.1, 0.4):
            share = missed(asked.watched, rate, method)
            print(f"{name}: missed {rate} in {100 * share:.1f} % of runs of {LOOKS} looks")


if __name__ == "__main__":
    main()
