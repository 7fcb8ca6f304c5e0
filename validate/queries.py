"""Reads of the queue: who may validate, what waits for whom, how far a person is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.models import Role, User
from annotate.models import Example, Task, Viewer
from validate.models import Lease, QueueItem, Vote
from validate.policies import Ballot


def may_validate(user: Viewer, task: Task) -> bool:
    """Whether this person's role is the one that the task opens its queue to."""
    if not isinstance(user, User) or task.config is None:
        return False
    settings = task.config.file.section("validation")
    return user.has_role(Role.ANNOTATOR if settings.open_to == "annotator" else Role.VALIDATOR)


def waiting_for(validator: User, task_id: int) -> QuerySet[QueueItem]:
    """What this person could be asked about: not their own, not answered or skipped by them."""
    return _waiting_anywhere(validator).filter(task_id=task_id)


def waiting_by_task(validator: User) -> dict[int, int]:
    """How many items this person could be asked about, by task id; tasks without any are absent."""
    by_task = _waiting_anywhere(validator).values_list("task_id").annotate(items=Count("pk"))
    return dict(by_task.order_by())


def _waiting_anywhere(validator: User) -> QuerySet[QueueItem]:
    theirs = Q(validator=validator)
    answered = Vote.objects.filter(theirs, example=OuterRef("example"))
    claimed = Lease.objects.filter(theirs, example=OuterRef("example")).filter(
        Q(ended_at=None) | Q(end=Lease.End.SKIPPED)
    )
    return (
        QueueItem.objects.filter(withdrawn=False)
        .exclude(author=validator)
        .filter(~Exists(answered), ~Exists(claimed))
    )


def free_for(validator: User, task_id: int) -> QuerySet[QueueItem]:
    """The same, with a vote still to give away; claimed foolings first, then the oldest."""
    return (
        waiting_for(validator, task_id)
        .filter(votes_wanted__gt=F("leases_active"))
        .order_by("priority", "example")
    )


def held_lease(validator: User, task_id: int) -> Lease | None:
    """The lease this person holds in the task, if it has not run out and a vote is still wanted."""
    return (
        Lease.objects.filter(
            validator=validator,
            example__task_id=task_id,
            example__queue_item__withdrawn=False,
            ended_at=None,
            expires_at__gt=timezone.now(),
        )
        .select_related("example")
        .order_by("created_at")
        .first()
    )


def ballots_of(example: Example) -> list[Ballot]:
    """The votes that count, in the order in which they came."""
    return [
        Ballot(validator=vote.validator_id, label=vote.label, flag=vote.flag or None)
        for vote in Vote.objects.filter(example=example, surplus=False).order_by("id")
    ]


def progress_of(validator: User, task_id: int) -> dict[str, Any]:
    """This person's own progress in a task, and how many items they could be asked about now."""
    votes = Vote.objects.filter(validator=validator, example__task_id=task_id)
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    totals = votes.aggregate(votes=Count("id"), today=Count("id", filter=Q(created_at__gte=today)))
    skipped = Lease.objects.filter(
        validator=validator,
        end=Lease.End.SKIPPED,
        example__queue_item__withdrawn=False,
        example__task_id=task_id,
    )
    return {
        **totals,
        "waiting": waiting_for(validator, task_id).count(),
        "skipped": skipped.values("example").distinct().count(),
    }


async def own_votes(validator: User) -> AsyncIterator[dict[str, Any]]:
    """Every vote of a person, oldest first, for the download of their own data."""
    votes = Vote.objects.filter(validator=validator).select_related("example__task").order_by("id")
    async for vote in votes.aiterator(chunk_size=500):
        yield {
            "kind": "vote",
            "task": vote.example.task.slug,
            "example": vote.example.public_id,
            "label": vote.label,
            "flag": vote.flag or None,
            "reason": vote.reason,
            "seconds": vote.seconds,
            "created_at": vote.created_at.isoformat(),
        }
