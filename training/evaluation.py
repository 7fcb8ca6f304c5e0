"""Two models on the same items: what the gates judge and the owner's page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.backends import Backend
from training.paired import Paired, expected_calibration_error


@dataclass(frozen=True)
class Comparison:
    """Candidate and current model on clean data, on each earlier round's test, on the new one's."""

    clean: Paired
    earlier: Mapping[int, Paired]
    new_round: Paired

    def figures(self) -> dict[str, Any]:
        """Everything measured, as JSON; None where there was nothing to measure."""
        return {
            "clean": {
                **_accuracies(self.clean),
                "recall": {
                    str(label): _accuracies(self.clean.of_class(label))
                    for label in np.unique(self.clean.truth)
                },
                "calibration_error": {
                    "before": _calibration(
                        self.clean, self.clean.old, self.clean.old_probabilities
                    ),
                    "now": _calibration(self.clean, self.clean.new, self.clean.new_probabilities),
                },
            },
            "earlier_rounds": {
                str(number): _accuracies(paired) for number, paired in sorted(self.earlier.items())
            },
            "new_round": _accuracies(self.new_round),
        }


def pair(
    current: Backend, candidate: Backend, images: NDArray[np.float32], truth: NDArray[np.str_]
) -> Paired:
    """Let both models answer the same (n, 28, 28) images."""
    old, new = current.probabilities(images), candidate.probabilities(images)
    return Paired(
        old=np.array(current.labels)[old.argmax(axis=1)],
        new=np.array(candidate.labels)[new.argmax(axis=1)],
        truth=truth,
        old_probabilities=old,
        new_probabilities=new,
    )


def _accuracies(paired: Paired) -> dict[str, float | int | None]:
    if not paired.n:
        return {"items": 0, "before": None, "now": None}
    right = (paired.old == paired.truth, paired.new == paired.truth)
    before, now = (float(np.mean(each)) for each in right)
    return {"items": paired.n, "before": before, "now": now}


def _calibration(
    paired: Paired, answers: NDArray[Any], probabilities: NDArray[Any] | None
) -> float | None:
    if probabilities is None or not paired.n:
        return None
    return expected_calibration_error(probabilities, answers == paired.truth)
