"""What counts as an answer of a task, and when two answers are the same; imports no Django."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from core.errors import Refused


@dataclass(frozen=True)
class Answers:
    """The answers of one kind of input.

    `few`: an answer is one of the task's labels, over which a probability can be spread. `several`:
    it is a set of them. Neither: it is free, and any label list only suggests.
    """

    few: bool = False
    several: bool = False

    @property
    def free(self) -> bool:
        """Neither: anything may be said."""
        return not self.few and not self.several

    def check(self, labels: Sequence[str], answer: object, name: str = "label") -> None:
        """Refuse what is no answer of a task with these labels; `name` is what it is called."""
        if self.several:
            if isinstance(answer, list) and all(item in labels for item in answer):
                return
            raise _refusal(name, f"a list of {', '.join(labels)}")
        if self.few and labels and answer not in labels:
            raise _refusal(name, f"one of {', '.join(labels)}")
        if answer is None:
            raise _refusal(name, "an answer")


NONE: Final = "none of them"
ONE_OF_THE_LABELS = Answers(few=True)
SEVERAL_LABELS = Answers(several=True)
FREE = Answers()


def same_answer(one: object, other: object) -> bool:
    """Whether two answers are the same; a list of labels is a set to people."""
    return bool(in_order(one) == in_order(other))


def in_order(answer: Any) -> Any:
    """An answer as it is compared; of several right ones with their places the order stays."""
    if not isinstance(answer, list) or any(isinstance(one, dict | list) for one in answer):
        return answer
    return sorted(set(answer), key=str)


def as_the_other(answer: Any, other: object) -> Any:
    """An answer with a place in a text as bare words, where the other one is bare words.

    Logs have such answers; on the page both would be marked.
    """
    if isinstance(other, str) and isinstance(answer, dict):
        return answer.get("text", answer)
    return answer


def in_words(answer: Any) -> str:
    """An answer as people read it."""
    if isinstance(answer, dict) and isinstance(answer.get("text"), str):
        return str(answer["text"])
    return (", ".join(map(str, answer)) or NONE) if isinstance(answer, list) else str(answer)


def _refusal(name: str, expected: str) -> Refused:
    return Refused(
        f"unknown_{name}", f"The {name} must be {expected}.", fields={name: f"not {expected}"}
    )
