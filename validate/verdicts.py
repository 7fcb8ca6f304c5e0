"""What votes decide takes effect here: on the queue entry, on the verdict, on those who voted.

When somebody is found to be no better than chance, their votes lose their weight, and what these
had decided is decided again: that is done after the commit, one example a transaction, and marked
when it is complete, so that an interrupted pass is simply done again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import User
from annotate.models import Example, Task
from annotate.queries import is_barred
from annotate.services import Verdict, latch, set_queued
from core.transactions import after_commit, durable
from validate import statements
from validate.decisions import decision_on, is_withdrawn, urgency
from validate.hearing import Hearing, hear
from validate.inbox import close_reviews, open_review
from validate.models import AuthorShare, Reliability, Review, Vote
from validate.people.reliability import proven, reliability_of, score
from validate.policies import Decision
from validate.queue import entry_of, leases_within

CHUNK = 200
QUARANTINE_TO_FOLLOW = Q(quarantined_at__isnull=False, looked_again_at=None)
_FOR_THE_OWNER = {
    Example.Status.FLAGGED: Review.Kind.FLAGGED,
    Example.Status.AMBIGUOUS: Review.Kind.AMBIGUOUS,
    Example.Status.RELABELLED: Review.Kind.RELABELLED,
}


# --- verdicts -------------------------------------------------------------------------------------
def settle(
    hearing: Hearing,
    *,
    status: str,
    label: object | None,
    actor: User | None = None,
    data: dict[str, Any],
) -> None:
    """Give an example its verdict: by its votes, or by an owner (`actor`), who can also open it."""
    is_open = status == Example.Status.OPEN
    verdict = Verdict(
        status=status,
        label=label,
        adjudicated=actor is not None and not is_open,
        settled_at=None if is_open else timezone.now(),
    )
    change(hearing, verdict, verb="adjudicated" if actor else "settled", actor=actor, data=data)


def change(
    hearing: Hearing, verdict: Verdict, *, verb: str, actor: User | None, data: dict[str, Any]
) -> None:
    """Latch a verdict; those who voted are scored by it before it moves a tally.

    An owner is asked about what votes left unclear; their own verdict closes what they were asked.
    """
    example = hearing.example
    follow_later(score(hearing, verdict))
    latch(example, verdict, verb=verb, actor=actor, data=data)
    if verdict.adjudicated or verdict.status == Example.Status.OPEN:
        close_reviews(example)
    elif kind := _FOR_THE_OWNER.get(Example.Status(verdict.status)):
        open_review(example, kind, "")


# --- the queue follows ----------------------------------------------------------------------------
def follow(hearing: Hearing, decision: Decision) -> None:
    """Bring the queue entry, and when it is decided the example, to what the policy says.

    `leases_active` may have been counted down without being saved: it is written here.
    """
    item = hearing.item
    assert item is not None
    if wanted := decision.votes_wanted:
        item.votes_wanted, item.urgency = wanted, urgency(hearing.example, decision)
        if item.leases_active > wanted:
            item.leases_active = leases_within(hearing.example, wanted)
        statements.save_item(item)
        return
    statements.delete_item(item)
    hearing.item = None
    _settle_by_votes(hearing, decision)


def _settle_by_votes(hearing: Hearing, decision: Decision) -> None:
    settle(
        hearing,
        status=decision.outcome.value,
        label=decision.label,
        data={"reason": "", "votes": decision.used, "posterior": decision.posterior},
    )


def reopen(hearing: Hearing) -> None:
    """Queue an example again; what its votes already decide takes effect at once."""
    decision = hearing.decision()
    if decision.votes_wanted:
        _enqueue(hearing, decision)
    else:
        _settle_by_votes(hearing, decision)


def queue_for_votes(hearing: Hearing) -> None:
    """Ask validators about an example that was not chosen for the queue."""
    set_queued(hearing.example)
    _enqueue(hearing, hearing.decision())


def _enqueue(hearing: Hearing, decision: Decision) -> None:
    """Queue an example that people may have seen: some may have it on their screen still."""
    example = hearing.example
    leases = leases_within(example, decision.votes_wanted)
    hearing.item = entry_of(example, decision, leases=leases, withdrawn=is_withdrawn(example))
    statements.insert(hearing.item)


def take_out(hearing: Hearing) -> None:
    """Ask nobody about it any more."""
    if hearing.item is not None:
        statements.delete_item(hearing.item)
        hearing.item = None


# --- votes that lose or regain their weight -------------------------------------------------------
def follow_later(quarantined: Iterable[Reliability]) -> None:
    """Take the weight from these people's votes once the transaction at hand is committed."""
    for row in quarantined:
        after_commit(partial(follow_quarantine, row.task_id, row.validator_id))


