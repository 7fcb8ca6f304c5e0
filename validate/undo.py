"""Taking one's last answer back while its example is undecided."""

from __future__ import annotations

from uuid import UUID

from django.db.models import F

from accounts.models import User
from accounts.services import record_event
from annotate.models import Example, Task
from annotate.services import lock_example
from core.errors import Conflict, Refused
from core.transactions import durable
from validate import queries
from validate.decisions import decide_now, is_withdrawn, lock_item, urgency
from validate.leases import end_lease, grant, require_validator
from validate.models import Gold, Lease, QueueItem, Vote
from validate.reliability import (
    count_share,
    is_scored,
    lock_reliabilities,
    save_answer,
    uncount_answer,
    unscore_gold,
)


def undo(*, validator: User, task: Task, answer: UUID | None = None) -> Lease:
    """Take one's last vote in a task back while its example is undecided, and lease it again.

    With `answer`, the lease that it was given under, asking again takes no second vote back.
    """
    require_validator(validator, task)
    with durable():
        if answer is not None and (again := _leased_again(validator, task, answer)):
            return again
        last = Vote.objects.filter(validator=validator, example__task=task).order_by("-id").first()
        if last is None:
            raise Refused(
                "nothing_to_undo", "There is no answer of yours to take back.", status=409
            )
        if answer not in (None, last.lease_id):
            raise Conflict("not_the_last", "You have answered another item since: it stands.")
        held = queries.held_leases(validator, task.pk)
        # Two people may each hold what the other answered last: both lock the older one first.
        touched = {last.example_id, *(lease.example_id for lease in held)}
        example = {pk: lock_example(pk) for pk in sorted(touched)}[last.example_id]
        item = lock_item(example.pk)
        open_vote = Vote.objects.filter(pk=last.pk, surplus=False, dropped=False)
        on_gold = last.purpose == Vote.Purpose.GOLD
        if on_gold:
            still_asked = Gold.objects.filter(pk=example.pk, retired_at=None).exists()
        else:
            still_asked = item is not None and last.purpose == Vote.Purpose.VERDICT
        if not still_asked or not open_vote.exists():
            raise Conflict("settled", "That example is already settled: the answer stands.")
        if is_withdrawn(example):
            raise Conflict("withdrawn", "That example was taken out: nobody is asked about it.")
        for lease in held:
            end_lease(lease, Lease.End.RELEASED)
        last.delete()
        if on_gold:
            _undo_gold(last)
        elif item is not None:
            _undo_verdict(last, example, item)
        record_event(
            actor=validator,
            verb="undid_vote",
            subject=example,
            scope=task.slug,
            data={"label": last.label, "flag": last.flag},
        )
        return grant(example, validator, task, gold=on_gold)


def _leased_again(validator: User, task: Task, answer: UUID) -> Lease | None:
    """What this person holds on the example that they answered under a lease, and took back."""
    answered = Lease.objects.filter(pk=answer, validator=validator)
    examples = set(answered.values_list("example", flat=True))
    held = queries.held_leases(validator, task.pk)
    return next((lease for lease in held if lease.example_id in examples), None)


def _undo_gold(last: Vote) -> None:
    row = lock_reliabilities(last.example.task_id, [last.validator_id])[last.validator_id]
    if last.credit is not None and is_scored(last, row.restarted_at):
        unscore_gold(row, right=last.credit == 1)
    row.gold_pending_id = last.example_id
    uncount_answer(row)
    save_answer(row)


def _undo_verdict(last: Vote, example: Example, item: QueueItem) -> None:
    count_share(last, example, -1)
    decision = decide_now(example)
    if item.leases_active + 1 > decision.votes_wanted:
        raise Conflict(
            "asked_on",
            "Somebody else is already being asked because of that answer: it stands.",
        )
    QueueItem.objects.filter(pk=item.pk).update(
        votes_wanted=decision.votes_wanted,
        urgency=urgency(example, decision),
        leases_active=F("leases_active") + 1,
    )
    row = lock_reliabilities(example.task_id, [last.validator_id])[last.validator_id]
    uncount_answer(row)
    save_answer(row)
