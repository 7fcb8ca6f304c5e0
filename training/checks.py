"""What owners say that a model should be able to do: automatic, and set apart as such.

In the manner of CheckList (Ribeiro and others, 2020): minimum functionality, invariance, direction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotate.models import ModelVersion, Task
from kinds import Prepared
from kinds.answers import same_answer
from ml.backends import Answer, Backend
from ml.learners import Item
from training.config import TOLERANCE, Check, EvaluationSettings
from training.evaluation import answers_of
from training.models import Evaluation


@dataclass(frozen=True)
class CheckSet:
    """The checks of a task's file, and the items that some of them change in their text `field`."""

    checks: Mapping[str, Check]
    items: Sequence[Item]
    field: str

    name = Evaluation.CHECKS

    @property
    def sha256(self) -> str:
        told = [{name: one.model_dump(mode="json") for name, one in self.checks.items()}]
        own = [item.prepared.features for item in self.items]
        return hashlib.sha256(json.dumps([told, own], sort_keys=True).encode()).hexdigest()

    def figures(self, task: Task, model: ModelVersion, backend: Backend) -> dict[str, Any] | None:
        """Of each check how many inputs or items pass: an item with all of its copies."""
        if getattr(backend, "remote", False):
            return None  # somebody may pay for each of a thousand answers
        changing = any(not check.inputs for check in self.checks.values())
        before = answers_of(backend, self.items) if changing else []
        found: dict[str, dict[str, Any]] = {}
        for name, check in self.checks.items():
            passed = (
                self._said(task, check, backend)
                if check.inputs
                else self._moved(check, before, backend)
            )
            found[name] = {"must": check.must, "passed": [sum(passed), len(passed)]}
        right, of = (sum(one["passed"][side] for one in found.values()) for side in (0, 1))
        return {"items": of, "right": right, "figures": {"checks": found}}

    def _said(self, task: Task, check: Check, backend: Backend) -> list[bool]:
        items = [Item(one, check.says) for one in check.whole(task.kind)]
        return [
            one is not None and same_answer(one.label, check.says)
            for one in answers_of(backend, items)
        ]

    def _moved(self, check: Check, before: Sequence[Answer | None], backend: Backend) -> list[bool]:
        copies = [list(self._copies(check, item)) for item in self.items]
        after = iter(answers_of(backend, [copy for some in copies for copy in some]))
        told = [[next(after) for _ in some] for some in copies]
        return [
            all(_passes(check, old, new) for new in some)
            for old, some in zip(before, told, strict=True)
            if some
        ]

    def _copies(self, check: Check, item: Item) -> Iterator[Item]:
        features = item.prepared.features
        for text in check.changed(features[self.field]):
            key = hashlib.sha256(text.encode()).hexdigest()
            yield Item(Prepared(key, {**features, self.field: text}), item.label)


def _passes(check: Check, before: Answer | None, after: Answer | None) -> bool:
    """A label on its own is a probability of 0 or 1."""
    if before is None or after is None:
        return False
    old, new = (one.probabilities or {str(one.label): 1.0} for one in (before, after))
    # To the six digits that answers have: .8 less .7 is more than .1 otherwise.
    moves = {one: round(new.get(one, 0.0) - old.get(one, 0.0), 6) for one in {*old, *new}}
    if check.raises is not None:
        return moves.get(check.raises, 0.0) >= -TOLERANCE
    if check.lowers is not None:
        return moves.get(check.lowers, 0.0) <= TOLERANCE
    return max(map(abs, moves.values())) <= TOLERANCE


def checks_of(task: Task, some: Sequence[Item]) -> CheckSet | None:
    """What the task's file asks for, if anything."""
    assert task.config is not None
    settings: EvaluationSettings = task.config.file.section("evaluation")
    return CheckSet(settings.checks, some, task.kind.text_fields[-1]) if settings.checks else None
