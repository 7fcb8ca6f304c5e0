"""What is done once a night for each task in which people vote: prove, follow up, audit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from accounts.models import Event, User
from accounts.services import record_event
from annotate.models import Task
from core.transactions import durable
from validate.models import Vote
from validate.people.audit import Audit, audit_votes
from validate.people.quarantine import follow_quarantines
from validate.people.recount import StandingRecount, repair
from validate.people.ties import name_all_ties

NIGHT_HOUR: Final = 3  # UTC
_CLAIMED: Final = "began_nightly_audit"


@dataclass(frozen=True, slots=True)
class Night:
    """What was done for a task; no audit where answers are not one of a few labels."""

    standings: StandingRecount
    quarantines: int
    ties: int
    audit: Audit | None

    @property
    def corrected(self) -> int:
        """How many stored numbers about validators were not what the votes say."""
        return self.standings.wrong


def look_over(task: Task, *, actor: User | None = None) -> Night:
    """Correct what is stored about validators, follow up quarantines, look for ties, audit; no
    verdict changes."""
    standings = repair(task)
    quarantines = follow_quarantines(task)
    ties = name_all_ties(task)
    return Night(standings, quarantines, ties, audit_votes(task, actor=actor))


def claim_due(now: datetime | None = None) -> list[Task]:
    """The tasks whose night has come; each is given to one caller only.

    Due is a task with votes since its last audit, from 3:00 UTC on. The claim is an Event, written
    under a lock on the task, so that several workers never audit the same night.
    """
    now = now or timezone.now()
    night = last_night(now)
    return [
        task
        for task in Task.objects.exclude(config=None).order_by("pk")
        if _is_due(task, night) and _claim(task, night)
    ]


def last_night(now: datetime) -> datetime:
    """The last 3:00 UTC."""
    hour = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    return hour if hour <= now else hour - timedelta(days=1)


def _is_due(task: Task, night: datetime) -> bool:
    last = (
        Event.objects.filter(object_type="task", object_id=str(task.pk), verb=_CLAIMED)
        .order_by("-id")
        .values_list("created_at", flat=True)
        .first()
    )
    if last is not None and last >= night:
        return False
    votes = Vote.objects.filter(example__task=task)
    return (votes.filter(created_at__gt=last) if last is not None else votes).exists()


def _claim(task: Task, night: datetime) -> bool:
    with durable():
        Task.objects.select_for_update(no_key=True).get(pk=task.pk)
        if not _is_due(task, night):  # another worker was first
            return False
        record_event(actor=None, verb=_CLAIMED, subject=task, scope=task.slug)
    return True
