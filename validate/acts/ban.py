"""Keeping a person out, with all that waits of theirs, and letting them back in."""

from __future__ import annotations

from itertools import islice

from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import Role, User
from accounts.services import record_event
from annotate.models import Barred, Task
from core.errors import Refused
from core.transactions import durable
from validate.acts.lease import end_lease
from validate.hearing import hear_all
from validate.models import Lease, QueueItem, Vote
from validate.queue import sync_withdrawn
from validate.verdicts import reweigh

AT_A_TIME = 500  # examples that are locked with one statement


def set_banned(*, actor: User, user: User, banned: bool, reason: str) -> None:
    """Keep a person out, with their waiting items, or let them and these back in."""
    if not reason.strip():
        raise Refused("reason_missing", "Say why: a ban needs a reason.")
    with durable():
        user = _locked(user)
        if banned and user.role == Role.ADMIN:
            raise Refused(
                "is_admin", "An admin cannot be banned: give them another role first.", status=409
            )
        user.banned_at = timezone.now() if banned else None
        user.ban_reason = reason if banned else ""
        user.save(update_fields=["banned_at", "ban_reason"])
        _follow(
            QueueItem.objects.filter(author=user),
            Lease.objects.filter(validator=user, ended_at=None),
        )
        record_event(
            actor=actor,
            verb="banned" if banned else "unbanned",
            subject=user,
            data={"reason": reason},
        )
    votes = Vote.objects.filter(validator=user).order_by("example__task")
    for task_id in votes.values_list("example__task", flat=True).distinct():
        reweigh(task_id, user.pk)


def set_barred(*, actor: User, task: Task, user: User, barred: bool, reason: str) -> None:
    """Keep a person out of one task, with what waits there of theirs, or let them back in."""
    if not reason.strip():
        raise Refused("reason_missing", "Say why: it is kept in the history.")
    if not task.is_owned_by(actor):
        raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
    if barred and (user.pk == actor.pk or task.owners.filter(pk=user.pk).exists()):
        raise Refused("is_owner", "An owner of the task is not kept out of it.", status=409)
    with durable():
        user = _locked(user)  # as a submission does: none comes in between
        known = Barred.objects.filter(task=task, person=user)
        if known.exists() == barred:
            return
        if barred:
            Barred.objects.create(task=task, person=user)
        else:
            known.delete()
        _follow(
            QueueItem.objects.filter(author=user, task=task),
            Lease.objects.filter(validator=user, ended_at=None, example__task=task),
        )
        record_event(
            actor=actor,
            verb="kept_out" if barred else "let_back_in",
            subject=user,
            scope=task.slug,
            data={"reason": reason},
        )
    reweigh(task.pk, user.pk)


def _locked(user: User) -> User:
    return User.objects.select_for_update(no_key=True).get(pk=user.pk)


def _follow(waiting: QuerySet[QueueItem], held: QuerySet[Lease]) -> None:
    """Let the queue follow what somebody may do now: their waiting examples and their leases."""
    leases = {lease.example_id: lease for lease in held}
    touched = iter(sorted({*waiting.values_list("pk", flat=True), *leases}))
    while some := list(islice(touched, AT_A_TIME)):
        for example_id, hearing in hear_all(some).items():
            sync_withdrawn(hearing.example)
            if example_id in leases:
                end_lease(leases[example_id], hearing.item, Lease.End.SUPERSEDED)
