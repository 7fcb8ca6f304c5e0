"""F1 and recall by label of two models on the same items, and how sure their difference is; imports
no Django."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Labels = frozenset[str]

FEW: Final = 10  # items of a label whose own spread says little


@dataclass(frozen=True, slots=True)
class Change:
    """A figure of the old and of the new model, 0 to 1; the standard error of the difference."""

    before: float
    now: float
    error: float

    @property
    def delta(self) -> float:
        """New minus old, in percentage points."""
        return 100 * (self.now - self.before)

    def lower_bound(self, confidence: float) -> float:
        """One-sided, in points, by the normal distribution: few items make it too near."""
        return self.delta - 100 * NormalDist().inv_cdf(confidence) * self.error

    def upper_bound(self, confidence: float) -> float:
        return self.delta + 100 * NormalDist().inv_cdf(confidence) * self.error


def macro_f1_change(
    truth: Sequence[Labels], old: Sequence[Labels], new: Sequence[Labels]
) -> Change:
    """Of the mean F1 over the labels that are right somewhere; each item has one label or several.

    The error is the jackknife's: each item left out in turn. Needs at least one item.
    """
    names = sorted(frozenset().union(*truth))
    if not names:  # sets of no label at all
        return Change(0.0, 0.0, 0.0)
    right, before, now = (_table(answers, names) for answers in (truth, old, new))
    (one, ones), (other, others) = _macro_f1(right, before), _macro_f1(right, now)
    differences = others - ones
    n = len(truth)
    error = sqrt((n - 1) / n * float(((differences - differences.mean()) ** 2).sum()))
    return Change(one, other, error)


def _table(answers: Sequence[Labels], names: Sequence[str]) -> Array:
    return np.array([[name in answer for name in names] for answer in answers], bool)


def _macro_f1(right: Array, said: Array) -> tuple[float, Array]:
    """Over all items, and without each in turn, where a label that only it had counts no more."""
    hits, all_ = (right & said).astype(float), right.astype(float) + said
    without = all_.sum(0) - all_
    there = right.sum(0) - right > 0
    f1 = np.where(there, 2 * (hits.sum(0) - hits) / np.where(without, without, 1), 0)
    each = f1.sum(1) / np.maximum(there.sum(1), 1)
    total = all_.sum(0)
    return float(np.mean(2 * hits.sum(0) / np.where(total, total, 1))), each


def mean_change(old: Array, new: Array) -> Change:
    """Of a score that each item has, such as the words that an answer shares with the right one."""
    differences = new - old
    error = float(differences.std(ddof=1)) / sqrt(len(old)) if len(old) > 1 else 0.0
    return Change(float(old.mean()), float(new.mean()), error)


def recall_change(labels: Sequence[str], old: Array, new: Array) -> Change:
    """Of the mean recall over labels: as if of each there were as many items.

    Items of a label vary among themselves, those of one with few items as all do.
    """
    names = sorted(set(labels))
    differences = new.astype(float) - old
    spread = float(differences.var(ddof=1)) if len(labels) > 1 else 0.0
    before, now, error = [], [], 0.0
    for name in names:
        chosen = np.array([label == name for label in labels])
        before.append(float(old[chosen].mean()))
        now.append(float(new[chosen].mean()))
        own = float(differences[chosen].var(ddof=1)) if chosen.sum() >= FEW else spread
        error += own / chosen.sum()
    return Change(float(np.mean(before)), float(np.mean(now)), sqrt(error) / len(names))
