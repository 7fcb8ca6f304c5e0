"""What waits for an owner: examples that votes left unclear, and whatever else asks for a look.

What is in it are open reviews (validate.models.Review). An owner's verdict closes them in its own
transaction; taking it back restores the verdict that stood before, and opens them again
(validate.acts.adjudicate).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db.models import Count, Min, QuerySet
from django.utils import timezone

from annotate.models import Example, Task
from validate.models import Review, Vote

PAGE_SIZE: Final = 12


def open_review(example: Example, kind: str, reason: str) -> None:
    """Ask the owner to look at an example; one open review of a kind is enough."""
    Review.objects.bulk_create(
        [Review(example=example, task_id=example.task_id, kind=kind, reason=reason)],
        ignore_conflicts=True,
    )


def close_reviews(example: Example, kinds: Iterable[str] = ()) -> None:
    """Close what an owner was asked to look at: all of it, or these kinds."""
    open_ones = Review.objects.filter(example=example, closed_at=None)
    if kinds:
        open_ones = open_ones.filter(kind__in=list(kinds))
    open_ones.update(closed_at=timezone.now())


@dataclass(frozen=True, slots=True)
class Case:
    """One example that an owner is asked about, with everything that was said of it."""

    example: Example
    reviews: tuple[Review, ...]
    votes: tuple[Vote, ...]


def open_reviews(
    task: Task, *, kind: str = "", round_number: int | None = None
) -> QuerySet[Review]:
    """What waits for an owner of the task: of one kind or all, of one round or all."""
    reviews = Review.objects.filter(task=task, closed_at=None)
    if kind:
        reviews = reviews.filter(kind=kind)
    if round_number is not None:
        reviews = reviews.filter(example__round__number=round_number)
    return reviews


def counts_by_kind(task: Task) -> dict[str, int]:
    """How many examples wait, by the kind of the review; one example may be there twice."""
    kinds = open_reviews(task).order_by().values_list("kind").annotate(n=Count("id"))
    return dict(kinds)


def cases(reviews: QuerySet[Review], after: int = 0) -> tuple[list[Case], int | None]:
    """The next examples in the order in which they were asked about, and where to go on.

    Four queries. A key instead of an offset: what is decided meanwhile makes nobody skip one.
    """
    found = list(
        reviews.order_by()
        .values_list("example")
        .annotate(first=Min("id"))
        .filter(first__gt=after)
        .order_by("first")[: PAGE_SIZE + 1]
    )
    shown = found[:PAGE_SIZE]
    ids = [example for example, _ in shown]
    more = shown[-1][1] if len(found) > PAGE_SIZE else None
    return _cases(ids), more


def case_of(task: Task, uid: UUID) -> Case | None:
    """One example of the task by its id, whether it waits or not."""
    found = list(Example.objects.filter(task=task, uid=uid).values_list("pk", flat=True))
    return _cases(found)[0] if found else None


def _cases(ids: Sequence[int]) -> list[Case]:
    examples = (
        Example.objects.select_related("author", "round", "model", "context", "task", "config")
        .in_bulk(ids)
    )  # fmt: skip
    reviews: dict[int, list[Review]] = defaultdict(list)
    for review in Review.objects.filter(example__in=ids, closed_at=None).order_by("id"):
        reviews[review.example_id].append(review)
    votes: dict[int, list[Vote]] = defaultdict(list)
    cast = Vote.objects.filter(example__in=ids).select_related("validator").order_by("id")
    for vote in cast:
        votes[vote.example_id].append(vote)
    return [Case(examples[pk], tuple(reviews[pk]), tuple(votes[pk])) for pk in ids]
