"""What the votes on an example decide: the pure policies, asked about rows. Writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from annotate.config import TaskFile
from annotate.models import Example
from annotate.queries import is_barred
from kinds.answers import in_order
from validate.models import Vote
from validate.policies import (
    Ballot,
    Bayes,
    Decision,
    Outcome,
    confirmed_again,
    decide,
    is_doubtful,
)

FLAGS_TO_HIDE = 2
NO_URGENCY = 0.0


def ballots_of(votes: Sequence[Vote], example: Example, file: TaskFile) -> list[Ballot]:
    """The votes on an example, in their order, as the policies read them; `file` is its version."""
    labels = file.read_in_turn((vote.label for vote in votes), example.label, example.wrong)
    return [
        Ballot(validator=vote.validator_id, label=label, flag=vote.flag or None)
        for vote, label in zip(votes, labels, strict=True)
    ]


def decision_on(example: Example, votes: Sequence[Vote]) -> Decision:
    """What these votes, of which those that lost their weight do not count, make of an example.

    A judge's vote alone makes nothing of it.

    Each weighs what it did when cast. What was marked for a `close` look needs a confirmation
    more. Two accusing flags settle it under any policy: nobody else has to look at what two people
    found offensive. So no more than two votes are ever certain to be of use.
    """
    counted = _counting(votes)
    file = example.config.file
    rule = file.section("validation").rule
    ballots = ballots_of(counted, example, file)
    decision = decide(
        ballots,
        rule,
        author_label=in_order(example.label),
        labels=file.label_values or None,
        reliabilities=weights(counted),
    )
    if any(vote.close for vote in votes):
        decision = confirmed_again(decision, ballots, author_label=in_order(example.label))
    if decision.outcome is not Outcome.PENDING:
        return decision
    flags = sum(ballot.accuses for ballot in ballots)
    if flags >= FLAGS_TO_HIDE:
        return replace(decision, outcome=Outcome.FLAGGED, label=None, votes_wanted=0)
    return replace(decision, votes_wanted=min(decision.votes_wanted, FLAGS_TO_HIDE - flags))


def takes_one_more(example: Example, votes: Sequence[Vote]) -> bool:
    """Whether what these votes would verify is too weak for what is known about their voters."""
    counted = _counting(votes)
    file = example.config.file
    return file.kind.answers.few and is_doubtful(
        decision_on(example, votes),
        ballots_of(counted, example, file),
        file.section("validation").rule,
        author_label=in_order(example.label),
        labels=file.label_values or None,
        reliabilities=weights(counted),
    )


def _counting(votes: Sequence[Vote]) -> list[Vote]:
    """Those that have their weight; a judge's has none where no person's has."""
    counted = [vote for vote in votes if not vote.dropped]
    return [] if all(vote.automatic for vote in counted) else counted


def weights(votes: Sequence[Vote]) -> dict[int, float]:
    """The reliability that each vote carries, by validator."""
    return {vote.validator_id: vote.reliability for vote in votes if vote.reliability is not None}


def urgency(example: Example, decision: Decision) -> float:
    """1 less the distance from the posterior to the nearest threshold; 0 without a posterior."""
    rule = example.config.file.section("validation").rule
    if decision.posterior is None or not isinstance(rule, Bayes):
        return NO_URGENCY
    return 1 - min(
        abs(decision.posterior - rule.threshold), abs(decision.posterior - rule.rejection)
    )


def is_withdrawn(example: Example, *, kept_out: bool | None = None) -> bool:
    """Whether nobody should be asked about it: retracted, hidden, or its author is kept out.

    One query, unless `kept_out` says whether the task's owners keep the author out.
    """
    if example.retracted_at is not None or example.hidden_at is not None:
        return True
    author = example.author
    if author is None or author.banned_at is not None:
        return author is not None
    return is_barred(author, example) if kept_out is None else kept_out
