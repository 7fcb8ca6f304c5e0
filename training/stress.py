"""What models make of inputs that were changed by a program: automatic, and set apart as such."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from annotate.models import ModelVersion, Task
from kinds.answers import same_answer
from ml.backends import Answer, Backend
from ml.learners import Item
from ml.stress import SEED, Suite, content_of, suites_for
from scoring.statistics import clustered
from training.evaluation import answers_of
from training.models import Evaluation

STRESSED: Final = 100  # items, each asked as often as its suite has changes


@dataclass(frozen=True)
class StressSet:
    """Items and what a suite makes of them; `field` names the text that is changed.

    There may be nothing to change in any of them.
    """

    suite: Suite
    items: Sequence[Item]
    field: str

    @property
    def name(self) -> str:
        return f"{Evaluation.STRESS}{self.suite.name}"

    @cached_property
    def copies(self) -> list[list[tuple[str, Item]]]:
        """Of each item, those by name of what was changed."""
        return [
            [
                (name, Item(copy, item.label))
                for name, copy in self.suite.copies(item.prepared, self.field)
            ]
            for item in self.items
        ]

    @cached_property
    def sha256(self) -> str:
        """Of the items, the parameters and the seed, of which the copies are made."""
        own = [content_of(_own(item.prepared.features, self.field)) for item in self.items]
        told = json.dumps([self.suite.recorded, own, "over items"], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()

    def figures(self, task: Task, model: ModelVersion, backend: Backend) -> dict[str, Any] | None:
        """How often a model answers a copy as it answers the item, in all and by change."""
        if getattr(backend, "remote", False):
            return None  # somebody may pay for each of a thousand answers
        before = answers_of(backend, self.items)
        after = iter(answers_of(backend, [copy for some in self.copies for _, copy in some]))
        pairs = [[(name, next(after)) for name, _ in copies] for copies in self.copies]
        recorded = self.suite.recorded
        return as_before(before, pairs, about=self.suite.about, **recorded)


def as_before(
    before: Sequence[Answer | None],
    after: Sequence[Sequence[tuple[str, Answer | None]]],
    **recorded: Any,
) -> dict[str, Any]:
    """How many answers to the copies of each item, by what was changed, are those to the item.

    An item counts once, however many copies it has, by the share of them that is answered so.
    """
    by_change: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    kept_of, shares = [], []
    for answer, copies in zip(before, after, strict=True):
        same = 0
        for name, other in copies:
            kept = (
                answer is not None and other is not None and same_answer(other.label, answer.label)
            )
            by_change[name][0] += kept
            by_change[name][1] += 1
            same += kept
        kept_of.append(same)
        shares += [same / len(copies)] if copies else []
    low, high = clustered(shares, [1] * len(shares))
    figures = {
        "low": low, "high": high, "over_items": [sum(shares), len(shares)],
        "by_change": dict(by_change), **recorded,
    }  # fmt: skip
    return {"items": sum(map(len, after)), "right": sum(kept_of), "figures": figures}


def some_of(items: Sequence[Item]) -> list[Item]:
    """Those that are asked about changed, the same ones each time."""
    chosen = np.random.default_rng(SEED).permutation(len(items))[:STRESSED]
    return [items[place] for place in chosen.tolist()]


def stress_sets(task: Task, some: Sequence[Item]) -> list[StressSet]:
    """One for each suite that can change such inputs."""
    field = task.kind.text_fields[-1] if task.kind.text_fields else ""
    own = _own(some[0].prepared.features, field)
    return [StressSet(suite, some, field) for suite in suites_for(own)]


def _own(features: Any, field: str) -> Any:
    return features[field] if field else features
