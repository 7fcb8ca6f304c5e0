"""Writes of the queue: lease, vote, release, undo, adjudicate, ban.

The order in which locks are taken is said in `validate.decisions`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import QuerySet, Subquery
from django.utils import timezone

from accounts.models import Role, User
from accounts.services import record_event
from annotate.models import Example, Task
from annotate.services import lock_example, lockable, require_owner, settle, with_configs
from core.errors import Conflict, Refused
from core.metrics import VOTE_SECONDS
from core.sql import compiled
from core.sql.compiled import Compiled, Given
from core.transactions import durable
from validate.decisions import (
    decide_now,
    follow,
    lock_item,
    open_hearing,
    reopen,
    sync_withdrawn,
)
from validate.gold import credit_of, in_qualification, withdraw_gold
from validate.hearing import hearing_of
from validate.leases import (
    ask,
    close_for_vote,
    end_lease,
    extend,
    next_item,
    not_yours,
    release,
    require_standing,
    require_validator,
    settings_of,
    unskip,
    wait_for_item,
)
from validate.models import Gold, Lease, QueueItem, Reliability, Vote
from validate.policies import FLAG_REASONS, UNSURE
from validate.policies.trust import is_fast
from validate.quarantine import drop_votes, follow_later, restore_votes
from validate.queries import progress_of
from validate.reliability import (
    count_answer,
    count_share,
    lock_reliabilities,
    reliability_of,
    save_answer,
    score_gold,
    weight_of,
)
from validate.undo import undo

__all__ = [
    "MAX_REASON",
    "adjudicate",
    "cast",
    "extend",
    "next_item",
    "release",
    "set_banned",
    "undo",
    "unskip",
    "vote",
    "vote_and_go_on",
]

MAX_REASON = 1_000


class Answered(NamedTuple):
    """A vote, the lease on what its validator is asked next, and how far they are then."""

    vote: Vote
    following: Lease | None
    progress: dict[str, Any]


# --- votes ----------------------------------------------------------------------------------------
@VOTE_SECONDS.time()
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
        made, _ = _vote(validator, lease_id, label, flag, reason)
    return made


@VOTE_SECONDS.time()
def vote_and_go_on(
    *,
    validator: User,
    lease_id: UUID,
    after: UUID | None = None,
    label: object | None = None,
    flag: str = "",
    reason: str = "",
) -> Answered:
    """The same, with what `next_item` gives afterwards; None, too, if it would refuse.

    One transaction, unless the next item has to be waited for: then the vote is committed first.
    """
    following = None
    with durable():
        made, row = _vote(validator, lease_id, label, flag, reason)
        task, all_taken = made.example.task, False
        with suppress(Refused):  # this very answer was one too many: asking again says why
            require_validator(validator, task)
            following, all_taken = ask(validator, task, after, row=row)
        if not all_taken:
            progress = progress_of(validator, task)
    if all_taken:
        with suppress(Refused):
            following = wait_for_item(validator, task, after)
        progress = progress_of(validator, task)
    return Answered(made, following, progress)


def _vote(
    validator: User, lease_id: UUID, label: object | None, flag: str, reason: str
) -> tuple[Vote, Reliability | None]:
    """The vote, and its voter's row if that was locked."""
    example, item = _lock_leased(validator, lease_id)
    _check_answer(example, label, flag, reason)
    now = timezone.now()
    lease = close_for_vote(lease_id, now)
    if lease is None and (earlier := Vote.objects.filter(lease=lease_id).first()):
        if (earlier.label, earlier.flag) == (label, flag):
            earlier.example = example
            return earlier, None
        raise Conflict("already_voted", "You have already answered this item.")
    if example.author_id == validator.pk:
        raise Refused("own_example", "Nobody validates their own example.", status=403)
    require_validator(validator, example.task)
    row = reliability_of(example.task_id, validator.pk)
    require_standing(row, example.task)
    if lease is None:
        raise Conflict("lease_lost", "Your time for this item ran out and it went to others.")
    if not lease.gold:
        open_hearing(example, item)
        if item is not None:
            item.leases_active -= 1  # saved with what the vote makes of the entry
    # An item that was fetched ahead could be seen only after the answer before it.
    seconds = (now - max(lease.created_at, row.answered_at or lease.created_at)).total_seconds()
    record = _cast_on_gold if lease.gold else cast
    made = record(
        example=example,
        validator=validator,
        label=label,
        flag=flag,
        reason=reason,
        lease=lease,
        seconds=seconds,
        row=row,
    )
    return made, _count_answer(made, example, seconds)


