"""What an evaluation reports, as pure functions of labels, predictions and probabilities."""

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.integer]


def accuracy(predicted: Labels, y: Labels) -> float:
    """Share of right predictions; NaN when there is nothing to predict."""
    _same_length(predicted, y)
    return float(np.mean(predicted == y)) if len(y) else float("nan")


def per_class_recall(predicted: Labels, y: Labels, classes: int = 10) -> NDArray[np.float64]:
    """Share of each class that was recognised, (classes,); NaN for a class without examples."""
    _same_length(predicted, y)
    total = np.bincount(y, minlength=classes)
    recall = np.full(classes, np.nan)
    np.divide(np.bincount(y[predicted == y], minlength=classes), total, out=recall, where=total > 0)
    return recall


def expected_calibration_error(probs: NDArray[np.floating], y: Labels, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy over equal-width bins of confidence.

    `probs` is (n, classes). Guo et al., "On Calibration of Modern Neural Networks", 2017, eq. 3.
    NaN when empty.
    """
    _same_length(probs, y)
    if not len(y):
        return float("nan")
    confidence = probs.max(axis=1).astype(np.float64)
    right = probs.argmax(axis=1) == y
    # Bins are (low, high], so a confidence of exactly 1 belongs to the last one.
    which = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.bincount(which, weights=right - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(y))


def _same_length(values: NDArray[np.generic], y: Labels) -> None:
    if len(values) != len(y):
        raise ValueError(f"{len(values)} predictions for {len(y)} labels")
