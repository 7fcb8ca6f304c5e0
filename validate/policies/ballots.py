"""What validators said about one example, counted, and what came of it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from core.rule_spec import Json

FLAG_REASONS: Final = (
    "offensive",
    "personal_data",
    "not_in_language",
    "unreadable",
    "spam",
    "other",
)
UNSURE: Final = "unsure"
JUDGE: Final = "judge-"  # how the names of models that vote beside people begin in files


class Outcome(StrEnum):
    """What the validators' ballots say about an example."""

    PENDING = "pending"
    VERIFIED = "verified"
    REJECTED = "rejected"
    RELABELLED = "relabelled"
    AMBIGUOUS = "ambiguous"
    FLAGGED = "flagged"


@dataclass(frozen=True, slots=True)
class Ballot:
    """One validator's answer: a label, or else a flag (a code of FLAG_REASONS, or UNSURE)."""

    validator: Hashable
    label: Json | None = None
    flag: str | None = None

    def __post_init__(self) -> None:
        if (self.label is None) == (self.flag is None):
            raise ValueError("A ballot holds either a label or a flag.")
        if self.flag is not None and self.flag != UNSURE and self.flag not in FLAG_REASONS:
            raise ValueError(
                f"Unknown flag {self.flag!r}: use {UNSURE} or one of {', '.join(FLAG_REASONS)}."
            )

    @property
    def accuses(self) -> bool:
        return self.flag is not None and self.flag != UNSURE


@dataclass(frozen=True, slots=True)
class Decision:
    """A policy's verdict, and what it still wants.

    `label` is the label that the validators agreed on, None where they did not. `votes_wanted` is
    how many further votes are certain to count, whatever they say (0 once decided): leasing at most
    that many at a time wastes nobody's work. `posterior` is the probability of the author's label
    under `Bayes` and None elsewhere. `used` is the number of ballots that counted.
    """

    outcome: Outcome
    label: Json | None
    votes_wanted: int
    posterior: float | None
    used: int


@dataclass(frozen=True, slots=True)
class Votes:
    """Ballots counted; `by_label` is no dict, because JSON labels need not be hashable."""

    author_label: Json | None
    used: int
    flags: int
    for_author: int
    against: int
    by_label: tuple[tuple[Json, int], ...]

    @classmethod
    def count(cls, ballots: Sequence[Ballot], author_label: Json | None) -> Votes:
        by_label: list[tuple[Json, int]] = []
        for ballot in ballots:
            if ballot.label is not None:
                known = [label for label, _ in by_label]
                if ballot.label in known:
                    place = known.index(ballot.label)
                    by_label[place] = (ballot.label, by_label[place][1] + 1)
                else:
                    by_label.append((ballot.label, 1))
        for_author = sum(votes for label, votes in by_label if label == author_label)
        return cls(
            author_label=author_label,
            used=len(ballots),
            flags=sum(ballot.accuses for ballot in ballots),
            for_author=for_author,
            against=sum(votes for _, votes in by_label) - for_author,
            by_label=tuple(by_label),
        )

    @property
    def most_on_one_label(self) -> int:
        return max((votes for _, votes in self.by_label), default=0)

    def agreed(self, votes: int) -> Json | None:
        """The label with the most votes, if these are at least `votes`."""
        label, most = max(self.by_label, key=lambda pair: pair[1], default=(None, 0))
        return label if most >= votes else None

    def majority(self, votes: int) -> Verdict:
        """Verified or rejected by a label that at least `votes` people gave."""
        label = self.agreed(votes)
        if label is None:
            return None
        verified = label == self.author_label
        return (Outcome.VERIFIED if verified else Outcome.REJECTED), label


Verdict: TypeAlias = "tuple[Outcome, Json | None] | None"