def _leased(examples: QuerySet[Example]) -> QuerySet[Example]:
    lease = Lease.objects.filter(pk=Given("lease"), validator=Given("validator"))
    return examples.filter(pk=Subquery(lease.values("example")[:1]))


_LEASED = Compiled(lambda: _leased(lockable()))
_LEASED_AND_QUEUED = Compiled(
    lambda: _leased(lockable("queue_item").filter(queue_item__isnull=False))
)


def _lock_leased(validator: User, lease_id: UUID) -> tuple[Example, QueueItem | None]:
    """Lock the example that this person has, or had, a lease on, and its queue entry."""
    given = {"lease": lease_id, "validator": validator.pk}
    if queued := _LEASED_AND_QUEUED.first(**given):
        return with_configs(queued), queued.queue_item
    example = _LEASED.first(**given)
    if example is None:
        raise not_yours()
    # Settled, perhaps while it was waited for, or gold; or queued again at this moment.
    waits = example.queued and example.status == Example.Status.OPEN
    return with_configs(example), lock_item(example.pk) if waits else None


def _count_answer(made: Vote, example: Example, seconds: float) -> Reliability:
    """Lock the voter's own row and bring it up to date, with the score if the vote was on gold."""
    task, hearing = example.task, hearing_of(example)
    row = hearing.standings.get(made.validator_id) if hearing else None
    row = row or lock_reliabilities(task.pk, [made.validator_id])[made.validator_id]
    count_answer(row, made, seconds)
    if made.purpose != Vote.Purpose.VERDICT:
        if row.gold_pending_id == made.example_id:
            row.gold_pending = None
        if made.credit is not None and score_gold(row, right=made.credit == 1, task=task):
            follow_later([row])
        _qualify(row, task)
    save_answer(row)
    return row


def _qualify(row: Reliability, task: Task) -> None:
    wanted = settings_of(task).qualification
    if row.qualified_at is not None or not 0 < wanted.items <= row.gold_seen:
        return
    passed = row.gold_right >= wanted.minimum * row.gold_seen
    if passed:
        row.qualified_at = timezone.now()
    record_event(
        actor=None,
        verb="qualified" if passed else "failed_qualification",
        subject=row.validator,
        scope=task.slug,
        data={"right": row.gold_right, "of": row.gold_seen},
    )


def _check_answer(example: Example, label: object | None, flag: str, reason: str) -> None:
    if (label is None) == (not flag):
        raise Refused("bad_vote", "A vote is either a label or a flag.")
    if flag and flag != UNSURE and flag not in FLAG_REASONS:
        raise Refused("unknown_flag", f"The flag must be one of {', '.join(FLAG_REASONS)}.")
    if label is not None:
        example.config.file.check_label(label, of=example.input)
    if len(reason) > MAX_REASON:
        raise Refused("too_long", f"A reason has at most {MAX_REASON} characters.")


