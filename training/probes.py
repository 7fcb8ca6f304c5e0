"""Counterfactual probes: which of a program's changes of wording turn a model's answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from annotate.models import ModelVersion
from ml.backends import Backend
from ml.learners import Item
from training.evaluations import opened
from training.stress import stress_sets

logger = logging.getLogger(__name__)

MOST: Final = 20  # texts of a region: each is asked about in a score of wordings
TOLD: Final = 5

Turned = list[tuple[str, int, int]]


class Prober:
    """A model that is asked about texts again, and opened once; it never raises."""

    def __init__(self, model: ModelVersion) -> None:
        self._model = model
        self._backend: Backend | None = None
        # Behind an address somebody pays for each.
        if model.backend and "url" not in model.config and model.task.kind.text_fields:
            try:
                self._backend = opened(model)
            except Exception:
                logger.warning("%s cannot be asked about other wordings", model, exc_info=True)

    def turned_by(self, items: Sequence[Item]) -> Turned | None:
        """The changes that turn most of the answers, each with how many and of how many; None
        where that cannot be told."""
        if self._backend is None:
            return None
        model = self._model
        found: list[tuple[str, list[int]]] = []
        try:
            for suite in stress_sets(model.task, items[:MOST]):
                told = suite.figures(model.task, model, self._backend)
                found += list(told["figures"]["by_change"].items()) if told is not None else []
        except Exception:
            logger.warning("%s could not be asked about other wordings", model, exc_info=True)
            return None
        some = [(name, of - kept, of) for name, (kept, of) in found if kept < of]
        return sorted(some, key=lambda one: (-one[1] / one[2], one[0]))[:TOLD]
