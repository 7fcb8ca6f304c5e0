"""What is told about a model, from its answers; knows no shape."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinds.answers import same_answer
from ml.backends import Answer

BINS: Final = 15
RESAMPLES: Final = 500
COVERAGES: Final = (1.0, 0.9, 0.8, 0.7, 0.5)
MISSES: Final = 0.1  # how often a set of labels may lack the right one


def figures(
    answers: Sequence[Answer], truth: Sequence[Any], labels: Sequence[str]
) -> dict[str, Any]:
    """Accuracy, recall by label and calibration error as JSON; None where there is nothing."""
    right = right_answers(answers, truth)
    sure = confidence(answers)
    by_label = [right[[one == label for one in truth]] for label in labels]
    return {
        "items": len(truth),
        "accuracy": _mean(right),
        "per_class_recall": [_mean(chosen) for chosen in by_label],
        "expected_calibration_error": (
            expected_calibration_error(sure, right) if sure is not None and len(truth) else None
        ),
    }


def right_answers(answers: Sequence[Answer], truth: Sequence[Any]) -> NDArray[np.bool_]:
    """(n,) whether each answer is the true one."""
    return np.array(
        [same_answer(answer.label, label) for answer, label in zip(answers, truth, strict=True)],
        dtype=bool,
    )


def confidence(answers: Sequence[Answer]) -> NDArray[np.float64] | None:
    """(n,) each answer's highest probability; None where a model gives none."""
    tables = [answer.probabilities for answer in answers]
    if not all(tables):
        return None
    return np.array([max(table.values()) for table in tables if table], dtype=np.float64)


def expected_calibration_error(sure: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Mean gap between confidence and accuracy over 15 equal bins of confidence, 0 to 1.

    Guo et al., "On Calibration of Modern Neural Networks", 2017, eq. 3. Needs at least one item.
    """
    return _gap(_bins(sure), sure - right)


def calibration_interval(
    sure: NDArray[np.floating], right: NDArray[np.bool_]
) -> tuple[float, float]:
    """Ends of an interval for the expected calibration error, at 95 %. Needs at least one item.

    The error of few items is too high on average: a perfect model's is never 0. So the low end is 0
    unless such a model would hardly ever show as much (consistency resampling, Bröcker and Smith,
    2007); else it is as far below as the bootstrap's 97.5 % point lies above, which is the high end
    (docs/statistics.md has how often it holds the truth).
    """
    chance, bins, n = np.random.default_rng(0), _bins(sure), len(right)
    wide = sure - right
    again = (chance.integers(n, size=n) for _ in range(RESAMPLES))
    high = np.quantile([_gap(bins[rows], wide[rows]) for rows in again], 0.975)
    perfect = [_gap(bins, sure - (chance.random(n) < sure)) for _ in range(RESAMPLES)]
    found = _gap(bins, wide)
    low = 2 * found - high if found > np.quantile(perfect, 0.975) else 0.0
    return max(0.0, float(low)), min(1.0, max(found, float(high)))


def _bins(sure: NDArray[np.floating]) -> NDArray[np.int_]:
    """Each item's: (low, high], so a confidence of exactly 1 belongs to the last one."""
    bins: NDArray[np.int_] = np.ceil(np.asarray(sure) * BINS).astype(int).clip(1, BINS)
    return bins


def _gap(bins: NDArray[np.int_], wide: NDArray[np.floating]) -> float:
    return float(np.abs(np.bincount(bins, weights=wide, minlength=BINS + 1)).sum() / len(wide))


def selective(sure: NDArray[np.floating], right: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Of as many answers as COVERAGES say, the surest, how many are right."""
    order = np.argsort(-sure, kind="stable")
    sizes = [round(share * len(right)) for share in COVERAGES]
    return [(int(right[order[:size]].sum()), size) for size in sizes]


def conformal_threshold(of_truth: NDArray[np.floating], misses: float = MISSES) -> float:
    """The share that a label must have to be told among those that it may be.

    Split conformal prediction (Papadopoulos et al. 2002): such sets lack the right label in at most
    `misses` of all cases that are like these (n,), the shares of the right labels, however wrong
    the model is. With fewer than 1 / misses - 1 of them it is 0: every label is told.
    """
    place = floor((len(of_truth) + 1) * misses + 1e-9)
    return float(np.sort(of_truth)[place - 1]) if place else 0.0


def _mean(right: NDArray[np.bool_]) -> float | None:
    return float(right.mean()) if len(right) else None
