"""Dynascore against a hand-computed vector; nothing where there is nothing, never 0 or NaN."""

from __future__ import annotations

import pytest

from scoring.dynascore import NotComparable, dynascores, pareto

METRICS = ("performance", "throughput", "memory", "fairness", "robustness")
WEIGHTS = dict(zip(METRICS, (4, 1, 1, 1, 1), strict=True))
MODELS = {
    name: dict(zip(METRICS, values, strict=True))
    for name, values in {
        "a": (70, 10, 8, 90, 80), "b": (75, 8, 10, 92, 82), "c": (82, 4, 12, 93, 88),
    }.items()
}  # fmt: skip


def test_the_published_formula() -> None:
    scores = dynascores(MODELS, WEIGHTS)
    assert scores == pytest.approx({"a": 97.8467, "b": 100.4216, "c": 103.8167}, abs=5e-5)


@pytest.mark.parametrize(
    ("changes", "weights", "words"),
    [
        ({"b": None, "c": None}, {}, "two models"),
        ({"b": {"performance": 70}, "c": {"performance": 70}}, {}, "perform alike"),
        ({"b": {"fairness": 90}, "c": {"fairness": 90}}, {}, "the same fairness"),
        ({}, dict.fromkeys(METRICS, 0), "more than 0"),
        ({}, {"memory": -1}, "not be negative"),
    ],
)
def test_what_is_not_comparable_says_why(changes: dict, weights: dict, words: str) -> None:
    models = {
        name: {**metrics, **(changes.get(name) or {})}
        for name, metrics in MODELS.items()
        if name not in changes or changes[name] is not None
    }
    with pytest.raises(NotComparable, match=words):
        dynascores(models, {**WEIGHTS, **weights})


def test_a_metric_without_weight_may_be_constant() -> None:
    alike = {name: {**metrics, "fairness": 1} for name, metrics in MODELS.items()}
    assert set(dynascores(alike, {**WEIGHTS, "fairness": 0})) == set(MODELS)


def test_nobody_beats_the_unbeaten() -> None:
    assert pareto(MODELS) == {"a", "b", "c"}
    worse = {**MODELS, "d": {**MODELS["b"], "memory": 11}, "e": dict(MODELS["b"])}
    assert pareto(worse) == {"a", "b", "c", "e"}
