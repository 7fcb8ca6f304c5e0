"""Writes of the queue: lease, vote, release, undo, adjudicate, ban.

Locks are taken in one order everywhere: example, queue item, lease; whoever comes second waits for
the first and then sees what it did.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db.models import F
from django.utils import timezone

from accounts.models import Role, User
from accounts.services import record_event
from accounts.transactions import durable
from annotate.errors import Conflict, Refused
from annotate.labels import check_label
from annotate.models import Example, Task
from annotate.services import lock_example, set_queued, settle
from validate import queries
from validate.models import Lease, QueueItem, Vote
from validate.policies import FLAG_REASONS, UNSURE, Decision, decide

MAX_REASON = 1_000


def enqueue(example: Example, *, priority: int) -> QueueItem:
    """Put a new or locked example into the queue, wanting the votes that its policy can use."""
    assert example.author_id is not None  # only guests' sandbox examples have none
    wanted = _decide(example).votes_wanted
    return QueueItem.objects.create(
        example=example,
        task_id=example.task_id,
        author_id=example.author_id,
        priority=priority,
        votes_wanted=wanted,
        leases_active=_leases_within(example, wanted),
        withdrawn=is_withdrawn(example),
    )


def _leases_within(example: Example, wanted: int) -> int:
    """How many people may go on answering a locked example; leases beyond `wanted` are ended.

    An example that returns to the queue may still be on somebody's screen.
    """
    active = list(
        Lease.objects.filter(example=example, ended_at=None)
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


def _decide(example: Example) -> Decision:
    file = example.config.file
    return decide(
        queries.ballots_of(example),
        file.section("validation").rule,
        author_label=example.label,
        labels=file.label_values or None,
    )


# --- leases ---------------------------------------------------------------------------------------
def next_item(*, validator: User, task: Task) -> Lease | None:
    """Lease the next example to this person, or the one they hold; None: nothing waits."""
    _require_validator(validator, task)
    with durable():
        if held := queries.held_lease(validator, task.pk):
            return held
        _end_expired_leases(task.pk)
        return _lease_next(validator, task)


def _lease_next(validator: User, task: Task) -> Lease | None:
    item = (
        queries.free_for(validator, task.pk)
        .select_for_update(skip_locked=True, no_key=True, of=("self",))
        .first()
    )
    if item is None:
        return None
    QueueItem.objects.filter(pk=item.pk).update(leases_active=F("leases_active") + 1)
    return _grant(item.example, validator, task)


def _grant(example: Example, validator: User, task: Task) -> Lease:
    assert task.config is not None
    seconds = task.config.file.section("validation").lease_seconds
    return Lease.objects.create(
        example=example,
        validator=validator,
        expires_at=timezone.now() + timedelta(seconds=seconds),
    )


def _end_expired_leases(task_id: int) -> None:
    """Free the places of leases that ran out; whoever holds one of these rows does it instead."""
    now = timezone.now()
    expired = Lease.objects.filter(
        example__task_id=task_id, ended_at=None, expires_at__lte=now
    ).values_list("id", "example_id")
    for lease_id, example_id in list(expired[:100]):
        locked = (
            QueueItem.objects.select_for_update(skip_locked=True, no_key=True)
            .filter(pk=example_id)
            .exists()
        )
        if locked or not QueueItem.objects.filter(pk=example_id).exists():
            _end(lease_id, example_id, Lease.End.EXPIRED)


def _end(lease_id: UUID, example_id: int, end: str) -> bool:
    """End an active lease and free its place; False when it had already ended."""
    lock_item(example_id)
    ended = Lease.objects.filter(pk=lease_id, ended_at=None).update(
        ended_at=timezone.now(), end=end
    )
    if ended:
        QueueItem.objects.filter(pk=example_id).update(leases_active=F("leases_active") - 1)
    return bool(ended)


def lock_item(example_id: int) -> QueueItem | None:
    """Lock an example's queue entry until the end of the transaction; None when it has none."""
    return QueueItem.objects.select_for_update(no_key=True).filter(pk=example_id).first()


def release(*, validator: User, lease_id: UUID, skip: bool = False) -> None:
    """Give a lease back; `skip` also means: do not ask me about this one again."""
    with durable():
        lease = _own_lease(validator, lease_id)
        lock_example(lease.example_id)
        _end(lease.pk, lease.example_id, Lease.End.SKIPPED if skip else Lease.End.RELEASED)


