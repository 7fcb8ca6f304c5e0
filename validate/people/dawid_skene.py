"""Confusion-matrix EM of Dawid and Skene (1979): how each person errs, and what is probably right.

NumPy alone, no Django. Unlike a model with one accuracy for each person it learns who mixes up
which labels, so that a pool which mostly errs in one direction does not turn the truth around.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

SMOOTHING: Final = 0.01
MAX_ITERATIONS: Final = 100
TOLERANCE: Final = 1e-5

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What EM ended with.

    `posteriors[i, k]`: probability that item i is k. `confusions[w, k, l]`: how often person w
    says l when it is k. `priors[k]`: share of label k.
    """

    posteriors: Floats
    confusions: Floats
    priors: Floats
    iterations: int


def dawid_skene(
    items: Places,
    people: Places,
    labels: Places,
    *,
    classes: int,
    gold: Mapping[int, int] | None = None,
    smoothing: float = SMOOTHING,
) -> Estimate:
    """Estimate from votes: `people[v]` said `labels[v]` of `items[v]`, all counted from 0.

    It starts from the shares of the votes. Items in `gold` (item to label) stay what they are.
    `smoothing` is added to every cell of a confusion matrix before its rows are normalised.
    ValueError when an item has neither a vote nor a gold label, or the arrays differ in length.
    """
    if not (items.shape == people.shape == labels.shape and items.ndim == 1):
        raise ValueError("Give one item, one person and one label for each vote.")
    known = dict(gold or {})
    n = 1 + max(int(items.max(initial=-1)), max(known, default=-1))
    shares = np.bincount(items * classes + labels, minlength=n * classes).reshape(n, classes)
    clamped = np.array(sorted(known), dtype=np.int64)
    certain = np.eye(classes)[[known[item] for item in clamped]]
    posteriors = shares.astype(np.float64)
    posteriors[clamped] = certain
    if n == 0 or not posteriors.any(axis=1).all():
        raise ValueError("Every item needs a vote or a known label.")
    posteriors /= posteriors.sum(axis=1, keepdims=True)

    crowd = 1 + int(people.max(initial=-1))
    cells = people * classes + labels
    for iteration in range(1, MAX_ITERATIONS + 1):  # noqa: B007  (told in the result)
        confusions = _confusions(posteriors, items, cells, crowd, smoothing)
        priors = posteriors.mean(axis=0)
        before = posteriors
        posteriors = _posteriors(confusions, priors, items, cells, n)
        posteriors[clamped] = certain
        if float(np.abs(posteriors - before).max()) < TOLERANCE:
            break
    return Estimate(posteriors, confusions, priors, iteration)


def _confusions(
    posteriors: Floats, items: Places, cells: Places, crowd: int, smoothing: float
) -> Floats:
    """The M-step: votes of each person by the label that the item probably has."""
    classes = posteriors.shape[1]
    votes = np.stack(
        [
            np.bincount(cells, weights=column[items], minlength=crowd * classes)
            for column in posteriors.T
        ]
    )
    counts = votes.reshape(classes, crowd, classes).transpose(1, 0, 2) + smoothing
    totals = counts.sum(axis=2, keepdims=True)
    # Without smoothing a person may never have met a label: nothing is known, all are as likely.
    return np.where(totals > 0, counts / np.where(totals > 0, totals, 1), 1 / classes)


def _posteriors(confusions: Floats, priors: Floats, items: Places, cells: Places, n: int) -> Floats:
    """The E-step, in logarithms: a long row of small probabilities would underflow."""
    tiny = np.finfo(np.float64).tiny
    by_truth = np.log(np.maximum(confusions, tiny)).transpose(1, 0, 2).reshape(len(priors), -1)
    evidence = np.stack([np.bincount(items, weights=row[cells], minlength=n) for row in by_truth])
    logs = evidence.T + np.log(np.maximum(priors, tiny))
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    posteriors: Floats = weights / weights.sum(axis=1, keepdims=True)
    return posteriors
