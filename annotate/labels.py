"""Whether something is an answer that a task knows; imports no Django models."""

from __future__ import annotations

from typing import Any

from annotate.config import TaskFile
from core.errors import Refused


def check_label(file: TaskFile, label: object, name: str = "label") -> None:
    """Refuse what is no label of the task: `name` is what the sentence calls it.

    A multilabel task takes a list of its labels, one without labels (a question) anything but null.
    """
    values = file.label_values
    if file.input == "text_multilabel":
        if isinstance(label, list) and all(item in values for item in label):
            return
        raise _refusal(name, f"a list of {', '.join(values)}")
    if label is None or (values and label not in values):
        raise _refusal(name, f"one of {', '.join(values)}" if values else "an answer")


def same_answer(one: object, other: object) -> bool:
    """Whether two answers are the same; those of a multilabel task in whatever order."""
    return in_order(one) == in_order(other)


def in_order(label: Any) -> Any:
    """An answer as it is compared: a list of labels is a set to people."""
    return sorted(set(label), key=str) if isinstance(label, list) else label


def _refusal(name: str, expected: str) -> Refused:
    return Refused(
        f"unknown_{name}", f"The {name} must be {expected}.", fields={name: f"not {expected}"}
    )
