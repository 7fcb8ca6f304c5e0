"""Leases: one person's short claims on examples, taken, kept, given back and run out.

A person's own row (their reliability) is locked after every queue entry that has to be waited for
(validate.hearing).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import connection
from django.utils import timezone

from accounts.models import User
from annotate import judged
from annotate.models import Example, Task
from annotate.queries import kept_config
from core.errors import Conflict, Refused
from core.transactions import after_commit, durable
from validate import queries, statements
from validate.hearing import hear, lock_rows
from validate.known_answers import gold_for, in_qualification, is_gold_turn
from validate.models import Gold, Lease, QueueItem, Reliability
from validate.people.patience import (
    ASKED,
    FOLLOWED,
    charge,
    charge_skip,
    passed,
    require_patience,
)
from validate.people.reliability import reliability_of, stands
from validate.people.standing import require_standing, require_validator
from validate.policies.trust import GOLD_PROVES, may_begin
from validate.queries import settings_of
from validate.statements import Held


def next_item(*, validator: User, task: Task, after: UUID | None = None) -> Lease | None:
    """Lease the next example to this person, or the one they hold; None: nothing waits.

    `after` is a lease they hold: then it is the one that follows, so that a page has it ready.
    Nobody holds more than these two.
    """
    require_validator(validator, task)
    with durable():
        lease, all_taken = ask(validator, task, after)
    return wait_for_item(validator, task, after) if all_taken else lease


def wait_for_item(validator: User, task: Task, after: UUID | None) -> Lease | None:
    """The same when nothing is free but what others are just leasing or settling.

    It is waited for with empty hands: they may need this person's own row, or that of somebody who
    waits for theirs.
    """
    with durable():
        row = reliability_of(task.pk, validator.pk)
        example_id = statements.free_item(_asked(row, task))
        if example_id is None:
            return None
        return ask(validator, task, after, example_id=example_id)[0]


def ask(
    validator: User,
    task: Task,
    after: UUID | None,
    *,
    row: Reliability | None = None,
    example_id: int | None = None,
) -> tuple[Lease | None, bool]:
    """The lease that this person holds or now gets, and whether all that is free is locked.

    Within a transaction, in which `row`, their own, may be locked already; nobody is waited for
    but for that. With `example_id`, whose free entry is locked, it is that one if it is none they
    hold.
    """
    answered = row is not None  # what an answer brings is paid for
    row = row or lock_rows(task.pk, [validator.pk])[validator.pk]
    now = timezone.now()
    held, some_ran_out = statements.held(task.pk, validator.pk, now=now)
    for one in held:
        if one.id != after:
            return queries.shown_lease(one.id), False
    if some_ran_out:
        _end_expired_leases(now)
    require_standing(row, task)
    require_patience(row, now)
    if task.set_aside_for(validator):
        return None, False
    lease, all_taken = _new_lease(validator, task, row, held, example_id)
    if lease is not None and not answered:
        charge(row, now, ASKED)
        statements.save_passes(row)
    return lease, all_taken


def _new_lease(
    validator: User, task: Task, row: Reliability, held: Sequence[Held], example_id: int | None
) -> tuple[Lease | None, bool]:
    """What follows the items that this person holds, and whether all that is free is locked."""
    settings = settings_of(task)
    if in_qualification(settings, row):
        if row.gold_seen + len(held) >= settings.qualification.items:
            return None, False  # the last of these answers decides
        gold = gold_for(row, held)
        return (_grant_gold(gold, validator, task) if gold else None), False
    if example_id is None:
        example = statements.free_example(_asked(row, task))
        if example is None:
            return None, connection.features.has_select_for_update
    else:
        example = statements.shown().get(pk=example_id)
    return _lease(example, validator, task, row, held), False


def _asked(row: Reliability, task: Task) -> statements.Asked:
    settings = settings_of(task)
    return statements.Asked(
        task.pk,
        row.validator_id,
        settings.share_cap,
        picked=settings.people_picked,
        proven=stands(row, has_gold=True),
        agrees=stands(row, has_gold=False),
        begins=may_begin(row.gold_seen),
    )


def _lease(
    example: Example, validator: User, task: Task, row: Reliability, held: Sequence[Held]
) -> Lease:
    """Lease an example whose queue entry is locked, or gold in its place."""
    settings = settings_of(task)
    # Gold comes only where an example would have come: an empty queue must look like one.
    left_over = row.gold_pending_id not in {None, *(lease.example_id for lease in held)}
    place = row.answered + len(held)
    # Who passes items over meets more gold, and of whom nothing is known: their standing comes from
    # it. One toss more, not one for each that is owed: then who owes six would know it for gold.
    tosses = 1 + (passed(row, timezone.now()) >= FOLLOWED) + (row.gold_seen < GOLD_PROVES)
    is_turn = left_over or any(is_gold_turn(settings, place) for _ in range(tosses))
    if is_turn and (gold := gold_for(row, held)):
        return _grant_gold(gold, validator, task)
    statements.take_place(example.pk)
    example.config = kept_config(example.config_id)
    return grant(example, validator, task)


def _grant_gold(gold: Gold, validator: User, task: Task) -> Lease:
    Reliability.objects.filter(task=task, validator=validator).update(gold_pending=gold.pk)
    return grant(gold.example, validator, task, gold=True)


def grant(example: Example, validator: User, task: Task, *, gold: bool = False) -> Lease:
    lease = Lease(
        example=example,
        validator=validator,
        gold=gold,
        expires_at=timezone.now() + timedelta(seconds=settings_of(task).lease_seconds),
    )
    statements.insert(lease)
    example.task = task
    after_commit(partial(judged.begins, example, validator.pk))
    return lease


def extend(*, validator: User, lease_id: UUID) -> Lease:
    """Keep a lease for longer, up to the task's limit; Conflict when it is over."""
    with durable():
        lease = _own(validator, lease_id)
        now = timezone.now()
        settings = settings_of(lease.example.task)
        latest = lease.created_at + timedelta(seconds=settings.lease_limit_seconds)
        until = max(lease.expires_at, min(latest, now + timedelta(seconds=settings.lease_seconds)))
        # Compare and set: whoever ends an expired lease at this moment has the last word.
        kept = Lease.objects.filter(pk=lease.pk, ended_at=None, expires_at__gt=now)
        if not kept.update(expires_at=until):
            raise Conflict("lease_lost", "Your time for this item ran out and it went to others.")
        lease.expires_at = until
    return lease


