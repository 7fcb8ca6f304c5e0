"""What the votes on an example decide, and the queue entry that follows from it.

Locks are taken in one order everywhere: example, queue item, lease, and then the reliabilities of
its voters in the order of their ids; whoever comes second waits and then sees what the first did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from django.utils import timezone

from annotate.models import Example
from annotate.services import set_queued, settle
from core.sql import compiled
from core.sql.compiled import Compiled, Given
from kinds.answers import in_order
from validate.hearing import Hearing, hear, votes_on
from validate.models import Lease, QueueItem, Vote
from validate.policies import Ballot, Bayes, Decision, Outcome, decide

FLAGS_TO_HIDE = 2
NO_URGENCY = 0.0


def ballot_of(vote: Vote) -> Ballot:
    """A vote as the policies read it."""
    return Ballot(validator=vote.validator_id, label=in_order(vote.label), flag=vote.flag or None)


def decision_on(example: Example, votes: Sequence[Vote]) -> Decision:
    """What these votes, which all count, make of an example; each weighs what it did when cast.

    Two accusing flags settle it under any policy: nobody else has to look at what two people found
    offensive. So no more than two votes are ever certain to be of use.
    """
    file = example.config.file
    ballots = [ballot_of(vote) for vote in votes]
    decision = decide(
        ballots,
        file.section("validation").rule,
        author_label=in_order(example.label),
        labels=file.label_values or None,
        reliabilities=weights(votes),
    )
    if decision.outcome is not Outcome.PENDING:
        return decision
    flags = sum(ballot.accuses for ballot in ballots)
    if flags >= FLAGS_TO_HIDE:
        return replace(decision, outcome=Outcome.FLAGGED, label=None, votes_wanted=0)
    return replace(decision, votes_wanted=min(decision.votes_wanted, FLAGS_TO_HIDE - flags))


def weights(votes: Sequence[Vote]) -> dict[int, float]:
    """The reliability that each vote carries, by validator."""
    return {vote.validator_id: vote.reliability for vote in votes if vote.reliability is not None}


def decide_now(example: Example) -> Decision:
    """What the example's votes say at this moment (one query, unless they are at hand)."""
    return decision_on(example, [vote for vote in votes_on(example) if not vote.dropped])


def urgency(example: Example, decision: Decision) -> float:
    """1 less the distance from the posterior to the nearest threshold; 0 without a posterior."""
    rule = example.config.file.section("validation").rule
    if decision.posterior is None or not isinstance(rule, Bayes):
        return NO_URGENCY
    return 1 - min(
        abs(decision.posterior - rule.threshold), abs(decision.posterior - rule.rejection)
    )


def enqueue_new(examples: Sequence[Example]) -> None:
    """Put examples that were just inserted into the queue: nobody can have seen them before."""
    compiled.insert_all([_item(example, decision_on(example, [])) for example in examples])


def _item(example: Example, decision: Decision, *, leases: int = 0) -> QueueItem:
    """A queue entry that wants the votes which the example's policy can use."""
    assert example.author_id is not None  # only guests' sandbox examples have none
    return QueueItem(
        example=example,
        task_id=example.task_id,
        author_id=example.author_id,
        priority=0 if example.fooled else 1,
        votes_wanted=decision.votes_wanted,
        leases_active=leases,
        urgency=urgency(example, decision),
        withdrawn=is_withdrawn(example),
    )


def _enqueue_again(example: Example, decision: Decision) -> QueueItem:
    """Put a locked example that people may have seen into the queue."""
    item = _item(example, decision, leases=_leases_within(example, decision.votes_wanted))
    compiled.insert(item)
    return item


def _leases_within(example: Example, wanted: int) -> int:
    """How many people may go on answering a locked example; leases beyond `wanted` are ended.

    An example that returns to the queue may still be on somebody's screen, and a vote without a
    lease, from a log, or votes that lost their weight can make fewer votes useful than are out.
    """
    active = list(
        Lease.objects.filter(example=example, ended_at=None, gold=False)
        .order_by("created_at", "id")
        .values_list("id", flat=True)
    )
    Lease.objects.filter(id__in=active[wanted:]).update(
        ended_at=timezone.now(), end=Lease.End.SUPERSEDED
    )
    return min(len(active), wanted)


def is_withdrawn(example: Example) -> bool:
    """Whether nobody should be asked about it: retracted, hidden, or its author is banned."""
    return (
        example.retracted_at is not None
        or example.hidden_at is not None
        or (example.author is not None and example.author.banned_at is not None)
    )


def sync_withdrawn(example: Example) -> None:
    """Let the queue entry of a locked example follow whether anybody should be asked about it."""
    QueueItem.objects.filter(pk=example.pk).update(withdrawn=is_withdrawn(example))


_ITEM = Compiled(
    lambda: QueueItem.objects.select_for_update(no_key=True).filter(pk=Given("example"))
)


def lock_item(example_id: int) -> QueueItem | None:
    """Lock an example's queue entry until the end of the transaction; None when it has none."""
    return _ITEM.first(example=example_id)


def open_hearing(example: Example, item: QueueItem | None) -> Hearing:
    """Read the votes of an example, locked with its queue entry, for another one to come."""
    return hear(example, Hearing(item=item, votes=votes_on(example)))


def follow(example: Example, item: QueueItem, decision: Decision) -> None:
    """Bring a locked queue entry, and when it is decided the example, to what the policy says.

    `item.leases_active` may have been counted down without being saved: it is written here.
    """
    if wanted := decision.votes_wanted:
        item.votes_wanted, item.urgency = wanted, urgency(example, decision)
        if item.leases_active > wanted:
            item.leases_active = _leases_within(example, wanted)
        compiled.update(item, "votes_wanted", "urgency", "leases_active")
        return
    compiled.delete(item)
    settle(
        example,
        status=decision.outcome.value,
        label=decision.label,
        data={"votes": decision.used, "posterior": decision.posterior},
    )


def decide_again(example: Example) -> None:
    """Let the votes on a locked example speak once more, after some lost or regained weight."""
    if (item := lock_item(example.pk)) is not None:
        follow(example, item, decide_now(example))


def reopen(example: Example) -> None:
    """Queue a locked example again; what its votes already decide takes effect at once."""
    decision = decide_now(example)
    if decision.votes_wanted:
        _enqueue_again(example, decision)
    else:
        settle(example, status=decision.outcome.value, label=decision.label)


def queue_for_votes(example: Example) -> QueueItem:
    """Ask validators about a locked example that was not chosen for the queue."""
    set_queued(example)
    return _enqueue_again(example, decide_now(example))
