"""Whether what is stored about validators is what the votes say, and making it so.

Credits follow from verdicts and votes, reliabilities from credits, shares from votes, and whether a
vote weighs anything from what is known about its voter. An owner is asked about each verdict that
rests on votes which lost their weight. What somebody owes for items that they left
(`passes`) is a bucket that time empties, and newest times (`recent_seconds`) may be of answers
that they took back: neither is recounted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose

from django.db.models import Count, Exists, OuterRef, Q

from annotate.models import Example, Task
from annotate.queries import kept_config
from core.transactions import durable, one_view
from validate import statements
from validate.hearing import hear, lock_rows
from validate.models import AuthorShare, Lease, Reliability, Review, Vote
from validate.people.reliability import (
    Credit,
    credits_of,
    is_scored,
    move,
    recount_today,
    score,
    stored_credit,
)
from validate.verdicts import (
    QUARANTINE_TO_FOLLOW,
    follow_later,
    review_if_it_would_differ,
    reweigh,
    weightless_votes,
    would_differ,
)

CHUNK = 500
_STANDING = ("alpha", "beta", "agreement", "scored", "gold_seen", "gold_right")
_RECOUNTED = [*_STANDING, "answered", "answered_today", "skipped"]
Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StandingRecount:
    """How many people were looked at, and how many stored numbers of each kind were wrong."""

    validators: int
    credits: int
    reliabilities: int
    shares: int
    weights: int
    doubts: int
    """Verdicts that rest on votes which lost their weight, and no owner is asked."""

    @property
    def wrong(self) -> int:
        return self.credits + self.reliabilities + self.shares + self.weights + self.doubts

    @property
    def agrees(self) -> bool:
        return not self.wrong


def recount(task: Task) -> dict[int, Numbers]:
    """What is known of everybody with a row (`_STANDING`), by what votes hold."""
    rows = list(Reliability.objects.filter(task=task))
    restarted = {row.validator_id: row.restarted_at for row in rows}
    counted = {
        row.validator_id: Reliability(task_id=task.pk, validator_id=row.validator_id)
        for row in rows
    }
    votes = Vote.objects.filter(
        example__task=task, credit__isnull=False, surplus=False, validator__in=list(counted)
    ).only("validator_id", "credit", "agreement", "created_at", "purpose")
    for vote in votes.order_by("id").iterator(chunk_size=2_000):
        if is_scored(vote, restarted[vote.validator_id]):
            row = counted[vote.validator_id]
            move(row, None, stored_credit(vote))
            if vote.purpose != Vote.Purpose.VERDICT:
                row.gold_seen += 1
                row.gold_right += vote.credit == 1
    return {person: _numbers(row) for person, row in counted.items()}


def _numbers(row: Reliability) -> Numbers:
    return tuple(getattr(row, name) for name in _STANDING)


def check(task: Task) -> StandingRecount:
    """Recount a task's credits, reliabilities and shares, and write nothing."""
    rows = {row.validator_id: row for row in Reliability.objects.filter(task=task)}
    wrong, shares = _put_right(task, rows), _share_differences(task)
    weights, doubts = len(_misweighed(task)), len(_doubts_unasked(task))
    return StandingRecount(len(rows), len(_stale(task)), len(wrong), len(shares), weights, doubts)


def repair(task: Task) -> StandingRecount:
    """The same, and correct what differs."""
    misweighed = _misweighed(task)
    for person in misweighed:
        reweigh(task.pk, person)
    stale = _stale(task)
    for example_id in stale:
        with durable():
            follow_later(score(hear(example_id)))
    with durable():
        people = list(Reliability.objects.filter(task=task).values_list("validator", flat=True))
        rows = lock_rows(task.pk, people)
        wrong = _put_right(task, rows)
        Reliability.objects.bulk_update(wrong, _RECOUNTED)
    shares = _repair_shares(task)
    doubts = _doubts_unasked(task)
    for example_id in doubts:
        with durable():
            review_if_it_would_differ(hear(example_id))
    weights = len(misweighed)
    return StandingRecount(len(people), len(stale), len(wrong), shares, weights, len(doubts))


def _misweighed(task: Task) -> list[int]:
    """The people with votes that weigh something and should not, or the other way round.

    Those whose quarantine is still to be followed are left to that.
    """
    to_follow = Reliability.objects.filter(QUARANTINE_TO_FOLLOW, task=task).values("validator")
    votes = Vote.objects.to_decide().filter(example__task=task).exclude(validator__in=to_follow)
    people = votes.order_by("validator").values_list("validator", flat=True).distinct()
    wrong = []
    for person in list(people):
        weightless = weightless_votes(task.pk, person)
        theirs = votes.filter(validator=person)
        kept = theirs.filter(weightless, dropped=False)
        lost = theirs.exclude(weightless).filter(dropped=True)
        if kept.exists() or lost.exists():
            wrong.append(person)
    return wrong


