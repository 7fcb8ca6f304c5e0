"""Reads of the queue: who may validate, what waits for whom, how far a person is."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from math import sqrt
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from accounts.models import User
from annotate.models import Task, Viewer
from annotate.queries import kept_config
from annotate.standing import is_asked
from validate import statements
from validate.config import ValidationSettings
from validate.models import Apart, AuthorShare, Lease, QueueItem, Reliability, Vote


def may_validate(user: Viewer, task: Task) -> bool:
    """Whether this person's role is the one that the task opens its queue to."""
    if not isinstance(user, User) or task.config is None:
        return False
    return is_asked(task.config.file, task.pk, user)


def are_apart(validator_id: int, author_id: int | None) -> bool:
    """Whether these two may be one person (one query)."""
    return Apart.objects.filter(validator=validator_id, author=author_id).exists()


def settings_of(task: Task) -> ValidationSettings:
    """The task's `validation` section as it is configured now."""
    assert task.config is not None
    settings: ValidationSettings = task.config.file.section("validation")
    return settings


def waiting_by_task(validator: User) -> dict[int, int]:
    """Items that this person holds or could be asked about, by task id, where there are any."""
    by_task = _waiting_anywhere(validator).values_list("task_id").annotate(items=Count("pk"))
    counted = Counter(dict(by_task.order_by()))
    held = Lease.objects.filter(
        validator=validator, ended_at=None, example__task__in=Task.objects.suiting(validator)
    )
    counted.update(held.values_list("example__task_id", flat=True))
    return dict(counted)


def amount(items: int) -> str:
    """How much waits, as far as a validator may know: an exact number would tell what was gold."""
    return "none" if items <= 0 else "few" if items < statements.MANY else "many"


def _waiting_anywhere(validator: User) -> QuerySet[QueueItem]:
    """Not their own, not answered or skipped by them, nothing that their preferences set aside."""
    theirs = Q(validator=validator)
    answered = Vote.objects.filter(theirs, example=OuterRef("example"))
    claimed = Lease.objects.filter(theirs, example=OuterRef("example")).filter(
        Q(ended_at=None) | Q(end=Lease.End.SKIPPED)
    )
    waiting = (
        QueueItem.objects.filter(withdrawn=False)
        .exclude(author=validator)
        .filter(~Exists(answered), ~Exists(claimed))
    )
    if validator.languages or not validator.takes_warned:
        waiting = waiting.filter(task__in=Task.objects.suiting(validator))
    return waiting


HAD_LATELY = timedelta(hours=1)


def judged_now(task_id: int, person: int | None) -> list[tuple[int, int]]:
    """The examples that are under a lease, gold or not, each with who has it before them.

    Of one person: the last hundred that they had within an hour, whatever they did with them, for
    a skip or a vote can be taken back.
    """
    leases = Lease.objects.filter(example__task=task_id)
    if person is None:
        leases = leases.filter(ended_at=None)
    else:
        since = timezone.now() - HAD_LATELY
        leases = leases.filter(validator=person, created_at__gt=since).order_by("-created_at")[:100]
    return list(leases.values_list("example_id", "validator_id"))


def judges_of(task_id: int) -> list[int]:
    """All who ever asked for an item of a task."""
    return list(Reliability.objects.filter(task=task_id).values_list("validator", flat=True))


def held_leases(validator: User, task_id: int) -> list[Lease]:
    """The leases this person holds in the task, oldest first.

    Only those that have not run out and whose vote is still wanted, or that are on gold.
    """
    held, _ = statements.held(task_id, validator.pk, now=timezone.now())
    return [shown_lease(lease.id) for lease in held]


def shown_lease(lease_id: UUID) -> Lease:
    """A lease with all that its holder is shown."""
    lease = statements.shown_lease(lease_id)
    if lease is None:
        raise Lease.DoesNotExist
    lease.example.config = kept_config(lease.example.config_id)
    return lease


def reciprocal_pairs(task_id: int, *, least: int = 10) -> list[dict[str, Any]]:
    """Two people who confirm each other's examples more than the rest of the task does.

    Each gave the other `least` votes or more; `expected` is how often votes in the task agree with
    the author, `agreement` how often theirs did. The most suspicious first; two queries.
    """
    shares = AuthorShare.objects.filter(task=task_id)
    all_votes = shares.aggregate(votes=Sum("votes"), agreed=Sum("agreed"))
    if not all_votes["votes"]:
        return []
    expected = all_votes["agreed"] / all_votes["votes"]
    rows = shares.filter(votes__gte=least).select_related("author", "validator")
    by_pair = {(row.validator_id, row.author_id): row for row in rows}
    pairs = []
    for (validator, author), one in by_pair.items():
        other = by_pair.get((author, validator))
        if other is None or validator > author:
            continue
        votes, agreed = one.votes + other.votes, one.agreed + other.agreed
        if agreed / votes > expected:
            pairs.append(
                {
                    "first": one.validator,
                    "second": one.author,
                    "votes": votes,
                    "agreed": agreed,
                    "agreement": agreed / votes,
                    "expected": expected,
                    "excess": (agreed - votes * expected)
                    / sqrt(max(votes * expected * (1 - expected), 1e-9)),
                }
            )
    return sorted(pairs, key=lambda pair: -pair["excess"])


def progress_of(validator: User, task: Task) -> dict[str, Any]:
    """This person's own progress in a task, and how much they could be asked about now."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    counts = statements.counts(task.pk, validator.pk, midnight=midnight)
    return {
        "votes": counts.votes,
        "today": counts.today,
        "waiting": amount(0 if task.set_aside_for(validator) else counts.waiting),
        "skipped": counts.skipped,
    }


async def own_votes(validator: User) -> AsyncIterator[dict[str, Any]]:
    """Every vote of a person, oldest first, for the download of their own data."""
    votes = Vote.objects.filter(validator=validator).select_related("example__task").order_by("id")
    async for vote in votes.aiterator(chunk_size=500):
        yield {
            "kind": "vote",
            "task": vote.example.task.slug,
            "example": str(vote.example.uid),  # gold from a file has no id in any log
            "label": vote.label,
            "flag": vote.flag or None,
            "reason": vote.reason,
            "seconds": vote.seconds,
            "created_at": vote.created_at.isoformat(),
        }
