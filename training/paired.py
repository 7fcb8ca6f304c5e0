"""Two models' answers to the same items, and how sure their difference is; imports no Django."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import ceil, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.metrics import expected_calibration_error
from training.f1 import Change, Labels, macro_f1_change, mean_change, recall_change

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Paired:
    """For each item whether the old and the new model were right, and its true label.

    With how sure each was of its answer, 0 to 1, where they say so. Of answers that are labels all
    `truth`, and what each model said; of free ones the F1 of its words with the right ones, 0 to 1.
    ValueError if lengths differ.
    """

    old: Array
    new: Array
    labels: Sequence[str]
    old_sure: Array | None = None
    new_sure: Array | None = None
    truth: Sequence[Labels] | None = None
    old_said: Sequence[Labels] | None = None
    new_said: Sequence[Labels] | None = None
    old_f1: Array | None = None
    new_f1: Array | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            values = getattr(self, field.name)
            if values is not None and len(values) != self.n:
                raise ValueError(f"'{field.name}' has {len(values)} values for {self.n} items.")

    @property
    def n(self) -> int:
        return len(self.labels)

    def of_class(self, label: str) -> Paired:
        """The items whose true label is `label`, without how sure the models were."""
        chosen = [one == label for one in self.labels]
        return Paired(self.old[chosen], self.new[chosen], [label] * sum(chosen))

    @property
    def classes(self) -> list[str]:
        """The labels; none where answers are free."""
        return sorted(set(self.labels)) if self.old_f1 is None else []

    @property
    def balance(self) -> tuple[Counter[str], float]:
        """How many items each label has, and how many times as many the most as the rarest."""
        counts = Counter(self.labels if self.classes else ())
        return counts, max(counts.values()) / min(counts.values()) if counts else 1.0

    @property
    def f1(self) -> Change | None:
        """The mean F1 over labels, or over free answers; None without items or what was said."""
        if not self.n:
            return None
        if self.old_f1 is not None and self.new_f1 is not None:
            return mean_change(self.old_f1, self.new_f1)
        if self.truth is None or self.old_said is None or self.new_said is None:
            return None
        return macro_f1_change(self.truth, self.old_said, self.new_said)

    @property
    def recall(self) -> Change | None:
        """The mean recall over labels; None without any."""
        return recall_change(self.labels, self.old, self.new) if self.classes else None

    @property
    def lost(self) -> int:
        """Items the old model had right and the new one has wrong: McNemar's b."""
        return int((self.old & ~self.new).sum())

    @property
    def gained(self) -> int:
        """Items the old model had wrong and the new one has right: McNemar's c."""
        return int((~self.old & self.new).sum())

    @property
    def accuracies(self) -> tuple[float, float]:
        """Of the old and the new model, 0 to 1; needs at least one item."""
        return float(np.mean(self.old)), float(np.mean(self.new))

    @property
    def calibration_errors(self) -> tuple[float, float] | None:
        """Of the old and the new model, 0 to 1; None without items or probabilities."""
        if not self.n or self.old_sure is None or self.new_sure is None:
            return None
        return (
            expected_calibration_error(self.old_sure, self.old),
            expected_calibration_error(self.new_sure, self.new),
        )

    @property
    def delta(self) -> float:
        """Difference of the accuracies in points; needs at least one item."""
        return 100 * (self.gained - self.lost) / self.n

    def lower_bound(self, confidence: float) -> float:
        """One-sided lower bound of `delta`, in points."""
        return 100 * paired_lower_bound(self.lost, self.gained, self.n, confidence)

    def upper_bound(self, confidence: float) -> float:
        """One-sided upper bound of `delta`, in points."""
        return -100 * paired_lower_bound(self.gained, self.lost, self.n, confidence)


def paired_lower_bound(lost: int, gained: int, n: int, confidence: float = 0.95) -> float:
    """One-sided lower bound of (gained - lost) / n, the difference of two paired proportions.

    The score bound of Tango (1998, Statistics in Medicine 17:891): the smallest difference that a
    score test with the restricted maximum-likelihood nuisance parameter does not reject, found by
    bisection. Without discordant items it is -z^2 / (n + z^2) and not 0: agreement on a few items
    proves little. -1 without items.
    """
    if lost < 0 or gained < 0 or lost + gained > n:
        raise ValueError(f"{lost} lost and {gained} gained do not fit into {n} items.")
    if n == 0:
        return -1.0
    z = NormalDist().inv_cdf(confidence)

    def rejected(difference: float) -> bool:
        b = (2 * n + lost - gained) * difference - lost - gained
        c = -lost * difference * (1 - difference)
        only_old = (sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
        variance = n * (2 * only_old + difference * (1 - difference))
        return gained - lost - n * difference > z * sqrt(max(0.0, variance))

    low, high = -1.0, (gained - lost) / n
    while low < (middle := (low + high) / 2) < high:
        if rejected(middle):
            low = middle
        else:
            high = middle
    return high


def items_to_hold(margin: float, confidence: float) -> int:
    """How many items it takes that the lower bound of no change at all holds a margin in points.

    From -z^2 / (n + z^2) >= margin / 100; with a margin of 0 no number does.
    """
    squared = NormalDist().inv_cdf(confidence) ** 2
    return ceil(squared * (100 / -margin - 1)) if margin else sys.maxsize


def surest(margin: float, n: int) -> float:
    """The confidence at which so many items hold it just so, if none of them changed."""
    return NormalDist().cdf(sqrt(n * -margin / (100 + margin))) if margin > -100 else 1.0