def unskip(*, validator: User, task: Task) -> int:
    """Put what this person skipped back among what they are asked; returns how many."""
    with durable():
        return Lease.objects.filter(
            validator=validator, example__task=task, end=Lease.End.SKIPPED
        ).update(end=Lease.End.RELEASED)


def _own_lease(validator: User, lease_id: UUID) -> Lease:
    lease = Lease.objects.filter(pk=lease_id, validator=validator).first()
    if lease is None:
        raise Conflict("lease_lost", "This item is no longer yours to answer.")
    return lease


def _require_validator(validator: User, task: Task) -> None:
    if not queries.may_validate(validator, task):
        raise Refused("not_a_validator", "Only validators may do this.", status=403)


# --- votes ----------------------------------------------------------------------------------------
def vote(
    *,
    validator: User,
    lease_id: UUID,
    label: object | None = None,
    flag: str = "",
    reason: str = "",
) -> Vote:
    """Record a vote under a lease, and settle the example if that decides it.

    Conflict when the lease ran out or was lost; the same answer under the same lease again returns
    the vote of the first time. A vote on an example settled meanwhile is kept as surplus.
    """
    with durable():
        lease = _own_lease(validator, lease_id)
        example = lock_example(lease.example_id)
        lease.refresh_from_db()
        _check_answer(example, label, flag, reason)
        if earlier := Vote.objects.filter(lease=lease).first():
            if (earlier.label, earlier.flag) == (label, flag):
                return earlier
            raise Conflict("already_voted", "You have already answered this item.")
        if example.author_id == validator.pk:
            raise Refused("own_example", "Nobody validates their own example.", status=403)
        _require_validator(validator, example.task)
        now = timezone.now()
        if lease.ended_at is not None or lease.expires_at <= now:
            raise Conflict("lease_lost", "Your time for this item ran out and it went to others.")
        _end(lease.pk, example.pk, Lease.End.VOTED)
        return cast(
            example=example,
            validator=validator,
            label=label,
            flag=flag,
            reason=reason,
            lease=lease,
            seconds=(now - lease.created_at).total_seconds(),
        )


def _check_answer(example: Example, label: object | None, flag: str, reason: str) -> None:
    if (label is None) == (not flag):
        raise Refused("bad_vote", "A vote is either a label or a flag.")
    if flag and flag != UNSURE and flag not in FLAG_REASONS:
        raise Refused("unknown_flag", f"The flag must be one of {', '.join(FLAG_REASONS)}.")
    if label is not None:
        check_label(example.config.file, label)
    if len(reason) > MAX_REASON:
        raise Refused("too_long", f"A reason has at most {MAX_REASON} characters.")


def cast(
    *,
    example: Example,
    validator: User,
    label: object | None,
    flag: str = "",
    reason: str = "",
    lease: Lease | None = None,
    seconds: float | None = None,
) -> Vote:
    """Insert a vote on a locked example and let the policy speak; the queue follows.

    A vote that the queue would no longer ask for (settled, withdrawn) is surplus, decides nothing.
    """
    assert example.author_id is not None  # only guests' sandbox examples have none
    item = lock_item(example.pk)
    surplus = item is None or item.withdrawn
    made = Vote.objects.create(
        example=example,
        validator=validator,
        author_id=example.author_id,
        lease=lease,
        label=label,
        flag=flag,
        reason=reason,
        seconds=seconds,
        surplus=surplus,
    )
    if item is not None and not surplus:
        _follow(example, item, _decide(example))
    record_event(
        actor=validator,
        verb="voted",
        subject=example,
        scope=example.task.slug,
        data={"vote": made.pk, "surplus": surplus, "flag": flag},
    )
    return made


def _follow(example: Example, item: QueueItem, decision: Decision) -> None:
    """Bring the queue, and when it is decided the example, to what the policy says."""
    if wanted := decision.votes_wanted:
        changes = {"votes_wanted": wanted}
        if item.leases_active > wanted:  # a vote without a lease, from a log, took a place
            changes["leases_active"] = _leases_within(example, wanted)
        QueueItem.objects.filter(pk=item.pk).update(**changes)
        return
    item.delete()
    settle(
        example,
        status=decision.outcome.value,
        label=decision.label,
        data={"votes": decision.used, "posterior": decision.posterior},
    )


