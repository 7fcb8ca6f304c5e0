"""Leases: one person's short claims on examples, taken, kept, given back and run out.

The order in which locks are taken is said in `validate.decisions`: a person's own row (their
reliability) comes after every queue entry that has to be waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F, QuerySet
from django.utils import timezone

from accounts.models import User
from annotate.models import Example, Task
from annotate.queries import kept_config
from annotate.services import lock_example
from core.errors import Conflict, Refused
from core.sql import compiled
from core.sql.compiled import Compiled, CompiledUpdate, Given
from core.transactions import durable
from validate import queries, statements
from validate.config import ValidationSettings
from validate.decisions import lock_item
from validate.gold import gold_for, in_qualification, is_gold_turn
from validate.models import Gold, Lease, QueueItem, Reliability
from validate.reliability import lock_reliabilities
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
        example_id = statements.free_item(task.pk, validator.pk, cap=settings_of(task).share_cap)
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
    row = row or lock_reliabilities(task.pk, [validator.pk])[validator.pk]
    now = timezone.now()
    held, some_ran_out = statements.held(task.pk, validator.pk, now=now)
    for lease in held:
        if lease.id != after:
            return queries.shown_lease(lease.id), False
    if some_ran_out:
        _end_expired_leases(now)
    require_standing(row, task)
    if task.set_aside_for(validator):
        return None, False
    settings = settings_of(task)
    if in_qualification(settings, row):
        if row.gold_seen + len(held) >= settings.qualification.items:
            return None, False  # the last of these answers decides
        gold = gold_for(row, held)
        return (_grant_gold(gold, validator, task) if gold else None), False
    if example_id is None:
        example = statements.free_example(task.pk, validator.pk, cap=settings.share_cap)
        if example is None:
            return None, connection.features.has_select_for_update
    else:
        example = _SHOWN.first(example=example_id)
        assert example is not None  # its queue entry is locked
    return _lease(example, validator, task, row, held), False


def _lease(
    example: Example, validator: User, task: Task, row: Reliability, held: Sequence[Held]
) -> Lease:
    """Lease an example whose queue entry is locked, or gold in its place."""
    settings = settings_of(task)
    # Gold comes only where an example would have come: an empty queue must look like one.
    left_over = row.gold_pending_id not in {None, *(lease.example_id for lease in held)}
    is_turn = left_over or is_gold_turn(settings, row.answered + len(held))
    if is_turn and (gold := gold_for(row, held)):
        return _grant_gold(gold, validator, task)
    _TAKE_PLACE.run(example=example.pk)
    example.config = kept_config(example.config_id)
    return grant(example, validator, task)


_TAKE_PLACE = CompiledUpdate(
    lambda: QueueItem.objects.filter(pk=Given("example")), leases_active=F("leases_active") + 1
)
_SHOWN = Compiled(lambda: statements.shown().filter(pk=Given("example")))


def _grant_gold(gold: Gold, validator: User, task: Task) -> Lease:
    _AWAIT_GOLD.run(task=task.pk, validator=validator.pk, gold=gold.pk)
    return grant(gold.example, validator, task, gold=True)


_AWAIT_GOLD = CompiledUpdate(
    lambda: Reliability.objects.filter(task=Given("task"), validator=Given("validator")),
    gold_pending=Given("gold"),
)


def grant(example: Example, validator: User, task: Task, *, gold: bool = False) -> Lease:
    lease = Lease(
        example=example,
        validator=validator,
        gold=gold,
        expires_at=timezone.now() + timedelta(seconds=settings_of(task).lease_seconds),
    )
    compiled.insert(lease)
    return lease


def settings_of(task: Task) -> ValidationSettings:
    assert task.config is not None
    settings: ValidationSettings = task.config.file.section("validation")
    return settings


def extend(*, validator: User, lease_id: UUID) -> Lease:
    """Keep a lease for longer, up to the task's limit; Conflict when it is over."""
    with durable():
        lease = own_lease(validator, lease_id)
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