def follow_quarantine(task_id: int, validator_id: int) -> None:
    """Take the weight from somebody's votes, and list the verdicts that rest on one of them."""
    row = Reliability.objects.filter(task_id=task_id, validator_id=validator_id)
    if row.filter(QUARANTINE_TO_FOLLOW).exists():
        reweigh(task_id, validator_id)
        row.update(looked_again_at=timezone.now())


def reweigh_later(row: Reliability) -> None:
    """Reweigh somebody's votes once the transaction at hand is committed."""
    after_commit(partial(reweigh, row.task_id, row.validator_id))


def reweigh(task_id: int, validator_id: int) -> None:
    """Bring the weight of somebody's votes in a task to what is known about them now.

    It may be done at any time, and again.
    """
    votes = Vote.objects.filter(validator=validator_id, example__task=task_id)
    weightless = weightless_votes(task_id, validator_id)
    restore_votes(votes.exclude(weightless))
    drop_votes(votes.filter(weightless))


def weightless_votes(task_id: int, validator_id: int) -> Q:
    """Which of somebody's votes in a task weigh nothing.

    All in quarantine, when banned or kept out; else those on authors they are tied to, and hasty
    ones until known answers prove them.
    """
    row = reliability_of(task_id, validator_id)
    task = Task.objects.get(pk=task_id)
    if row.quarantined_at is not None or row.validator.banned_at or is_barred(row.validator, task):
        return Q(validator=validator_id)
    tied = AuthorShare.objects.filter(
        task=task_id, validator=validator_id, named_at__isnull=False
    ).values_list("author", flat=True)
    weightless = Q(author__in=list(tied))
    return weightless if proven(row) else weightless | Q(hasty=True)


def drop_votes(votes: QuerySet[Vote]) -> None:
    """Take the weight from these votes of one person; open examples are decided again.

    A verdict stands, and is listed for the owner if it would be another one without the vote.
    """
    votes = votes.filter(purpose=Vote.Purpose.VERDICT, surplus=False, dropped=False)
    for example_id in _examples_of(votes):
        with durable():
            hearing = hear(example_id)
            votes.filter(example=example_id).update(dropped=True)
            _speak_again(hearing)
            review_if_it_would_differ(hearing)


def restore_votes(votes: QuerySet[Vote]) -> None:
    """Give these votes their weight back; open examples are decided again.

    A doubt is over where what weighs now carries the verdict: the votes of others may still not.
    One begins where these speak against it.
    """
    votes = votes.filter(dropped=True)
    for example_id in _examples_of(votes):
        with durable():
            hearing = hear(example_id)
            votes.filter(example=example_id).update(dropped=False)
            _speak_again(hearing)
            if not review_if_it_would_differ(hearing):
                close_reviews(hearing.example, [Review.Kind.QUARANTINE])


def review_if_it_would_differ(hearing: Hearing) -> bool:
    """Ask the owner about a verdict that would be another one by the votes that weigh still."""
    differs = would_differ(hearing.example, hearing.votes)
    if differs:
        open_review(
            hearing.example,
            Review.Kind.QUARANTINE,
            "Without the vote of somebody whose votes lost their weight, the verdict "
            "would be another.",
        )
    return differs


def would_differ(example: Example, votes: Sequence[Vote]) -> bool:
    """Whether the verdict that these votes gave would be another one by those that weigh still."""
    if example.status == Example.Status.OPEN or example.adjudicated:
        return False
    decision = decision_on(example, votes)
    differs = (decision.outcome.value, decision.label) != (example.status, example.final_label)
    return differs and any(vote.dropped for vote in votes)


def _speak_again(hearing: Hearing) -> None:
    """Decide an open example again; where a verdict stands, score those who voted anew."""
    hearing.read = None  # their weight has changed
    if hearing.item is not None and hearing.example.status == Example.Status.OPEN:
        follow(hearing, hearing.decision())
    follow_later(score(hearing))


def _examples_of(votes: QuerySet[Vote]) -> Iterator[int]:
    """The examples that these votes are on, in ascending order, some at a time."""
    ids = votes.order_by("example").values_list("example", flat=True)
    after = 0
    while chunk := list(ids.filter(example__gt=after)[:CHUNK]):
        yield from chunk
        after = chunk[-1]
