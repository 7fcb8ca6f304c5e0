"""When two inputs are one content, whoever sent them, under whatever label; imports no Django.

Looking for copies among a million examples is a look into an index: each is kept under a few whole
numbers, and a copy is looked up by some that are likely to be among them. What is found this way
is then compared.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kinds import Prepared


class Ruling(Enum):
    """What is done about an input that is like an earlier one."""

    DISTINCT = 0
    REVIEW = 1
    """An owner decides whether it is a copy."""
    COPY = 2


class Likeness(ABC):
    """How the inputs of a kind are compared.

    `about` names what an input is about where it does not say that itself: the same words about
    something else are another content. Keys are signed numbers of 64 bits.
    """

    @abstractmethod
    def name(self, one: Prepared, about: str) -> int:
        """The same for two that differ in nothing that counts."""

    @abstractmethod
    def kept_under(self, one: Prepared, about: str) -> Sequence[int]:
        """Under which numbers it is found by those that are like it."""

    @abstractmethod
    def looked_up_by(self, one: Prepared, about: str) -> Sequence[int]:
        """Under which numbers those that it is like are kept, nearly always."""

    @abstractmethod
    def distance(self, one: Prepared, other: Prepared) -> float:
        """How far two are apart, 0 where nothing that counts differs."""

    @abstractmethod
    def ruling(self, distance: float, *, same_author: bool, same_answer: bool) -> Ruling:
        """What a later one is to an earlier one that it is this far from."""

    def words(self, one: Prepared) -> str | None:
        """The author's own words as they are compared; None where an input is no text."""
        return None

    def copied(self, one: Prepared, given: str) -> float:
        """The share of these that stands, as it is, in what they are about: in `given`, the text of
        the server's context, where the input does not say it."""
        return 0.0

    def shows(self, one: Prepared, other: Prepared) -> bool:
        """Whether what is known of one tells somebody about the other."""
        far = self.distance(one, other)
        return self.ruling(far, same_author=False, same_answer=True) is not Ruling.DISTINCT


def number(*parts: object) -> int:
    """A signed number of 64 bits that follows from these."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