def cast(
    *,
    example: Example,
    validator: User,
    label: object | None,
    flag: str = "",
    reason: str = "",
    row: Reliability,
    lease: Lease | None = None,
    seconds: float | None = None,
) -> Vote:
    """Insert a vote on an example that is being heard and let the policy speak; the queue follows.

    A vote that the queue would no longer ask for (settled, withdrawn) is surplus, decides nothing.
    Neither does one by somebody whose votes lost their weight, which only a log can bring. `row` is
    the voter's reliability.
    """
    assert example.author_id is not None  # only guests' sandbox examples have none
    hearing = hearing_of(example)
    assert hearing is not None
    item = hearing.item
    surplus = item is None or item.withdrawn
    dropped = row.quarantined_at is not None or validator.banned_at is not None
    made = Vote(
        example=example,
        validator=validator,
        author_id=example.author_id,
        lease=lease,
        label=label,
        flag=flag,
        reason=reason,
        seconds=seconds,
        fast=is_fast(seconds, row.median_seconds),
        surplus=surplus,
        dropped=dropped and not surplus,
        reliability=weight_of(example, row),
    )
    compiled.insert(made)
    if not surplus:
        count_share(made, example, 1)
        hearing.votes.append(made)
    _record_vote(made, example)
    if item is not None and not made.surplus and not made.dropped:
        decision = decide_now(example)
        if lease is not None and not decision.votes_wanted:
            # Every row that the verdict or the answer moves, before the verdict moves a tally.
            people = {vote.validator_id for vote in hearing.votes if vote.label is not None}
            rows = lock_reliabilities(example.task_id, people | {validator.pk})
            hearing.standings.update(rows)
        follow(example, item, decision)
        if example.status != Example.Status.OPEN:
            hearing.item = None
    elif item is not None:
        compiled.update(item, "leases_active")
    return made


def _cast_on_gold(
    *,
    example: Example,
    validator: User,
    label: object | None,
    flag: str,
    reason: str,
    lease: Lease,
    seconds: float,
    row: Reliability,
) -> Vote:
    """Insert a vote on gold: it decides nothing and says something about its validator alone."""
    assert example.author_id is not None  # gold is an owner's or an author's
    gold = Gold.objects.get(pk=example.pk)
    credit = credit_of(gold, label, accuses=bool(flag) and flag != UNSURE)
    qualifying = in_qualification(settings_of(example.task), row)
    made = Vote(
        example=example,
        validator=validator,
        author_id=example.author_id,
        lease=lease,
        label=label,
        flag=flag,
        reason=reason,
        seconds=seconds,
        fast=is_fast(seconds, row.median_seconds),
        purpose=Vote.Purpose.QUALIFICATION if qualifying else Vote.Purpose.GOLD,
        credit=credit,
        agreement=credit,
    )
    compiled.insert(made)
    _record_vote(made, example)
    return made


def _record_vote(made: Vote, example: Example) -> None:
    record_event(
        actor=made.validator,
        verb="voted",
        subject=example,
        scope=example.task.slug,
        data={"vote": made.pk, "surplus": made.surplus, "flag": made.flag},
    )


# --- owners ---------------------------------------------------------------------------------------
def adjudicate(
    *, actor: User, example_id: int, status: str, reason: str, label: object | None = None
) -> Example:
    """Settle an example by an owner's word, whatever its votes say; `open` returns it to them."""
    if not reason.strip():
        raise Refused("reason_missing", "Say why: a decision by an owner needs a reason.")
    with durable():
        example = lock_example(example_id)
        adjudicate_locked(example, actor=actor, status=status, reason=reason, label=label)
    return example


def adjudicate_locked(
    example: Example, *, actor: User, status: str, reason: str, label: object | None = None
) -> None:
    """The same, with its reason, for an example that the caller has locked."""
    require_owner(example, actor)
    QueueItem.objects.filter(pk=example.pk).delete()
    if status == Example.Status.VERIFIED:
        label = example.label
    settle(example, status=status, label=label, actor=actor, reason=reason)
    if status == Example.Status.OPEN and example.queued:
        withdraw_gold(example, actor=actor, reason=reason)
        reopen(example)


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
        waiting = QueueItem.objects.filter(author=user).values_list("pk", flat=True)
        leases = {
            lease.example_id: lease for lease in Lease.objects.filter(validator=user, ended_at=None)
        }
        for example_id in sorted({*waiting, *leases}):
            example = lock_example(example_id)
            sync_withdrawn(example)
            if example_id in leases:
                end_lease(leases[example_id], Lease.End.SUPERSEDED)
        record_event(
            actor=actor,
            verb="banned" if banned else "unbanned",
            subject=user,
            data={"reason": reason},
        )
    votes = Vote.objects.filter(validator=user)
    if banned:
        drop_votes(votes)
    else:
        restore_votes(votes.exclude(example__task__in=_quarantined_in(user)))


def _quarantined_in(user: User) -> list[int]:
    rows = Reliability.objects.filter(validator=user, quarantined_at__isnull=False)
    return list(rows.values_list("task", flat=True))