def _end_expired_leases(now: datetime) -> None:
    """Free the places of leases that ran out; whoever holds one of these rows does it instead.

    Nothing is waited for: the caller holds their own reliability, which comes after these rows.
    """
    expired = Lease.objects.filter(ended_at=None, expires_at__lte=now).order_by("example_id", "id")
    for lease in expired[:100]:
        entry = QueueItem.objects.filter(pk=lease.example_id)
        item = entry.select_for_update(skip_locked=True, no_key=True).first()
        if item is None:
            if entry.exists():
                continue
            free = Lease.objects.select_for_update(skip_locked=True, no_key=True)
            if not free.filter(pk=lease.pk).exists():
                continue
        end_lease(lease, item, Lease.End.EXPIRED)


def end_lease(lease: Lease, item: QueueItem | None, end: str) -> bool:
    """End an active lease and free its place in the queue entry of its example, which is locked.

    False when it was over already.
    """
    active = Lease.objects.filter(pk=lease.pk, ended_at=None)
    ended = active.update(ended_at=timezone.now(), end=end)
    if ended and item is not None and not lease.gold:
        item.leases_active -= 1
        statements.save_item(item)
    return bool(ended)


def release(*, validator: User, lease_id: UUID, skip: bool = False) -> None:
    """Give a lease back; `skip` also means: do not ask me about this one again.

    Conflict, and the lease is kept, when that was one skip too many.
    """
    with durable():
        lease = _own(validator, lease_id)
        hearing = hear(lease.example_id)
        ended = end_lease(lease, hearing.item, Lease.End.SKIPPED if skip else Lease.End.RELEASED)
        if skip and ended:
            row = hearing.lock_rows([validator.pk])[validator.pk]
            charge_skip(row, timezone.now())
            statements.save_passes(row)
            if row.gold_pending_id == lease.example_id:
                Reliability.objects.filter(pk=row.pk).update(gold_pending=None)


def has_work(*, validator: User, task: Task) -> bool:
    """Whether this person holds an item, or would be given one if they asked now."""
    held, some_ran_out = statements.held(task.pk, validator.pk, now=timezone.now())
    if held:
        return True
    if some_ran_out:  # what others let run out is free, as soon as anybody asks
        with durable():
            _end_expired_leases(timezone.now())
    row = reliability_of(task.pk, validator.pk)
    try:
        require_standing(row, task)
        require_patience(row, timezone.now())
    except Refused:
        return False
    return statements.free_item(_asked(row, task), lock=False) is not None


def give_up(*, validator: User, task: Task) -> None:
    """Give back whatever this person holds in a task: they have left."""
    held = Lease.objects.filter(validator=validator, example__task=task, ended_at=None)
    for lease_id in held.values_list("pk", flat=True):
        release(validator=validator, lease_id=lease_id)


def unskip(*, validator: User, task: Task) -> int:
    """Put what this person skipped back among what they are asked; returns how many."""
    with durable():
        skipped = Lease.objects.filter(
            validator=validator, example__task=task, end=Lease.End.SKIPPED
        )
        # Ordinary ones come back by their place in the queue; gold has none, so chance decides.
        one_of_them = skipped.order_by("?").first()
        if one_of_them is not None and one_of_them.gold:
            Reliability.objects.filter(task=task, validator=validator, gold_pending=None).update(
                gold_pending=one_of_them.example_id
            )
        return skipped.update(end=Lease.End.UNSKIPPED)


def _own(validator: User, lease_id: UUID) -> Lease:
    lease = Lease.objects.filter(pk=lease_id, validator=validator).first()
    if lease is None:
        raise not_yours()
    return lease


def not_yours() -> Conflict:
    return Conflict("lease_lost", "This item is no longer yours to answer.")
