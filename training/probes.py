"""Counterfactual probes: which of a program's changes of wording turn a model's answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from annotate.models import ModelVersion
from ml.learners import Item
from training.evaluations import opened
from training.stress import stress_sets

logger = logging.getLogger(__name__)

MOST: Final = 20  # texts of a region: each is asked about in a score of wordings
TOLD: Final = 5

Turned = list[tuple[str, int, int]]


def turned_by(model: ModelVersion, regions: Sequence[Sequence[Item]]) -> list[Turned | None]:
    """For each region the changes that turn most answers, each with how many and of how many.

    None where that cannot be asked, or where somebody pays for it; never raises.
    """
    if not model.backend or "url" in model.config or not model.task.kind.text_fields:
        return [None] * len(regions)
    try:
        backend = opened(model)
        return [
            _turned(
                {
                    name: counts
                    for suite in stress_sets(model.task, items[:MOST])
                    if (told := suite.figures(model.task, model, backend)) is not None
                    for name, counts in told["figures"]["by_change"].items()
                }
            )
            for items in regions
        ]
    except Exception:
        logger.warning("%s could not be asked about other wordings", model, exc_info=True)
        return [None] * len(regions)


def _turned(by_change: dict[str, list[int]]) -> Turned:
    some = [(name, of - kept, of) for name, (kept, of) in by_change.items() if kept < of]
    return sorted(some, key=lambda one: (-one[1] / one[2], one[0]))[:TOLD]
