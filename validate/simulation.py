"""What a verdict policy costs and how often it errs, by simulation; imports no Django.

The recipe: validators answer right with probability p ~ Beta(8, 2), never below chance, apart from
a share of spammers who guess. An author is right with probability `author_right`. Each item has
nine validators in random order, of whom the policy asks as many as it wants, one item after the
other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from annotate.rule_spec import check_integer, check_number
from validate.policies import (
    DEFAULT_RELIABILITY,
    Ballot,
    Bayes,
    Outcome,
    Policy,
    decide,
    posterior,
)

VOTES_AVAILABLE = 9
PRIOR_ANSWERS = 10  # Beta(8, 2): the evidence about a validator before any


@dataclass(frozen=True, slots=True)
class Pool:
    """The people and items of a simulation; ValueError is a sentence."""

    labels: int = 2
    validators: int = 40
    items: int = 3_000
    spammers: float = 0.0
    author_right: float = 0.5

    def __post_init__(self) -> None:
        check_integer("labels", self.labels, least=2, most=1_000)
        check_integer("validators", self.validators, least=VOTES_AVAILABLE, most=100_000)
        check_integer("items", self.items, least=1, most=1_000_000)
        check_number("spammers", self.spammers, least=0, most=1)
        check_number("author_right", self.author_right, least=0, most=1)


@dataclass(frozen=True, slots=True)
class Figures:
    """Votes an item; precision and recall of "verified" for "the author is right"; shares.

    `precision` is NaN when nothing was verified, `recall` when no author was right.
    """

    votes: float
    precision: float
    recall: float
    ambiguous: float


@dataclass(frozen=True, slots=True)
class Result:
    """The mean over the repetitions, and the standard deviation between them."""

    mean: Figures
    deviation: Figures

    def as_json(self) -> dict[str, dict[str, float | None]]:
        return {"mean": _without_nan(self.mean), "deviation": _without_nan(self.deviation)}


def _without_nan(figures: Figures) -> dict[str, float | None]:
    return {name: None if value != value else value for name, value in asdict(figures).items()}


def simulate(
    policy: Policy,
    pool: Pool,
    *,
    repeats: int = 4,
    seed: int = 0,
    progress: Callable[[], object] = lambda: None,
) -> Result:
    """Run the recipe `repeats` times, with other people and items each; `progress` after an item.

    The same seed gives the same people and items whatever the policy.
    """
    check_integer("repeats", repeats, least=1, most=1_000)
    runs = [
        _run(policy, pool, np.random.default_rng([seed, repeat]), progress)
        for repeat in range(repeats)
    ]
    table = np.array([[getattr(run, field.name) for field in fields(Figures)] for run in runs])
    spread = table.std(axis=0, ddof=1) if repeats > 1 else np.full(table.shape[1], np.nan)
    return Result(Figures(*table.mean(axis=0).tolist()), Figures(*spread.tolist()))


def _run(
    policy: Policy, pool: Pool, rng: np.random.Generator, progress: Callable[[], object]
) -> Figures:
    skills = _skills(pool, rng)
    right = rng.random(pool.items) < pool.author_right
    labels = list(range(pool.labels))
    learned = _Reliabilities()
    used = verified = verified_right = ambiguous = 0
    for author_is_right in right.tolist():
        truth = int(rng.integers(pool.labels))
        author = truth if author_is_right else _other(truth, pool.labels, rng)
        ballots = _ballots(truth, skills, pool.labels, rng)
        decision = decide(
            ballots, policy, author_label=author, labels=labels, reliabilities=learned.means
        )
        used += decision.used
        ambiguous += decision.outcome is Outcome.AMBIGUOUS
        if decision.outcome is Outcome.VERIFIED:
            verified += 1
            verified_right += author_is_right
        settled = decision.outcome not in (Outcome.AMBIGUOUS, Outcome.PENDING)
        if settled and isinstance(policy, Bayes) and policy.fixed_reliability is None:
            learned.settle(ballots[: decision.used], policy, author, labels)
        progress()
    authors_right = int(right.sum())
    return Figures(
        votes=used / pool.items,
        precision=verified_right / verified if verified else float("nan"),
        recall=verified_right / authors_right if authors_right else float("nan"),
        ambiguous=ambiguous / pool.items,
    )


def _skills(pool: Pool, rng: np.random.Generator) -> NDArray[np.float64]:
    """How often each validator is right: Beta(8, 2) truncated at chance, spammers at chance."""
    chance = 1 / pool.labels
    skills = rng.beta(8, 2, pool.validators)
    while (low := skills < chance).any():
        skills[low] = rng.beta(8, 2, int(low.sum()))
    skills[: round(pool.spammers * pool.validators)] = chance
    return skills


def _other(label: int, labels: int, rng: np.random.Generator) -> int:
    """Another label, each equally likely."""
    return (label + 1 + int(rng.integers(labels - 1))) % labels


def _ballots(
    truth: int, skills: NDArray[np.float64], labels: int, rng: np.random.Generator
) -> list[Ballot]:
    voters = rng.permutation(len(skills))[:VOTES_AVAILABLE]
    hits = rng.random(VOTES_AVAILABLE) < skills[voters]
    return [
        Ballot(int(voter), truth if hit else _other(truth, labels, rng))
        for voter, hit in zip(voters, hits, strict=True)
    ]


class _Reliabilities:
    """What is learned about each validator, item by item.

    Beta(8, 2) to begin with; an item that is settled adds the probability of the label they gave.
    Their own vote is in it: without it the few that remain are so unsure that, item by item,
    everybody would seem worse than they are. Ambiguous items teach nothing.
    """

    def __init__(self) -> None:
        self.means: dict[Hashable, float] = {}
        self._answers: dict[Hashable, int] = {}

    def settle(self, ballots: list[Ballot], policy: Bayes, author: int, labels: list[int]) -> None:
        beliefs = posterior(ballots, policy, author, labels, self.means)
        for ballot in ballots:
            assert isinstance(ballot.label, int)
            before = self._answers.get(ballot.validator, PRIOR_ANSWERS)
            mean = self.means.get(ballot.validator, DEFAULT_RELIABILITY)
            added = (mean * before + beliefs[ballot.label]) / (before + 1)
            self.means[ballot.validator] = added
            self._answers[ballot.validator] = before + 1
