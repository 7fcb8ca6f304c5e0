"""The figures of an evaluation, against values worked out by hand."""

import numpy as np
import pytest

from ml.metrics import (
    accuracy,
    expected_calibration_error,
    per_class_recall,
)

Y = np.array([0, 0, 1, 1, 1, 2])
OLD = np.array([0, 1, 1, 1, 0, 2])


def test_accuracy_and_recall():
    assert accuracy(OLD, Y) == pytest.approx(4 / 6)
    np.testing.assert_allclose(per_class_recall(OLD, Y, 4), [1 / 2, 2 / 3, 1, np.nan])


def test_calibration_error_by_hand():
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    y = np.array([0, 1, 0, 1])
    # Bins: .9 twice with one right, .6 right, .8 right.
    expected = (2 * abs(0.5 - 0.9) + abs(1 - 0.6) + abs(1 - 0.8)) / 4
    assert expected_calibration_error(probs, y, bins=10) == pytest.approx(expected)


def test_certain_and_right_is_calibrated():
    assert expected_calibration_error(np.eye(3), np.arange(3)) == 0


def test_nothing_to_measure_is_not_a_number():
    none = np.array([], dtype=np.int64)
    assert np.isnan(accuracy(none, none))
    assert np.isnan(expected_calibration_error(np.empty((0, 10)), none))


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="6 predictions for 5 labels"):
        accuracy(OLD, Y[:5])
