"""What a policy costs and how often it is right with simulated people; imports no Django.

The recipe: validators whose accuracy comes from Beta(8, 2) cut off below at chance, and a share
of spammers who guess; an author is right with probability `author_right`, else the truth is mostly
what the model said. Items come in random order, votes come from people at random, and what is
known about each of them is learnt as the server learns it: credits of settled items and gold.

Everybody sends as many items as the others, and as on the server a closer look is taken at who is
new or hardly confirmed, and at what rests on too little. A share of the people may be colluding,
two by two: what they send is wrong, their partner confirms it, and they answer as well as others
elsewhere. Who is found to be tied to an author is not asked about them any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np
from numpy.random import Generator

from validate.order import HARDLY, IT_MAY_TAKE, NEW_UNTIL
from validate.policies import (
    Ballot,
    Bayes,
    Decision,
    Outcome,
    Policy,
    confirmed_again,
    decide,
    is_doubtful,
    posterior,
)
from validate.policies.ties import LATEST, Look, may_be_tied, ties
from validate.policies.trust import (
    ABOVE_CHANCE,
    FEW_OF_STANDING,
    GOLD_PROVES,
    JUDGED_ANSWERS,
    PRIOR_RIGHT,
    PRIOR_WRONG,
    fails_gold,
    has_standing,
    is_known,
    is_new_crowd,
    is_untrustworthy,
    may_begin,
)

QUARANTINE_WITHIN = 60


@dataclass(frozen=True, slots=True)
class Pool:
    """The people and the items of one simulation."""

    validators: int = 40
    spammers: float = 0.0
    items: int = 3_000
    labels: int = 2
    author_right: float = 0.55
    model_else: float = 0.8
    gold_first: float = 0.10
    gold_first_items: int = 50
    gold_later: float = 0.05
    close_look: float = 0.0
    colluding: float = 0.0

    @property
    def has_gold(self) -> bool:
        return self.gold_first + self.gold_later > 0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one simulation; shares of spammers and honest people within their first items.

    `precision`: of the verified, how many were right, without those that wait for their owner,
    since they rest on votes that lost their weight; `recall`: of those whose author was right,
    how many were verified. "In time" is within somebody's first 60 answers. `capable_caught`: of
    the honest people who are better than the line that the rule sets, how many it put into
    quarantine all the same.
    """

    votes_per_item: float
    precision: float
    recall: float
    ambiguous: float
    spammers_caught: float | None
    spammers_caught_in_time: float | None
    honest_caught: float
    honest_caught_in_time: float
    capable_caught: float
    capable_caught_in_time: float
    colluding_named: float | None
    honest_named: float


@dataclass(slots=True)
class _Person:
    accuracy: float
    spammer: bool
    partner: int | None = None
    looks: list[Look] = field(default_factory=list)
    tied: set[int] = field(default_factory=set)
    alpha: float = PRIOR_RIGHT
    beta: float = PRIOR_WRONG
    agreements: list[float] = field(default_factory=list)
    agreed: float = 0.0
    judged: int = 0  # votes on what they sent, and how many of these confirmed it
    confirmed: int = 0
    answered: int = 0
    gold_right: int = 0
    gold_seen: int = 0
    quarantined_after: int | None = None

    @property
    def is_out(self) -> bool:
        return self.quarantined_after is not None

    def stands(self, pool: Pool) -> bool:
        scored = len(self.agreements)
        return has_standing(
            self.gold_right, self.gold_seen, self.agreed, scored, has_gold=pool.has_gold
        )

    def is_known(self, pool: Pool) -> bool:
        return is_known(self.gold_seen, len(self.agreements), has_gold=pool.has_gold)

    def learn(self, credit: float, agreement: float, labels: int) -> None:
        self.alpha += credit
        self.beta += 1 - credit
        self.agreements.append(agreement)
        self.agreed += agreement
        if self.quarantined_after is None and (
            fails_gold(self.gold_right, self.gold_seen, labels=labels)
            or is_untrustworthy(self.agreements[-JUDGED_ANSWERS:], labels=labels)
        ):
            self.quarantined_after = self.answered


@dataclass(slots=True)
class _Item:
    truth: int
    said: int
    author: int
    close: bool = False
    ballots: list[Ballot] = field(default_factory=list)
    weights: dict[int, float] = field(default_factory=dict)


