"""Two models on the same items: what the gates judge and the owner's page shows."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import numpy as np

from kinds import Prepared
from kinds.comparators import answer_f1
from ml.backends import Answer, Backend, Down
from ml.batcher import Busy
from ml.learners import Item
from ml.metrics import confidence, right_answers
from training.f1 import Change, Labels
from training.paired import Paired

logger = logging.getLogger(__name__)

AT_ONCE: Final = 64
MOST_WAIT: Final = 600.0  # seconds
FLIPS_KEPT: Final = 50

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
                **accuracies(clean),
                "recall": {label: accuracies(clean.of_class(label)) for label in clean.classes},
                "calibration_error": {"before": before, "now": now},
                "f1": both_of(clean.f1),
            },
            "earlier_rounds": {
                str(number): accuracies(paired) for number, paired in sorted(self.earlier.items())
            },
            "new_round": {
                **accuracies(self.new_round),
                "f1": both_of(self.new_round.f1),
                "recall_by_label": both_of(self.new_round.recall),
            },
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
    """As many asked together as the model takes; one by one where that fails, so that one bad item
    spoils no other.

    None for what could not be answered; raises what the model did where that is everything, and
    Down where it answers nobody now, or no more until tomorrow: that says nothing of an item.
    """
    inputs = [item.prepared for item in items]
    many = getattr(model, "at_once", AT_ONCE)
    found: list[Answer | Exception] = []
    patience = Patience()
    for start in range(0, len(inputs), many):
        found += _answers(model, inputs[start : start + many], patience)
    if found and not any(isinstance(answer, Answer) for answer in found):
        raise next(answer for answer in found if isinstance(answer, Exception))
    return [answer if isinstance(answer, Answer) else None for answer in found]


class Patience:
    """With a model whose cap is reached: some minutes in all, not until tomorrow."""

    def __init__(self) -> None:
        self._left = MOST_WAIT

    def wait(self, busy: Busy) -> None:
        self._left -= busy.retry_ms / 1000
        if self._left < 0:
            raise Down("The model's cap is reached: ask again when it is over.") from busy
        time.sleep(busy.retry_ms / 1000)


def _answers(
    model: Backend, inputs: Sequence[Prepared], patience: Patience
) -> list[Answer | Exception]:
    while True:
        try:
            return list(model.answer(inputs))
        except Down:
            raise
        except Busy as busy:
            patience.wait(busy)
        except Exception as error:  # noqa: BLE001  (whatever a backend meets in an input)
            if len(inputs) == 1:
                return [error]
            logger.warning("a model could not answer %d items at once: %s", len(inputs), error)
            return [answer for one in inputs for answer in _answers(model, [one], patience)]


def paired(asked: Sequence[Asked[SomeItem]], *, free: bool = False) -> Paired:
    """Who was right about which item, how sure they were, and what they said; `free` answers are
    compared by their words."""
    labels = [one.item.label for one in asked]
    old, new = [one.old for one in asked], [one.new for one in asked]
    said: dict[str, Any] = {}
    if free:
        said = {
            f"{name}_f1": np.array([f1_of(one.label, label) for one, label in found], float)
            for name, found in (
                ("old", zip(old, labels, strict=True)),
                ("new", zip(new, labels, strict=True)),
            )
        }
    else:
        said = {
            "truth": [as_labels(label) for label in labels],
            "old_said": [as_labels(one.label) for one in old],
            "new_said": [as_labels(one.label) for one in new],
        }
    return Paired(
        **said,
        old=right_answers(old, labels),
        new=right_answers(new, labels),
        labels=[label if isinstance(label, str) else json.dumps(label) for label in labels],
        old_sure=confidence(old),
        new_sure=confidence(new),
    )


def as_labels(answer: Any) -> Labels:
    """One label, or each of several."""
    return frozenset(map(str, answer if isinstance(answer, list) else [answer]))


def f1_of(said: Any, label: Any) -> float:
    """How many words an answer shares with the right one; 0 where it is none."""
    try:
        return answer_f1(said, label)
    except ValueError:
        return 0.0


def flips_of(
    asked: Sequence[Asked[SomeItem]], called: Callable[[SomeItem], str | int]
) -> dict[str, Any]:
    """What only the old model (`lost`) or only the new one (`gained`) answers rightly, as JSON.

    How many there are, and of some of them what each is `called`, its label and both answers.
    """
    labels = [one.item.label for one in asked]
    old = right_answers([one.old for one in asked], labels)
    new = right_answers([one.new for one in asked], labels)
    found: dict[str, Any] = {}
    for name, places in (
        ("lost", np.nonzero(old & ~new)[0]),
        ("gained", np.nonzero(~old & new)[0]),
    ):
        some = [asked[place] for place in places[:FLIPS_KEPT]]
        found[name] = {
            "count": len(places),
            "items": [
                [called(one.item), one.item.label, one.old.label, one.new.label] for one in some
            ],
        }
    return found


def accuracies(items: Paired) -> dict[str, float | int | None]:
    """How many there are, and the shares that the old and the new model answer rightly."""
    before, now = items.accuracies if items.n else (None, None)
    return {"items": items.n, "before": before, "now": now}


def both_of(change: Change | None) -> dict[str, float] | None:
    """What a figure was before and is now; None where it could not be told."""
    return None if change is None else {"before": change.before, "now": change.now}
