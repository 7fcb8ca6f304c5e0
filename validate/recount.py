"""Whether the queue is what the facts say: one entry for each example that still wants votes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Count, Q

from annotate.models import Barred, Example
from validate.decisions import decision_on, is_withdrawn
from validate.hearing import hear
from validate.models import Lease, QueueItem, Vote
from validate.verdicts import reopen, take_out

CHUNK = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """What a queue entry holds; `votes_wanted` 0 stands for no entry.

    `decided`: there should be none, because the votes have decided it and only the verdict lacks.
    """

    votes_wanted: int = 0
    leases_active: int = 0
    withdrawn: bool = False
    decided: bool = False


@dataclass(frozen=True, slots=True)
class QueueDifference:
    """An example whose entry is not as it should be."""

    example: int
    stored: Entry
    counted: Entry


def queue_differences() -> Iterator[QueueDifference]:
    """Recount the queue from examples, votes and leases; inside one transaction.

    Examples that are settled must have no entry; those that are queued and open must have theirs.
    A few queries for each five hundred of them.
    """
    due = Q(queued=True, status=Example.Status.OPEN) | Q(queue_item__isnull=False)
    examples = (
        Example.objects.filter(due).select_related("config", "author", "queue_item").order_by("id")
    )
    after = 0
    while found := list(examples.filter(id__gt=after)[:CHUNK]):
        votes, leases = _votes(found), _active_leases(found)
        barred = set(Barred.objects.values_list("task", "person"))
        for example in found:
            stored = _stored(example)
            kept_out = (example.task_id, example.author_id) in barred
            withdrawn = is_withdrawn(example, kept_out=kept_out)
            counted = _counted(
                example, votes.get(example.pk, []), leases.get(example.pk, 0), withdrawn
            )
            if stored != counted:
                yield QueueDifference(example.pk, stored, counted)
        after = found[-1].pk


def _stored(example: Example) -> Entry:
    item: QueueItem | None = getattr(example, "queue_item", None)
    return Entry(item.votes_wanted, item.leases_active, item.withdrawn) if item else Entry()


def _counted(example: Example, votes: list[Vote], leases: int, withdrawn: bool) -> Entry:
    if not example.queued or example.status != Example.Status.OPEN:
        return Entry()
    decision = decision_on(example, votes)
    if not decision.votes_wanted:
        return Entry(decided=True)
    # Votes that lost their weight may leave more leases out than votes are useful.
    return Entry(max(decision.votes_wanted, leases), leases, withdrawn)


def _votes(examples: list[Example]) -> dict[int, list[Vote]]:
    """The votes to decide, by example, in the order in which they came."""
    by_example: dict[int, list[Vote]] = {}
    for vote in Vote.objects.to_decide().filter(example__in=examples).order_by("id"):
        by_example.setdefault(vote.example_id, []).append(vote)
    return by_example


def _active_leases(examples: list[Example]) -> dict[int, int]:
    leases = Lease.objects.filter(example__in=examples, ended_at=None, gold=False).order_by()
    return dict(leases.values_list("example").annotate(Count("id")))


def repair_queue(difference: QueueDifference) -> None:
    """Bring one entry to what was counted, in the transaction of the count."""
    hearing = hear(difference.example)
    take_out(hearing)
    if difference.counted != Entry():
        reopen(hearing)
