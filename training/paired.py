"""Two models' answers to the same items, and how sure their difference is; imports no Django."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import sqrt
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_CALIBRATION_BINS: Final = 15

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Paired:
    """Predictions of the old and the new model for the same items, and the true labels.

    One label or class index an item; probabilities, where given, have shape (items, classes) and
    rows that sum to 1. ValueError if the lengths differ.
    """

    old: Array
    new: Array
    truth: Array
    old_probabilities: Array | None = None
    new_probabilities: Array | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            values = getattr(self, field.name)
            if values is None:
                continue
            array = np.asarray(values)
            shape = 2 if field.name.endswith("probabilities") else 1
            if array.ndim != shape or len(array) != len(self.truth):
                raise ValueError(f"'{field.name}' has shape {array.shape} for {self.n} items.")
            object.__setattr__(self, field.name, array)

    @property
    def n(self) -> int:
        return len(self.truth)

    def of_class(self, label: Any) -> Paired:
        """The items whose true label is `label`, without probabilities."""
        chosen = self.truth == label
        return Paired(self.old[chosen], self.new[chosen], self.truth[chosen])

    @property
    def lost(self) -> int:
        """Items the old model had right and the new one has wrong: McNemar's b."""
        return int(((self.old == self.truth) & (self.new != self.truth)).sum())

    @property
    def gained(self) -> int:
        """Items the old model had wrong and the new one has right: McNemar's c."""
        return int(((self.old != self.truth) & (self.new == self.truth)).sum())

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


def expected_calibration_error(probabilities: Array, right: Array) -> float:
    """Mean gap between confidence and accuracy over 15 equal bins (Guo et al. 2017), 0 to 1.

    `probabilities` has shape (items, classes), and `right` says which items were predicted right;
    the confidence is the highest probability. Needs at least one item.
    """
    confidence = probabilities.max(axis=1)
    place = np.ceil(confidence * _CALIBRATION_BINS).astype(int).clip(1, _CALIBRATION_BINS)
    gaps = np.bincount(place, weights=confidence - right, minlength=_CALIBRATION_BINS + 1)
    return float(np.abs(gaps).sum() / len(right))
