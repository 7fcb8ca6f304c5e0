"""What pages call the things of one kind; imports no Django."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Words:
    """ "Write a text": `act` is the verb, `thing` the noun."""

    act: str
    acting: str
    thing: str
    plural: str = ""
    """Of `thing`, where it is not made by an s."""
    alter: str
    """What one does with a thing to make another of it; {} is the thing: "Change {} further"."""
    reads: str = "read"
    """What the model did to come to its answer: it "read" it, or "stands for" it."""
    was_right: str = "That is what you said it is, so the model got it right."
    """What an author is told who did not fool it."""
    keys: str = ""
    """How a thing is made and sent with the keyboard alone, after "By keyboard:"."""
    reasons: tuple[str, ...] = (
        "The author's answer is right",
        "Another answer is right",
        "More than one answer is right",
        "Offensive, or shows personal data",
        "Not a fair attempt",
    )
    """Common reasons of an owner's decision."""
    flags_not_offered: frozenset[str] = frozenset()
    """Reasons to flag that mean nothing here."""

    @property
    def things(self) -> str:
        """More than one of them."""
        return self.plural or f"{self.thing}s"

    @property
    def alter_it(self) -> str:
        return self.alter.format("it")

    def for_page(self) -> dict[str, Any]:
        """What the scripts of a page need of them."""
        return {
            "act": self.act,
            "acting": self.acting.lower(),
            "thing": self.thing,
            "alterIt": self.alter_it,
            "alterThis": self.alter.format(f"this {self.thing}"),
            "reads": self.reads,
            "wasRight": self.was_right,
        }
