"""Whether what is stored about validators is what the votes say, and making it so.

Credits follow from verdicts and votes, reliabilities from credits, shares from votes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose

from django.db.models import Count, F, Q

from annotate.models import Example, Task
from annotate.services import lock_example
from core.transactions import durable
from validate.models import AuthorShare, Reliability, Vote
from validate.quarantine import follow_later
from validate.reliability import (
    Credit,
    credits_of,
    is_scored,
    lock_reliabilities,
    move,
    recount_latest,
    score,
    stored_credit,
)

CHUNK = 500
_RECOUNTED = ["alpha", "beta", "agreement", "scored", "answered_today", "recent_gold"]
Numbers = tuple[float, float, float, int]


@dataclass(frozen=True, slots=True)
class StandingRecount:
    """What was looked at, and how many of each had to be corrected."""

    validators: int
    credits: int
    reliabilities: int
    shares: int

    @property
    def agrees(self) -> bool:
        return not (self.credits or self.reliabilities or self.shares)


def recount(task: Task) -> dict[int, Numbers]:
    """Alpha, beta, agreement and scored votes of everybody with a row, by what votes hold."""
    rows = list(Reliability.objects.filter(task=task))
    restarted = {row.validator_id: row.restarted_at for row in rows}
    counted = {
        row.validator_id: Reliability(task_id=task.pk, validator_id=row.validator_id)
        for row in rows
    }
    votes = Vote.objects.filter(
        example__task=task, credit__isnull=False, surplus=False, validator__in=list(counted)
    ).only("validator_id", "credit", "agreement", "created_at")
    for vote in votes.order_by("id").iterator(chunk_size=2_000):
        if is_scored(vote, restarted[vote.validator_id]):
            move(counted[vote.validator_id], None, stored_credit(vote))
    return {person: _numbers(row) for person, row in counted.items()}


def _numbers(row: Reliability) -> Numbers:
    return row.alpha, row.beta, row.agreement, row.scored


def repair(task: Task) -> StandingRecount:
    """Recount a task's credits, reliabilities and shares, and correct what differs."""
    stale = _stale(task)
    for example_id in stale:
        with durable():
            follow_later(score(lock_example(example_id)))
    with durable():
        people = list(Reliability.objects.filter(task=task).values_list("validator", flat=True))
        rows = lock_reliabilities(task.pk, people)
        wrong = []
        for person, numbers in recount(task).items():
            row = rows[person]
            is_wrong = recount_latest(row)
            if not _same(_numbers(row), numbers):
                row.alpha, row.beta, row.agreement, row.scored = numbers
                is_wrong = True
            if is_wrong:
                wrong.append(row)
        Reliability.objects.bulk_update(wrong, _RECOUNTED)
    return StandingRecount(len(people), len(stale), len(wrong), _repair_shares(task))


def _same(stored: Numbers, counted: Numbers) -> bool:
    return all(
        isclose(one, other, abs_tol=1e-6) for one, other in zip(stored, counted, strict=True)
    )


def _stale(task: Task) -> list[int]:
    """The examples whose votes do not have the credits that their verdict stands for."""
    stale: list[int] = []
    examples = (
        Example.objects.filter(Q(votes__label__isnull=False), task=task)
        .select_related("config")
        .distinct()
        .order_by("id")
    )
    after = 0
    while found := list(examples.filter(id__gt=after)[:CHUNK]):
        votes: dict[int, list[Vote]] = {example.pk: [] for example in found}
        for vote in Vote.objects.filter(
            example__in=found, purpose=Vote.Purpose.VERDICT, surplus=False, label__isnull=False
        ).order_by("id"):
            votes[vote.example_id].append(vote)
        for example in found:
            credits = credits_of(example, votes[example.pk])
            if any(
                not _same_credit(stored_credit(vote), credits[vote.pk])
                for vote in votes[example.pk]
            ):
                stale.append(example.pk)
        after = found[-1].pk
    return stale


def _same_credit(stored: Credit | None, counted: Credit | None) -> bool:
    if stored is None or counted is None:
        return stored is counted
    pairs = zip(stored, counted, strict=True)
    return all(isclose(one, other, abs_tol=1e-9) for one, other in pairs)


def _repair_shares(task: Task) -> int:
    """Bring the shares to what the votes say; returns how many were wrong."""
    with durable():
        agreed = Count("id", filter=Q(label=F("example__label")))
        counted = {
            (author, validator): (votes, right)
            for author, validator, votes, right in Vote.objects.filter(
                example__task=task, purpose=Vote.Purpose.VERDICT, surplus=False
            )
            .order_by()
            .values_list("author", "validator")
            .annotate(votes=Count("id"), agreed=agreed)
        }
        shares = AuthorShare.objects.select_for_update(no_key=True).filter(task=task)
        stored = {(share.author_id, share.validator_id): share for share in shares.order_by("pk")}
        wrong = 0
        for (author, validator), (votes, right) in counted.items():
            share = stored.pop((author, validator), None)
            if share is None or (share.votes, share.agreed) != (votes, right):
                wrong += 1
                AuthorShare.objects.update_or_create(
                    task=task,
                    author_id=author,
                    validator_id=validator,
                    defaults={"votes": votes, "agreed": right},
                )
        for share in stored.values():
            if share.votes:
                wrong += 1
                AuthorShare.objects.filter(pk=share.pk).delete()
    return wrong
