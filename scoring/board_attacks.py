"""How far a rank can be moved by cheating: attacks played on a copy of the facts; no Django.

The votes are those that were cast. What the league adds is decided anew by the server's own pure
rules: lots, the cap on one person's share, the closer look at new authors, and ties. The same
without them, or with a board that counts claims, is the control.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

import numpy as np
from numpy.random import Generator

from core.rule_spec import Json
from kinds.likeness import Ruling
from scoring.statistics import wilson
from validate.order import CAP_FROM_VOTES, HARDLY, NEW_UNTIL
from validate.policies import Ballot, Bayes, Outcome, Policy, confirmed_again, decide, posterior
from validate.policies.ties import Look, may_be_tied, ties
from validate.policies.trust import JUDGED_ANSWERS, is_untrustworthy

FLOOD: Final = 5
MOST_SENT_AGAIN: Final = 50  # of an author's foolings; the rest is taken to go as these
FAVOURITES: Final = 12
_UNREAD: Final = tuple(Ballot(f"reader {number}", flag="unreadable") for number in range(3))

Voter = Any


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed fooling and the votes that counted, as they came."""

    author: int
    label: Json
    ballots: tuple[Ballot, ...]
    example: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What a board is made of, and the rules of its task."""

    submitted: Mapping[int, int]
    claims: Sequence[Claim]
    policy: Policy
    labels: Sequence[Json] | None
    validators: int
    picked: int
    share_cap: float
    ranked_from: int
    again: Callable[[Claim], Sequence[Ruling]]
    """What the task's rule says to each of some copies of a claim, sent again by its author."""


@dataclass(frozen=True, slots=True)
class Moved:
    """By how many places an attack lifts its author, with the rules and without."""

    attack: str
    most: int
    mean: float
    most_without: int
    mean_without: float


