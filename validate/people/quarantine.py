"""Who is asked no more because they guess: followed up each night, let back in by an owner."""

from __future__ import annotations

from django.utils import timezone

from accounts.models import User
from accounts.services import record_event
from annotate.models import Task
from core.errors import Refused
from core.transactions import durable
from validate.hearing import lock_rows
from validate.models import Reliability
from validate.policies.trust import PRIOR_RIGHT, PRIOR_WRONG
from validate.verdicts import QUARANTINE_TO_FOLLOW, follow_quarantine, reweigh


def follow_quarantines(task: Task) -> int:
    """Do what the quarantines of a task still call for; returns how many."""
    due = Reliability.objects.filter(QUARANTINE_TO_FOLLOW, task=task)
    people = list(due.values_list("validator", flat=True))
    for person in people:
        follow_quarantine(task.pk, person)
    return len(people)


def lift_quarantine(*, actor: User, task: Task, validator: User, reason: str) -> None:
    """Let somebody back in: their votes weigh again, and their counts start afresh.

    So does their qualification, where the task asks for one. The votes of somebody who is banned
    get their weight back when the ban is lifted too.
    """
    if not reason.strip():
        raise Refused("reason_missing", "Say why: it is kept in the history.")
    if not task.is_owned_by(actor):
        raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
    with durable():
        row = lock_rows(task.pk, [validator.pk])[validator.pk]
        row.alpha, row.beta, row.scored = PRIOR_RIGHT, PRIOR_WRONG, 0
        row.agreement = 0
        row.gold_seen = row.gold_right = 0
        row.quarantined_at = row.looked_again_at = row.qualified_at = None
        row.restarted_at = timezone.now()
        row.save()
        record_event(
            actor=actor,
            verb="lifted_quarantine",
            subject=validator,
            scope=task.slug,
            data={"reason": reason},
        )
    reweigh(task.pk, validator.pk)
