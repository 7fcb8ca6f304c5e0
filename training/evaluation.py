"""Two models on the same items: what the gates judge and the owner's page shows."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kinds import Prepared
from ml.backends import Answer, Backend
from ml.learners import Item
from ml.metrics import confidence, right_answers
from training.paired import Paired

logger = logging.getLogger(__name__)

SomeItem = TypeVar("SomeItem", bound=Item)


@dataclass(frozen=True)
class Comparison:
    """Candidate and current model on clean data, on each earlier round's test, on the new one's."""

    clean: Paired
    earlier: Mapping[int, Paired]
    new_round: Paired

    def figures(self) -> dict[str, Any]:
        """Everything measured, as JSON; None where there was nothing to measure."""
        clean = self.clean
        before, now = clean.calibration_errors or (None, None)
        return {
            "clean": {
                **_accuracies(clean),
                "recall": {label: _accuracies(clean.of_class(label)) for label in clean.classes},
                "calibration_error": {"before": before, "now": now},
            },
            "earlier_rounds": {
                str(number): _accuracies(paired) for number, paired in sorted(self.earlier.items())
            },
            "new_round": _accuracies(self.new_round),
        }


@dataclass(frozen=True)
class Asked(Generic[SomeItem]):
    """An item, and what the old and the new model said of it."""

    item: SomeItem
    old: Answer
    new: Answer


def ask_both(
    current: Backend, candidate: Backend, items: Sequence[SomeItem]
) -> list[Asked[SomeItem]]:
    """Let both models answer; an item that one of them cannot answer is left out."""
    old, new = answers_of(current, items), answers_of(candidate, items)
    return [
        Asked(item, before, now)
        for item, before, now in zip(items, old, new, strict=True)
        if before is not None and now is not None
    ]


def answers_of(model: Backend, items: Sequence[Item]) -> list[Answer | None]:
    """Asked together; one by one where that fails, so that one bad item spoils no other.

    None for what could not be answered; raises what the model did where that is everything.
    """
    inputs = [item.prepared for item in items]
    try:
        return list(model.answer(inputs))
    except Exception as error:  # noqa: BLE001  (whatever a backend meets in an input)
        logger.warning("a model could not answer %d items at once: %s", len(items), error)
    alone = [_answer_alone(model, one) for one in inputs]
    if not any(isinstance(answer, Answer) for answer in alone):
        raise next(answer for answer in alone if isinstance(answer, Exception))
    return [answer if isinstance(answer, Answer) else None for answer in alone]


def _answer_alone(model: Backend, one: Prepared) -> Answer | Exception:
    try:
        return model.answer([one])[0]
    except Exception as error:  # noqa: BLE001
        return error


def paired(asked: Sequence[Asked[SomeItem]]) -> Paired:
    """Who was right about which item, and how sure they were."""
    labels = [one.item.label for one in asked]
    old, new = [one.old for one in asked], [one.new for one in asked]
    return Paired(
        old=right_answers(old, labels),
        new=right_answers(new, labels),
        labels=[label if isinstance(label, str) else json.dumps(label) for label in labels],
        old_sure=confidence(old),
        new_sure=confidence(new),
    )


def _accuracies(items: Paired) -> dict[str, float | int | None]:
    before, now = items.accuracies if items.n else (None, None)
    return {"items": items.n, "before": before, "now": now}