def simulate(policy: Policy, pool: Pool, *, seed: int) -> Result:
    """Run one pool through a policy; the same seed gives the same result."""
    rng = np.random.default_rng(seed)
    people = _people(pool, rng)
    outcomes: list[tuple[_Item, Outcome]] = []
    votes = 0
    for _ in range(pool.items):
        item = _item(pool, people, rng)
        outcome, used = _ask(item, policy, pool, people, rng)
        outcomes.append((item, outcome))
        votes += used
    standing = [
        (item, _as_it_stands(item, outcome, policy, pool, people)) for item, outcome in outcomes
    ]
    return _result(pool, people, standing, votes)


def _people(pool: Pool, rng: Generator) -> list[_Person]:
    spammers = round(pool.validators * pool.spammers)
    people = [_Person(1 / pool.labels, spammer=True) for _ in range(spammers)]
    while len(people) < pool.validators:
        accuracy = rng.beta(PRIOR_RIGHT, PRIOR_WRONG)
        if accuracy > 1 / pool.labels:
            people.append(_Person(accuracy, spammer=False))
    for first in range(round(pool.validators * pool.colluding) // 2):
        one, other = -1 - 2 * first, -2 - 2 * first
        people[one].partner, people[other].partner = len(people) + other, len(people) + one
    return people


def _item(pool: Pool, people: Sequence[_Person], rng: Generator) -> _Item:
    """The author says 0, the model 1: who is right, if not another label is."""
    author = int(rng.integers(len(people)))
    honest = people[author].partner is None
    if rng.random() < pool.author_right and honest:
        return _Item(truth=0, said=0, author=author)
    if pool.labels == 2 or rng.random() < pool.model_else:
        return _Item(truth=1, said=0, author=author)
    return _Item(truth=int(rng.integers(2, pool.labels)), said=0, author=author)


def _ask(
    item: _Item, policy: Policy, pool: Pool, people: Sequence[_Person], rng: Generator
) -> tuple[Outcome, int]:
    """Ask people about an item until the policy decides; returns the outcome and votes spent."""
    labels, spent, author = list(range(pool.labels)), 0, people[item.author]
    crowd = [person for person in people if not person.is_out]
    standing = sum(person.stands(pool) for person in crowd)
    known = sum(person.is_known(pool) for person in crowd)
    many = standing > FEW_OF_STANDING and not is_new_crowd(standing, known)
    at_work = sum(person.answered > 0 for person in crowd)
    new = author.judged < NEW_UNTIL or HARDLY * author.confirmed < author.judged
    if many and new:
        item.close = bool(rng.random() < pool.close_look)
    order, asked = rng.permutation(len(people)), set[int]()
    # What is left after a week is open to more: where somebody of standing has answered.
    for aged, place in [*((False, place) for place in order), *((True, place) for place in order)]:
        person = people[place]
        if place in asked or person.is_out or person is author or item.author in person.tied:
            continue
        begins, stands = may_begin(person.gold_seen), person.stands(pool)
        beside = not item.ballots or any(people[one].stands(pool) for one in item.weights)
        old = aged or not (begins or new)
        may = stands or (begins and not item.ballots) or (old and beside)
        if many and pool.close_look and not may:
            continue
        asked.add(place)
        if many and pool.close_look and not stands and not item.close:
            item.close = bool(rng.random() < pool.close_look)
        while _gold_turn(person, pool, rng):
            person.answered += 1
            right = float(rng.random() < person.accuracy)
            person.gold_seen += 1
            person.gold_right += int(right)
            person.learn(right, right, pool.labels)
        if person.is_out:
            continue
        person.answered += 1
        spent += 1
        item.ballots.append(Ballot(int(place), _answer(person, item, pool.labels, rng)))
        item.weights[int(place)] = person.alpha / (person.alpha + person.beta)
        author.judged += 1
        author.confirmed += item.ballots[-1].label == item.said
        decision = _decision(item, item.ballots, policy, labels)
        if (
            at_work > IT_MAY_TAKE
            and not item.close
            and _is_doubtful(item, decision, policy, labels)
        ):
            item.close = bool(rng.random() < pool.close_look)
            decision = _decision(item, item.ballots, policy, labels)
        if decision.outcome is not Outcome.PENDING:
            _learn(item, policy, pool, people)
            return decision.outcome, spent
    return Outcome.PENDING, spent


def _decision(
    item: _Item, ballots: Sequence[Ballot], policy: Policy, labels: list[int]
) -> Decision:
    decision = decide(
        ballots, policy, author_label=item.said, labels=labels, reliabilities=item.weights
    )
    return confirmed_again(decision, ballots, author_label=item.said) if item.close else decision


def _is_doubtful(item: _Item, decision: Decision, policy: Policy, labels: list[int]) -> bool:
    return is_doubtful(
        decision,
        item.ballots,
        policy,
        author_label=item.said,
        labels=labels,
        reliabilities=item.weights,
    )


def _as_it_stands(
    item: _Item, outcome: Outcome, policy: Policy, pool: Pool, people: Sequence[_Person]
) -> Outcome:
    """What was verified, unless votes that lost their weight made the difference: then it waits."""
    voters = [people[int(str(ballot.validator))] for ballot in item.ballots]
    left = [
        ballot
        for ballot, voter in zip(item.ballots, voters, strict=True)
        if not voter.is_out and item.author not in voter.tied
    ]
    if outcome is not Outcome.VERIFIED or len(left) == len(voters):
        return outcome
    return _decision(item, left, policy, list(range(pool.labels))).outcome


def _gold_turn(person: _Person, pool: Pool, rng: Generator) -> bool:
    early = person.answered < pool.gold_first_items
    share = pool.gold_first if early else pool.gold_later
    tosses = 1 + (person.gold_seen < GOLD_PROVES)
    return person.answered > 0 and any(rng.random() < share for _ in range(tosses))


def _answer(person: _Person, item: _Item, labels: int, rng: Generator) -> int:
    truth = item.truth
    if person.partner is not None and person.partner == item.author:
        return item.said
    if rng.random() < person.accuracy:
        return truth
    return (truth + int(rng.integers(1, labels))) % labels


def _learn(item: _Item, policy: Policy, pool: Pool, people: Sequence[_Person]) -> None:
    """Give each voter the probability of their label, and the same by what the others said."""
    rule = policy if isinstance(policy, Bayes) else Bayes()
    labels = list(range(pool.labels))
    by_all = posterior(item.ballots, rule, item.said, labels, item.weights)
    for ballot in item.ballots:
        others = [other for other in item.ballots if other is not ballot]
        by_others = posterior(others, rule, item.said, labels, item.weights)
        person = people[int(str(ballot.validator))]
        agreement = by_others[ballot.label]
        person.learn(by_all[ballot.label], agreement, pool.labels)
        if pool.colluding:
            voter = int(str(ballot.validator))
            person.looks.append(Look(voter, item.author, ballot.label == item.said, agreement))
    for ballot in item.ballots if pool.colluding else ():
        person = people[int(str(ballot.validator))]
        if person.looks[-1].is_tried and ballot.label == item.said:
            _name(person, people)


def _name(person: _Person, people: Sequence[_Person]) -> None:
    """Find whom somebody is tied to, as the server does."""
    own = [look for look in person.looks[-LATEST:] if look.author not in person.tied]
    if may_be_tied(own):
        authors = {look.author for look in own}
        others = [
            look
            for other in people
            for look in other.looks
            if other is not person and look.author in authors - other.tied
        ]
        person.tied |= {tie.author for tie in ties(own, others)}


def _result(
    pool: Pool, people: Sequence[_Person], outcomes: Sequence[tuple[_Item, Outcome]], votes: int
) -> Result:
    verified = [item for item, outcome in outcomes if outcome is Outcome.VERIFIED]
    right = sum(item.truth == item.said for item in verified)
    all_right = sum(item.truth == item.said for item, _ in outcomes)
    spammers = [person for person in people if person.spammer]
    honest = [person for person in people if not person.spammer]
    capable = [person for person in honest if person.accuracy > 1 / pool.labels + ABOVE_CHANCE]
    return Result(
        votes_per_item=votes / len(outcomes),
        precision=right / max(1, len(verified)),
        recall=right / max(1, all_right),
        ambiguous=sum(o is Outcome.AMBIGUOUS for _, o in outcomes) / len(outcomes),
        spammers_caught=_share_caught(spammers) if spammers else None,
        spammers_caught_in_time=_share_caught(spammers, QUARANTINE_WITHIN) if spammers else None,
        honest_caught=_share_caught(honest),
        honest_caught_in_time=_share_caught(honest, QUARANTINE_WITHIN),
        capable_caught=_share_caught(capable),
        capable_caught_in_time=_share_caught(capable, QUARANTINE_WITHIN),
        colluding_named=_share_named([p for p in people if p.partner is not None]),
        honest_named=_share_named([p for p in honest if p.partner is None]) or 0.0,
    )


def _share_caught(people: Sequence[_Person], within: float = inf) -> float:
    """Share of these people who were put into quarantine within so many of their answers."""
    caught = [p for p in people if p.is_out and (p.quarantined_after or 0) <= within]
    return len(caught) / max(1, len(people))


def _share_named(people: Sequence[_Person]) -> float | None:
    """Share of these people who were found to be tied to an author; None without any."""
    return sum(bool(person.tied) for person in people) / len(people) if people else None
