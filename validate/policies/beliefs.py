"""What votes of known reliability say about which label is right; imports no Django."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, fsum, log
from typing import Final

from core.rule_spec import Json

DEFAULT_RELIABILITY: Final = 0.8
"""Mean of Beta(8, 2), the belief about a validator before any evidence."""

HIGHEST_RELIABILITY: Final = 0.98


@dataclass(frozen=True, slots=True)
class LabelBeliefs:
    """Probabilities of the labels, kept as logarithms that are not normalised."""

    labels: tuple[Json, ...]
    log_weights: tuple[float, ...]

    @classmethod
    def prior(cls, labels: Sequence[Json], *, favoured: Json, probability: float) -> LabelBeliefs:
        """Start with `favoured` at `probability` and the other labels sharing the rest evenly.

        ValueError with fewer than two labels, or if `favoured` is none of them.
        """
        if len(labels) < 2:
            raise ValueError("Weighing votes takes at least two labels to choose from.")
        if favoured not in labels:
            raise ValueError(f"The label {favoured!r} is none of the task's labels.")
        rest = (1 - probability) / (len(labels) - 1)
        weights = [log(probability if label == favoured else rest) for label in labels]
        return cls(tuple(labels), tuple(weights))

    def after(self, label: Json, reliability: float, votes: int = 1) -> LabelBeliefs:
        """Add `votes` votes for `label` by people who are right with probability `reliability`.

        The reliability is clipped to [1/K + .02, .98]: no vote counts against the label it names,
        and none settles the matter alone. ValueError if `label` is none of the labels.
        """
        if label not in self.labels:
            raise ValueError(f"The label {label!r} is none of the task's labels.")
        others = len(self.labels) - 1
        right = min(max(reliability, 1 / (others + 1) + 0.02), HIGHEST_RELIABILITY)
        hit, miss = votes * log(right), votes * log((1 - right) / others)
        pairs = zip(self.labels, self.log_weights, strict=True)
        weights = [weight + (hit if each == label else miss) for each, weight in pairs]
        return replace(self, log_weights=tuple(weights))

    def probabilities(self) -> list[float]:
        """Probability of each label, in the order of `labels`; they add up to 1."""
        top = max(self.log_weights)
        weights = [exp(weight - top) for weight in self.log_weights]
        total = fsum(weights)
        return [weight / total for weight in weights]

    def probability(self, label: Json) -> float:
        """Probability of one label."""
        return self.probabilities()[self.labels.index(label)]