def audit(facts: Facts, *, colluding: float = 0.05, runs: int = 3, seed: int = 0) -> list[Moved]:
    """Play each attack for authors up and down the board, several times."""
    rng = np.random.default_rng(seed)
    verified = dict.fromkeys(facts.submitted, 0)
    by_author: defaultdict[int, list[Claim]] = defaultdict(list)
    for claim in facts.claims:
        by_author[claim.author].append(claim)
        verified[claim.author] += _outcome(facts, claim, claim.ballots) is Outcome.VERIFIED
    ranked = [one for one, sent in facts.submitted.items() if sent >= facts.ranked_from]
    ranked.sort(key=lambda one: wilson(verified[one], facts.submitted[one]).low)
    step = max(1, len(ranked) // FAVOURITES)
    league = max(2, round(colluding * facts.validators))
    left = {
        on: [_downvoted(facts, verified, league, rng, rules=on) for _ in range(runs if on else 1)]
        for on in (True, False)
    }
    found: defaultdict[tuple[str, bool], list[int]] = defaultdict(list)
    for one in ranked[::step]:
        name = f"unreadable inputs that {league} confirm"
        unread = [Claim(one, claim.label, _UNREAD) for claim in by_author[one]]
        for on in (True, False):
            gained = verified[one] + _collude(facts, unread, league, rng, rules=on)
            found[name, on].append(_places(facts, verified, one, gained, more=len(unread)))
            found[f"downvoting of all others by {league}", on] += [
                _places(facts, verified, one, verified[one], then=others) for others in left[on]
            ]
        for name, people in (("a second account", 1), (f"{league} colluding validators", league)):
            for on in (True, False):
                for _ in range(runs if on else 1):
                    gained = _collude(facts, by_author[one], people, rng, rules=on)
                    found[name, on].append(_places(facts, verified, one, gained))
        repeated = (FLOOD - 1) * verified[one]
        name = f"each fooling sent {FLOOD} times"
        passed, waiting = _sent_again(facts, by_author[one])
        found[name, True].append(
            _places(facts, verified, one, verified[one] + passed, more=passed + waiting)
        )
        found[name, False].append(
            _places(facts, verified, one, verified[one] + repeated, more=repeated)
        )
        name = f"{FLOOD} times as many claims that nobody confirms"
        more = FLOOD * facts.submitted[one]
        found[name, True].append(_places(facts, verified, one, verified[one], more=more))
        found[name, False].append(_places_by_claims(facts, one, more))
    return [
        Moved(name, max(with_), fmean(with_), max(without), fmean(without))
        for name in dict.fromkeys(name for name, _ in found)
        for with_, without in [(found[name, True], found[name, False])]
    ]


def _sent_again(facts: Facts, claims: Sequence[Claim]) -> tuple[int, int]:
    """How many copies of verified foolings are taken as new, and how many wait for an owner.

    Those that are taken are verified as what they copy was: at the worst.
    """
    own = [one for one in claims if _outcome(facts, one, one.ballots) is Outcome.VERIFIED]
    some = own[:MOST_SENT_AGAIN]
    rulings = Counter(ruling for one in some for ruling in facts.again(one))
    share = len(own) / max(1, len(some))
    return round(share * rulings[Ruling.DISTINCT]), round(share * rulings[Ruling.REVIEW])


def _places(
    facts: Facts,
    verified: Mapping[int, int],
    author: int,
    gained: int,
    more: int = 0,
    then: Mapping[int, int] | None = None,
) -> int:
    """How many places this author rises with so many verified, and `more` submissions; `then` are
    the others' verified foolings where these changed, too."""

    def rank(count: int, of: int, verified: Mapping[int, int]) -> int:
        own = wilson(count, of).low
        return sum(
            wilson(verified[other], sent).low > own
            for other, sent in facts.submitted.items()
            if other != author and sent >= facts.ranked_from
        )

    sent = facts.submitted[author]
    return rank(verified[author], sent, verified) - rank(gained, sent + more, then or verified)


def _places_by_claims(facts: Facts, author: int, more: int) -> int:
    """The same on a board that counts claims, as others do."""
    claims = Counter(claim.author for claim in facts.claims)
    ahead = [count for other, count in claims.items() if other != author]
    before, after = claims[author], claims[author] + more
    return sum(before < count <= after for count in ahead)


# --- a league -------------------------------------------------------------------------------------
def _collude(
    facts: Facts, claims: Sequence[Claim], people: int, rng: Generator, *, rules: bool
) -> int:
    """How many of an author's claims are verified when so many validators confirm all they can."""
    friends = [f"friend {number}" for number in range(people)]
    votes: list[list[Ballot]] = []
    looks: defaultdict[Voter, list[Look]] = defaultdict(list)
    cast = Counter[Voter]()
    named: set[Voter] = set()
    close: list[bool] = []
    confirmed = 0
    for claim in claims:
        met = [one for one in friends if one not in named and _meets(facts, cast, one, rng, rules)]
        own = [Ballot(one, claim.label) for one in met]
        ballots = _mixed(own, claim.ballots, rng) if rules else [*own, *claim.ballots]
        new = cast.total() < NEW_UNTIL or HARDLY * confirmed < cast.total()
        close.append(rules and new)
        cast.update(ballot.validator for ballot in ballots)
        confirmed += sum(ballot.label == claim.label for ballot in ballots)
        votes.append(ballots)
        if rules:
            _look(facts, claim, ballots, looks)
            named |= {one for one in met if _is_named(looks, one)}
    verified = 0
    for claim, ballots, is_close in zip(claims, votes, close, strict=True):
        left = [ballot for ballot in ballots if ballot.validator not in named]
        if any(ballot.validator in friends for ballot in left):
            outcome = _outcome(facts, claim, left, close=is_close)
        else:  # untouched: as it was decided
            outcome = _outcome(facts, claim, claim.ballots)
        verified += outcome is Outcome.VERIFIED
    return verified


def _downvoted(
    facts: Facts, verified: Mapping[int, int], people: int, rng: Generator, *, rules: bool
) -> dict[int, int]:
    """What is left of everybody's verified foolings when so many validators refuse all they can.

    The rules stop who disagrees with the others about as often as chance would.
    """
    friends = [f"friend {number}" for number in range(people)]
    looks: defaultdict[Voter, list[Look]] = defaultdict(list)
    cast: defaultdict[int, Counter[Voter]] = defaultdict(Counter)
    stopped: set[Voter] = set()
    refused: list[tuple[Claim, list[Ballot]]] = []
    for claim in facts.claims:
        others = [label for label in facts.labels or () if label != claim.label]
        said = others[0] if others else "another answer"
        own = [
            Ballot(one, said)
            for one in friends
            if one not in stopped and _meets(facts, cast[claim.author], one, rng, rules)
        ]
        ballots = _mixed(own, claim.ballots, rng) if rules else [*own, *claim.ballots]
        cast[claim.author].update(ballot.validator for ballot in ballots)
        if own:
            refused.append((claim, ballots))
        if rules:
            _look(facts, claim, ballots, looks, of=[ballot.validator for ballot in own])
            stopped |= {ballot.validator for ballot in own if _stops(facts, looks, ballot)}
    left = dict(verified)
    for claim, ballots in refused:
        kept = [ballot for ballot in ballots if ballot.validator not in stopped]
        was = _outcome(facts, claim, claim.ballots) is Outcome.VERIFIED
        left[claim.author] += (_outcome(facts, claim, kept) is Outcome.VERIFIED) - was
    return left


def _stops(facts: Facts, looks: Mapping[Voter, Sequence[Look]], ballot: Ballot) -> bool:
    said = [look.agreement for look in looks[ballot.validator][-JUDGED_ANSWERS:]]
    return bool(said) and is_untrustworthy(said, labels=len(facts.labels or ()))


def _meets(facts: Facts, cast: Counter[Voter], one: Voter, rng: Generator, rules: bool) -> bool:
    """Whether a friend is asked about a claim: by lot, and below the cap on one person's share."""
    if not rules:
        return True
    theirs, all_ = cast[one] + 1, cast.total() + 1
    if all_ > CAP_FROM_VOTES and theirs > facts.share_cap * all_:
        return False
    return bool(rng.random() * facts.validators < facts.picked)


def _mixed(own: Sequence[Ballot], others: Sequence[Ballot], rng: Generator) -> list[Ballot]:
    """Friends come at any time among the others, whose order stays."""
    ballots = list(others)
    for ballot in own:
        ballots.insert(int(rng.integers(len(ballots) + 1)), ballot)
    return ballots


def _look(
    facts: Facts,
    claim: Claim,
    ballots: Sequence[Ballot],
    looks: dict[Voter, list[Look]],
    of: Collection[Voter] | None = None,
) -> None:
    """What each vote, or each of these people's, says by the others, as the server scores it."""
    labels = facts.labels or sorted({str(one.label) for one in ballots} | {str(claim.label)})
    flat = Bayes(prior_author=1 / max(2, len(labels)))
    for ballot in ballots:
        others = [one for one in ballots if one is not ballot and one.label in labels]
        if (
            ballot.label not in labels
            or not others
            or (of is not None and ballot.validator not in of)
        ):
            continue
        agreement = posterior(others, flat, claim.label, labels)[ballot.label]
        confirmed = ballot.label == claim.label
        looks[ballot.validator].append(
            Look(hash(ballot.validator), claim.author, confirmed, agreement)
        )


def _is_named(looks: Mapping[Voter, Sequence[Look]], one: Voter) -> bool:
    own = looks[one]
    if not own or not (own[-1].is_tried and own[-1].confirmed) or not may_be_tied(own):
        return False
    others = [look for voter, theirs in looks.items() if voter != one for look in theirs]
    return bool(ties(own, others))


def _outcome(
    facts: Facts, claim: Claim, ballots: Sequence[Ballot], *, close: bool = False
) -> Outcome:
    decision = decide(ballots, facts.policy, author_label=claim.label, labels=facts.labels)
    if close:
        decision = confirmed_again(decision, ballots, author_label=claim.label)
    return decision.outcome
