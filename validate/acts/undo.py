"""Taking one's last answer back while its example is undecided."""

from __future__ import annotations

from statistics import fmean
from typing import Final
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.models import User
from accounts.services import record_event
from annotate.models import Example, Task
from core.errors import Conflict, Refused
from core.transactions import durable
from validate import queries, statements
from validate.acts.lease import end_lease, grant
from validate.decisions import is_withdrawn, urgency
from validate.hearing import Hearing, hear_all
from validate.models import Gold, Lease, QueueItem, Vote
from validate.people.patience import UNDONE, charge, require_undo
from validate.people.reliability import (
    is_scored,
    proven,
    reliability_of,
    uncount_answer,
    uncount_share,
    unscore_gold,
)
from validate.people.standing import require_validator
from validate.queries import settings_of

_LATEST: Final = 20  # votes: who has won standing settles more than when they began


def undo(*, validator: User, task: Task, answer: UUID | None = None) -> Lease:
    """Take one's last vote in a task back while its example is undecided, and lease it again.

    With `answer`, the lease that it was given under, asking again takes no second vote back.
    """
    require_validator(validator, task)
    with durable():
        if answer is not None and (again := _leased_again(validator, task, answer)):
            return again
        votes = Vote.objects.filter(validator=validator, example__task=task)
        if validator.by_link is not None:  # what was answered before may be somebody else's
            votes = votes.filter(created_at__gte=validator.by_link.session.started_at)
        last = votes.order_by("-id").first()
        if last is None:
            raise Refused(
                "nothing_to_undo", "There is no answer of yours to take back.", status=409
            )
        if answer not in (None, last.lease_id):
            raise Conflict("not_the_last", "You have answered another item since: it stands.")
        held = queries.held_leases(validator, task.pk)
        # Two people may each hold what the other answered last: both lock the older one first.
        touched = {last.example_id, *(lease.example_id for lease in held)}
        hearings = hear_all(touched)
        hearing = hearings[last.example_id]
        example = hearing.example
        open_vote = Vote.objects.filter(Q(dropped=False) | Q(hasty=True), pk=last.pk, surplus=False)
        on_gold = last.purpose == Vote.Purpose.GOLD
        row = reliability_of(task.pk, validator.pk)
        require_undo(row, timezone.now())  # first: alike, whatever became of the answer
        # What somebody hasty says settles nothing, until known answers have proven them.
        share = 0.0 if last.hasty and not proven(row) else _share_that_settles(last)
        if on_gold:
            gold = Gold.objects.filter(pk=example.pk, retired_at=None)
            still_asked = gold.exists() and _chance(last) >= share
        else:
            still_asked = hearing.item is not None and last.purpose == Vote.Purpose.VERDICT
        if not still_asked or not open_vote.exists():
            raise _stands()
        if is_withdrawn(example):
            raise Conflict("withdrawn", "That example was taken out: nobody is asked about it.")
        for lease in held:
            end_lease(lease, hearings[lease.example_id].item, Lease.End.RELEASED)
        last.delete()
        if on_gold:
            _undo_gold(hearing, last)
        else:
            _undo_verdict(hearing, last)
        record_event(
            actor=validator,
            verb="undid_vote",
            subject=example,
            scope=task.slug,
            data={"label": last.label, "flag": last.flag},
        )
        return grant(example, validator, task, gold=on_gold)


def _stands() -> Conflict:
    return Conflict("settled", "Others went on from that answer: it stands.")


def _share_that_settles(last: Vote) -> float:
    """How many of the latest ordinary votes of this person in the task settled an example.

    Such a vote cannot be taken back. If every answer to gold could, being refused would tell that
    an item was none; so as many of those stand, by a chance that is the same whenever it is asked.
    Nobody else's count: who comes after a quick colleague settles nearly all that they see, who
    only begins settles none.
    """
    votes = Vote.objects.counted().filter(lease__isnull=False)
    own = votes.filter(
        id__lt=last.pk, validator=last.validator_id, example__task=last.example.task_id
    )
    later = votes.filter(example=OuterRef("example"), id__gt=OuterRef("id"))
    settled = own.annotate(settled=~Exists(later) & ~Q(example__status=Example.Status.OPEN))
    latest = settled.order_by("-id").values_list("settled", flat=True)[:_LATEST]
    return fmean(latest) if latest else 0.0


def _chance(vote: Vote) -> float:
    """0 to 1, made from the vote's lease and the server's secret."""
    made = salted_hmac("an answer that stands", str(vote.lease_id), algorithm="sha256").digest()
    return int.from_bytes(made[:8]) / 2**64


def _leased_again(validator: User, task: Task, answer: UUID) -> Lease | None:
    """What this person holds on the example that they answered under a lease, and took back."""
    answered = Lease.objects.filter(pk=answer, validator=validator)
    examples = set(answered.values_list("example", flat=True))
    held = queries.held_leases(validator, task.pk)
    return next((lease for lease in held if lease.example_id in examples), None)


def _undo_gold(hearing: Hearing, last: Vote) -> None:
    row = hearing.lock_rows([last.validator_id])[last.validator_id]
    if last.credit is not None and is_scored(last, row.restarted_at):
        unscore_gold(row, right=last.credit == 1)
    row.gold_pending_id = last.example_id
    uncount_answer(row)
    charge(row, timezone.now(), UNDONE + settings_of(hearing.example.task).skip_share)
    statements.save_answer(row)


def _undo_verdict(hearing: Hearing, last: Vote) -> None:
    example, item = hearing.example, hearing.item
    assert item is not None  # it is asked still
    uncount_share(last, example)
    if all(vote.automatic for vote in hearing.votes):  # a judge is never first: it votes again
        for vote in hearing.votes:
            uncount_share(vote, example)
            vote.delete()
        hearing.read = []
    if last.close and hearing.votes:  # the closer look stays with the example
        hearing.votes[0].close = True
        Vote.objects.filter(pk=hearing.votes[0].pk).update(close=True)
    decision = hearing.decision()
    if item.leases_active + 1 > decision.votes_wanted:
        raise _stands()  # somebody else is being asked because of that answer
    QueueItem.objects.filter(pk=item.pk).update(
        votes_wanted=decision.votes_wanted,
        urgency=urgency(example, decision),
        leases_active=F("leases_active") + 1,
    )
    row = hearing.lock_rows([last.validator_id])[last.validator_id]
    uncount_answer(row)
    charge(row, timezone.now(), UNDONE + settings_of(hearing.example.task).skip_share)
    statements.save_answer(row)
