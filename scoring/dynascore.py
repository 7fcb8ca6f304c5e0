"""One number for a model from several, with weights that everybody chooses; imports no Django.

Dynascore (Ma et al., Dynaboard, 2021) turns each metric into performance by what models that are
neighbours in performance give up of it. It hangs on the set of models: another model can change
the order of the others, so the set is part of the answer, and a Pareto view stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

PERFORMANCE: Final = "performance"
# Dynaboard's own; the last two where a suite has measured them.
WEIGHTS: Final = {
    PERFORMANCE: 4.0, "throughput": 1.0, "memory": 1.0, "fairness": 1.0, "robustness": 1.0,
}  # fmt: skip
MEMORY_GB: Final = 16.0  # of an instance: what a model leaves free of it is good
NEARLY_EQUAL: Final = 1e-4  # of the best performance

Metrics = Mapping[str, float]


class NotComparable(ValueError):
    """No score can be computed; the message says why."""


def dynascores(
    models: Mapping[str, Metrics],
    weights: Mapping[str, float],
    *,
    memory_gb: float = MEMORY_GB,
) -> dict[str, float]:
    """Each model's score, in units of performance; NotComparable where it would be 0 or NaN.

    Every model has each metric that has a weight. Metrics are the more the better, but `memory`,
    which is in GB.
    """
    total = sum(weights.values())
    if min(weights.values(), default=0) < 0 or total <= 0:
        raise NotComparable("Weights must not be negative, and one must be more than 0.")
    if len(models) < 2:
        raise NotComparable("It takes two models that were measured on the same data.")
    used = {name: weight / total for name, weight in weights.items() if weight}
    ordered = sorted(models.values(), key=lambda metrics: metrics[PERFORMANCE])
    rates = {name: _exchange_rate(ordered, name) for name in used}
    return {
        model: sum(
            weight * _good(metrics, name, memory_gb) / rates[name] for name, weight in used.items()
        )
        for model, metrics in models.items()
    }


def _exchange_rate(ordered: Sequence[Metrics], name: str) -> float:
    """The average of what a point of performance costs of this metric, among neighbours."""
    least = NEARLY_EQUAL * ordered[-1][PERFORMANCE]
    steps = [
        abs(after[name] - before[name]) / gained
        for before, after in pairwise(ordered)
        if (gained := after[PERFORMANCE] - before[PERFORMANCE]) > least
    ]
    if not steps:
        raise NotComparable("All models perform alike, so nothing says what a point is worth.")
    if not any(steps):
        raise NotComparable(f"All models have the same {name}: give it the weight 0.")
    return sum(steps) / len(steps)


def _good(metrics: Metrics, name: str, memory_gb: float) -> float:
    return memory_gb - metrics[name] if name == "memory" else metrics[name]


def pareto(models: Mapping[str, Metrics]) -> set[str]:
    """The models that no other beats: in nothing worse, in something better."""

    def beats(one: Metrics, other: Metrics) -> bool:
        gains = [_good(one, name, 0) - _good(other, name, 0) for name in one]
        return min(gains) >= 0 and max(gains) > 0

    return {
        name
        for name, metrics in models.items()
        if not any(beats(other, metrics) for other in models.values())
    }
