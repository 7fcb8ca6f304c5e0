"""The policies that a task can choose, with their parameters, and how a task file names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from core.rule_spec import build_rule, check_integer, check_number

_LARGEST_CAP: Final = 99


@dataclass(frozen=True, slots=True)
class TwoPlusOne:
    """ANLI's rule: two validators, and a third if and only if the first two differ.

    Two equal labels decide: verified if it is the author's, else rejected with that label. Two
    flags: flagged. A flag or "can't tell" differs from every label, so it calls for the third
    person; two "can't tell" leave nothing that a third person could decide and end as ambiguous,
    as do three answers of which no two agree (even if none of them is the author's).
    """

    @property
    def cap(self) -> int:
        return 3


@dataclass(frozen=True, slots=True)
class KMatching:
    """Dynabench's rule: the first of three camps with `n` votes wins, at most `cap` votes.

    The camps are the author's label (verified), any other label (rejected; the votes against need
    not agree with each other) and flags (flagged). Nobody at `n` by then: ambiguous.
    """

    n: int = 3
    cap: int = 5

    def __post_init__(self) -> None:
        check_integer("n", self.n, least=1, most=_LARGEST_CAP)
        check_integer("cap", self.cap, least=1, most=_LARGEST_CAP)
        if self.cap < self.n:
            raise ValueError(f"'cap' ({self.cap}) must be at least 'n' ({self.n}).")


@dataclass(frozen=True, slots=True)
class KOfN:
    """DynaSent's rule: always `n` votes, decided by the label that at least `k` of them gave.

    It does not stop early on labels, because the whole distribution of `n` answers is what the rule
    is for; `k` flags end it at once. `k` is more than half of `n`, so that one label can win.
    """

    n: int = 5
    k: int = 3

    def __post_init__(self) -> None:
        check_integer("n", self.n, least=1, most=_LARGEST_CAP)
        check_integer("k", self.k, least=1, most=_LARGEST_CAP)
        if not self.n < 2 * self.k <= 2 * self.n:
            raise ValueError(f"'k' ({self.k}) must be more than half of 'n' ({self.n}), at most n.")

    @property
    def cap(self) -> int:
        return self.n


@dataclass(frozen=True, slots=True)
class Bayes:
    """Sequential rule that weighs each vote by its validator's reliability.

    Before any vote the author's label has probability `prior_author`, the others share the rest.
    Verified: the author's label at `threshold` with `min_votes` votes for it. Relabelled: another
    label at 1 - `rejection` with as many votes. Rejected: the author's label at `rejection` or
    below, with `min_votes` votes against it. `flags` flags: flagged. At `cap` votes: ambiguous.
    Stricter use for evaluation data: threshold .97, cap 7. `fixed_reliability` replaces what was
    learned about the validators.
    """

    prior_author: float = 0.5
    threshold: float = 0.90
    cap: int = 5
    fixed_reliability: float | None = None
    min_votes: int = 2
    flags: int = 2
    rejection: float = 0.10

    def __post_init__(self) -> None:
        check_number("prior_author", self.prior_author, least=0, most=1, inclusive=False)
        check_number("threshold", self.threshold, least=0.5, most=1, inclusive=False)
        check_number("rejection", self.rejection, least=0, most=0.5, inclusive=False)
        check_integer("cap", self.cap, least=1, most=_LARGEST_CAP)
        check_integer("min_votes", self.min_votes, least=1, most=self.cap)
        check_integer("flags", self.flags, least=1, most=self.cap)
        if self.fixed_reliability is not None:
            check_number(
                "fixed_reliability", self.fixed_reliability, least=0, most=1, inclusive=False
            )


Policy: TypeAlias = TwoPlusOne | KMatching | KOfN | Bayes


POLICIES: Final[Mapping[str, Callable[..., Policy]]] = MappingProxyType(
    {"two_plus_one": TwoPlusOne, "k_matching": KMatching, "k_of_n": KOfN, "bayes": Bayes}
)


def parse_policy(spec: Mapping[str, Any]) -> Policy:
    """Read `{"policy": "two_plus_one" | ..., parameter: value}`; ValueError is a sentence."""
    return build_rule(spec, key="policy", rules=POLICIES)
