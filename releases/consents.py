"""What people who came by a link had agreed to: told by whoever asks them, which knows releases
not."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

from annotate.models import Task
from releases.people import Pseudonyms

Terms = tuple[str, str, str, bool]
"""A text that people agreed to: platform, version, SHA-256, and whether what they made may stay
once they are forgotten."""
Visited = tuple[str, str, Terms]
"""From when to when somebody worked, in UTC as ISO texts, and under which terms."""
Book = tuple[Mapping[str, Sequence[Visited]], int]
"""The visits of each person by their pseudonym, oldest first, and how many people of the task had
themselves forgotten."""
NONE: Final[Book] = ({}, 0)

_books: list[Callable[[Task], Book]] = []


def ask(book: Callable[[Task], Book]) -> None:
    """Ask this from now on."""
    _books[:] = [book]


@dataclass
class _Under:
    examples: int = 0
    votes: int = 0
    authors: set[str] = field(default_factory=set)
    validators: set[str] = field(default_factory=set)


class Consents:
    """Counts what was made and answered under which terms."""

    def __init__(self, task: Task, names: Pseudonyms) -> None:
        visits, self.forgotten = next((book(task) for book in _books), NONE)
        self._visits = {names.of(name): theirs for name, theirs in visits.items()}
        self._under: dict[Terms, _Under] = {}

    def add(self, line: Mapping[str, Any], votes: Sequence[Mapping[str, Any]]) -> None:
        """Count an example and the votes on it; nothing where nobody came by a link."""
        if not self._visits:
            return
        if under := self._at(line["author"], line["created_at"]):
            under.examples += 1
            under.authors.add(line["author"])
        for vote in votes:
            if under := self._at(vote["validator"], vote["created_at"]):
                under.votes += 1
                under.validators.add(vote["validator"])

    def _at(self, name: str, moment: str) -> _Under | None:
        visits = self._visits.get(name, ())
        place = bisect_right(visits, moment, key=itemgetter(0)) - 1
        if place < 0:
            return None
        _, over, terms = visits[place]
        return self._under.setdefault(terms, _Under()) if moment <= over else None

    def as_json(self) -> list[dict[str, Any]]:
        return [
            {
                **dict(zip(("platform", "version", "text_sha256", "keep"), terms, strict=True)),
                "examples": under.examples,
                "authors": len(under.authors),
                "votes": under.votes,
                "validators": len(under.validators),
            }
            for terms, under in sorted(self._under.items())
        ]