_EXPIRED = Compiled(
    lambda: Lease.objects.filter(ended_at=None, expires_at__lte=Given("now")).order_by(
        "example_id", "id"
    )[:100]
)


def _end_expired_leases(now: datetime) -> None:
    """Free the places of leases that ran out; whoever holds one of these rows does it instead.

    Nothing is waited for: the caller holds their own reliability, which comes after these rows.
    """
    for lease in _EXPIRED.all(now=now):
        if not _locked_now(QueueItem.objects.filter(pk=lease.example_id)):
            if QueueItem.objects.filter(pk=lease.example_id).exists():
                continue
            if not _locked_now(Lease.objects.filter(pk=lease.pk)):
                continue
        end_lease(lease, Lease.End.EXPIRED)


def _locked_now(row: QuerySet[Any]) -> bool:
    """Lock a row unless somebody else has."""
    return row.select_for_update(skip_locked=True, no_key=True).exists()


def end_lease(lease: Lease, end: str) -> bool:
    """End an active lease and free its place; False when it had already ended."""
    item = lock_item(lease.example_id)
    ended = close_lease(lease, end)
    if ended and item is not None and not lease.gold:
        item.leases_active -= 1
        compiled.update(item, "leases_active")
    return ended


def close_lease(lease: Lease, end: str) -> bool:
    """The same without its place, which the caller frees in the queue entry that it has locked."""
    return bool(_CLOSE.run(lease=lease.pk, now=timezone.now(), end=end))


def close_for_vote(lease_id: UUID, now: datetime) -> Lease | None:
    """End an active lease that has not run out, with a vote; None when it is none of these."""
    return next(iter(_CLOSE_FOR_VOTE.returning(lease=lease_id, now=now)), None)


_CLOSE_FOR_VOTE = CompiledUpdate(
    lambda: Lease.objects.filter(pk=Given("lease"), ended_at=None, expires_at__gt=Given("now")),
    ended_at=Given("now"),
    end=Lease.End.VOTED,
)
_CLOSE = CompiledUpdate(
    lambda: Lease.objects.filter(pk=Given("lease"), ended_at=None),
    ended_at=Given("now"),
    end=Given("end"),
)


def release(*, validator: User, lease_id: UUID, skip: bool = False) -> None:
    """Give a lease back; `skip` also means: do not ask me about this one again."""
    with durable():
        lease = own_lease(validator, lease_id)
        lock_example(lease.example_id)
        end_lease(lease, Lease.End.SKIPPED if skip else Lease.End.RELEASED)
        if skip:
            Reliability.objects.filter(validator=validator, gold_pending=lease.example_id).update(
                gold_pending=None
            )


def unskip(*, validator: User, task: Task) -> int:
    """Put what this person skipped back among what they are asked; returns how many."""
    with durable():
        return Lease.objects.filter(
            validator=validator, example__task=task, end=Lease.End.SKIPPED
        ).update(end=Lease.End.RELEASED)


def own_lease(validator: User, lease_id: UUID) -> Lease:
    lease = Lease.objects.filter(pk=lease_id, validator=validator).first()
    if lease is None:
        raise not_yours()
    return lease


def not_yours() -> Conflict:
    return Conflict("lease_lost", "This item is no longer yours to answer.")


def require_validator(validator: User, task: Task) -> None:
    if not queries.may_validate(validator, task):
        raise Refused("not_a_validator", "Only validators may do this.", status=403)


def require_standing(row: Reliability, task: Task) -> None:
    if row.quarantined_at is not None:
        raise Refused(
            "quarantined",
            "Your answers here often differ from what others see, so you are not asked for now. "
            "An owner of the task can let you back in.",
            status=403,
        )
    wanted = settings_of(task).qualification
    if row.qualified_at is None and 0 < wanted.items <= row.gold_seen:
        raise Refused(
            "not_qualified",
            f"You answered {row.gold_right} of the {row.gold_seen} test items as expected; it "
            f"takes {wanted.minimum:.0%} to validate here. An owner of the task can let you try "
            "again.",
            status=403,
        )