def undo(*, validator: User, task: Task) -> Lease:
    """Take one's last vote in a task back while its example is undecided, and lease it again."""
    _require_validator(validator, task)
    with durable():
        last = Vote.objects.filter(validator=validator, example__task=task).order_by("-id").first()
        if last is None:
            raise Refused(
                "nothing_to_undo", "There is no answer of yours to take back.", status=409
            )
        held = queries.held_lease(validator, task.pk)
        # Two people may each hold what the other answered last: both lock the older one first.
        both = {last.example_id, held.example_id} if held else {last.example_id}
        example = {pk: lock_example(pk) for pk in sorted(both)}[last.example_id]
        item = lock_item(example.pk)
        if not Vote.objects.filter(pk=last.pk, surplus=False).exists() or item is None:
            raise Conflict("settled", "That example is already settled: the answer stands.")
        if item.withdrawn:
            raise Conflict("withdrawn", "That example was taken out: nobody is asked about it.")
        if held:
            _end(held.pk, held.example_id, Lease.End.RELEASED)
        last.delete()
        wanted = _decide(example).votes_wanted
        if item.leases_active + 1 > wanted:
            raise Conflict(
                "asked_on",
                "Somebody else is already being asked because of that answer: it stands.",
            )
        QueueItem.objects.filter(pk=item.pk).update(
            votes_wanted=wanted, leases_active=F("leases_active") + 1
        )
        record_event(
            actor=validator,
            verb="undid_vote",
            subject=example,
            scope=task.slug,
            data={"label": last.label, "flag": last.flag},
        )
        return _grant(example, validator, task)


# --- owners ---------------------------------------------------------------------------------------
def adjudicate(
    *, actor: User, example_id: int, status: str, reason: str, label: object | None = None
) -> Example:
    """Settle an example by an owner's word, whatever its votes say; `open` returns it to them."""
    if not reason.strip():
        raise Refused("reason_missing", "Say why: a decision by an owner needs a reason.")
    with durable():
        example = lock_example(example_id)
        if not example.task.is_owned_by(actor):
            raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
        QueueItem.objects.filter(pk=example.pk).delete()
        if status == Example.Status.VERIFIED:
            label = example.label
        settle(example, status=status, label=label, actor=actor, reason=reason)
        if status == Example.Status.OPEN and example.queued:
            reopen(example)
    return example


def reopen(example: Example) -> None:
    """Queue a locked example again; what its votes already decide takes effect at once."""
    decision = _decide(example)
    if decision.votes_wanted:
        enqueue(example, priority=0 if example.fooled else 1)
    else:
        settle(example, status=decision.outcome.value, label=decision.label)


def queue_for_votes(example: Example) -> None:
    """Ask validators about a locked example that was not drawn for the queue."""
    if not example.queued:
        set_queued(example)
        enqueue(example, priority=0 if example.fooled else 1)


def set_banned(*, actor: User, user: User, banned: bool, reason: str) -> None:
    """Keep a person out, with their waiting items, or let them and these back in."""
    if not reason.strip():
        raise Refused("reason_missing", "Say why: a ban needs a reason.")
    with durable():
        user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if banned and user.role == Role.ADMIN:
            raise Refused(
                "is_admin", "An admin cannot be banned: give them another role first.", status=409
            )
        user.banned_at = timezone.now() if banned else None
        user.ban_reason = reason if banned else ""
        user.save(update_fields=["banned_at", "ban_reason"])
        waiting = QueueItem.objects.filter(author=user).values_list("example", flat=True)
        on_screen = Lease.objects.filter(validator=user, ended_at=None)
        # In one ascending pass: two bans, or a ban and an undo, would else wait for each other.
        for example_id in sorted({*waiting, *on_screen.values_list("example", flat=True)}):
            sync_withdrawn(lock_example(example_id))
            for lease in on_screen.filter(example=example_id):
                _end(lease.pk, example_id, Lease.End.SUPERSEDED)
        record_event(
            actor=actor,
            verb="banned" if banned else "unbanned",
            subject=user,
            data={"reason": reason},
        )


def sync_withdrawn(example: Example) -> None:
    """Let the queue entry of a locked example follow whether anybody should be asked about it."""
    QueueItem.objects.filter(pk=example.pk).update(withdrawn=is_withdrawn(example))
