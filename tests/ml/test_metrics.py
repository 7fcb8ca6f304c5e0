"""What is told about a model, against values worked out by hand."""

import numpy as np
import pytest

from ml.backends import Answer
from ml.metrics import (
    calibration_interval,
    confidence,
    expected_calibration_error,
    figures,
    right_answers,
)


def answer(label, **probabilities):
    return Answer(label, probabilities or None)


def test_figures_by_hand():
    answers = [
        answer("a", a=0.9, b=0.1),
        answer("b", a=0.1, b=0.9),
        answer("a", a=0.6, b=0.4),
        answer("b", a=0.2, b=0.8),
    ]
    assert figures(answers, ["a", "a", "a", "b"], ["a", "b", "c"]) == {
        "items": 4,
        "accuracy": 0.75,
        "per_class_recall": [pytest.approx(2 / 3), 1.0, None],
        # Bins: .9 twice with one right, .6 right, .8 right.
        "expected_calibration_error": pytest.approx((abs(1.8 - 1) + 0.4 + 0.2) / 4),
    }


def test_nothing_to_measure_is_null():
    assert figures([], [], ["a"]) == {
        "items": 0,
        "accuracy": None,
        "per_class_recall": [None],
        "expected_calibration_error": None,
    }
    assert figures([answer("a")], ["a"], ["a"])["expected_calibration_error"] is None


def test_certain_and_right_is_calibrated():
    assert expected_calibration_error(np.ones(3), np.ones(3, bool)) == 0


def test_the_interval_of_a_calibration_error_holds_it():
    chance = np.random.default_rng(0)

    def held(right: float, error: float) -> int:
        found = 0
        for _ in range(30):
            low, high = calibration_interval(np.full(200, 0.9), chance.random(200) < right)
            found += low <= error <= high
        return found

    assert held(right=0.9, error=0) >= 27, "what a perfect model shows is no error"
    assert held(right=0.6, error=0.3) >= 27
    low, _ = calibration_interval(np.full(200, 0.9), np.zeros(200, bool))
    assert low == pytest.approx(0.9)


def test_sets_of_labels_are_right_in_any_order():
    answers = [answer(["x", "y"]), answer(["x"])]
    assert right_answers(answers, [["y", "x"], ["y"]]).tolist() == [True, False]
    assert confidence(answers) is None
