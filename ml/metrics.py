"""What an evaluation reports, as pure functions of labels, predictions and probabilities."""

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.integer]


def accuracy(predicted: Labels, y: Labels) -> float:
    """Share of right predictions; NaN when there is nothing to predict."""
    _same_length(predicted, y)
    return float(np.mean(predicted == y)) if len(y) else float("nan")


def confusion(predicted: Labels, y: Labels, classes: int = 10) -> NDArray[np.int64]:
    """Count (true label, predicted label) pairs as a (classes, classes) matrix, truth in rows."""
    _same_length(predicted, y)
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (y, predicted), 1)
    return counts


def per_class_recall(predicted: Labels, y: Labels, classes: int = 10) -> NDArray[np.float64]:
    """Share of each class that was recognised, (classes,); NaN for a class without examples."""
    counts = confusion(predicted, y, classes)
    total = counts.sum(axis=1)
    recall = np.full(classes, np.nan)
    np.divide(counts.diagonal(), total, out=recall, where=total > 0)
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


def negative_flips(old: Labels, new: Labels, y: Labels) -> float:
    """Share of items that the old model got right and the new one gets wrong; NaN when empty."""
    lost, _ = mcnemar_counts(old, new, y)
    return lost / len(y) if len(y) else float("nan")


def mcnemar_counts(old: Labels, new: Labels, y: Labels) -> tuple[int, int]:
    """Count the discordant pairs: b, old right and new wrong; c, old wrong and new right."""
    _same_length(old, y)
    _same_length(new, y)
    was_right, is_right = old == y, new == y
    return int(np.sum(was_right & ~is_right)), int(np.sum(~was_right & is_right))


def _same_length(values: NDArray[np.generic], y: Labels) -> None:
    if len(values) != len(y):
        raise ValueError(f"{len(values)} predictions for {len(y)} labels")