def _doubts_unasked(task: Task) -> list[int]:
    """The examples whose verdict is doubtful, and whose owner nobody asks; what is hidden waits.

    Versions before closed the question when any of the votes had its weight again.
    """
    votes = Vote.objects.to_decide().filter(example=OuterRef("pk"))
    asked = Review.objects.filter(
        example=OuterRef("pk"), kind=Review.Kind.QUARANTINE, closed_at=None
    )
    settled = Example.objects.filter(
        Exists(votes.filter(dropped=True)), ~Exists(asked), task=task, adjudicated=False
    ).exclude(status=Example.Status.OPEN)
    found = settled.filter(hidden_at=None).select_related("config").order_by("pk")
    return [
        example.pk
        for example in found.iterator(chunk_size=CHUNK)
        if would_differ(example, statements.votes_on(example.pk))
    ]


def _put_right(task: Task, rows: Mapping[int, Reliability]) -> list[Reliability]:
    """Bring these rows to what was counted, unsaved; returns those that this changed."""
    wrong = []
    facts = {"answered": _answered(task), "skipped": _skipped(task)}
    for person, numbers in recount(task).items():
        if person not in rows:
            continue  # they came after the rows were locked
        row = rows[person]
        is_wrong = recount_today(row)
        for name, counts in facts.items():
            if getattr(row, name) != (count := counts.get(person, 0)):
                setattr(row, name, count)
                is_wrong = True
        if not _same(_numbers(row), numbers):
            for name, number in zip(_STANDING, numbers, strict=True):
                setattr(row, name, number)
            is_wrong = True
        if is_wrong:
            wrong.append(row)
    return wrong


def _answered(task: Task) -> dict[int, int]:
    """How many of the queue's questions each person answered, known answers included."""
    votes = Vote.objects.filter(example__task=task, lease__isnull=False).order_by()
    return dict(votes.values_list("validator").annotate(Count("id")))


def _skipped(task: Task) -> dict[int, int]:
    """How many items each person skipped, asked for again or not."""
    ends = [Lease.End.SKIPPED, Lease.End.UNSKIPPED]
    skips = Lease.objects.filter(example__task=task, end__in=ends).order_by()
    return dict(skips.values_list("validator").annotate(Count("id")))


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


Whose = tuple[int, int]  # author and validator


def _share_differences(task: Task) -> dict[Whose, tuple[int, int]]:
    """The shares that are not what the votes say, with what these say; reads every vote."""
    counted: defaultdict[Whose, tuple[int, int]] = defaultdict(lambda: (0, 0))
    votes = Vote.objects.filter(example__task=task, purpose=Vote.Purpose.VERDICT, surplus=False)
    rows = votes.order_by().values_list(
        *("author", "validator", "label", "example__label", "example__config"),
        *("example__fooled", "example__prediction"),
    )
    for author, validator, said, label, config, *model in rows.iterator(chunk_size=2_000):
        fooled, predicted = model
        same = kept_config(config).file.same(said, label, predicted if fooled else None)
        cast, agreed = counted[author, validator]
        counted[author, validator] = cast + 1, agreed + same
    stored = {
        (author, validator): (cast, agreed)
        for author, validator, cast, agreed in AuthorShare.objects.filter(task=task).values_list(
            "author", "validator", "votes", "agreed"
        )
    }
    nothing = (0, 0)
    return {
        whose: counted.get(whose, nothing)
        for whose in sorted(stored.keys() | counted.keys())
        if stored.get(whose, nothing) != counted.get(whose, nothing)
    }


def _repair_shares(task: Task) -> int:
    """Bring the shares to what the votes say; returns how many were wrong.

    Mostly none is, and nobody waits. Else no vote may come between the counting and the writing:
    its voter may have had no share yet that could be locked.
    """
    with one_view():
        if not _share_differences(task):
            return 0
    with durable():
        statements.keep_votes_out()
        wrong = _share_differences(task)
        for (author, validator), (cast, agreed) in wrong.items():
            AuthorShare.objects.update_or_create(
                task=task,
                author_id=author,
                validator_id=validator,
                defaults={"votes": cast, "agreed": agreed},
            )
    return len(wrong)
