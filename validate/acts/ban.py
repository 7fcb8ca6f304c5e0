"""Keeping a person out, with all that waits of theirs, and letting them back in."""

from __future__ import annotations

from itertools import islice

from django.utils import timezone

from accounts.models import Role, User
from accounts.services import record_event
from core.errors import Refused
from core.transactions import durable
from validate.acts.lease import end_lease
from validate.hearing import hear_all
from validate.models import Lease, QueueItem, Reliability, Vote
from validate.queue import sync_withdrawn
from validate.verdicts import drop_votes, restore_votes

AT_A_TIME = 500  # examples that are locked with one statement


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
        touched = iter(sorted({*waiting, *leases}))
        while some := list(islice(touched, AT_A_TIME)):
            for example_id, hearing in hear_all(some).items():
                sync_withdrawn(hearing.example)
                if example_id in leases:
                    end_lease(leases[example_id], hearing.item, Lease.End.SUPERSEDED)
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
