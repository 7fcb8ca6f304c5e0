"""The entries of the queue: made for new examples, and kept to what may still be asked."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils import timezone

from annotate.models import Example
from validate import statements
from validate.decisions import decision_on, is_withdrawn, urgency
from validate.models import Lease, QueueItem
from validate.policies import Decision


def entry_of(
    example: Example, decision: Decision, *, leases: int = 0, withdrawn: bool = False
) -> QueueItem:
    """A queue entry, not saved, that wants the votes which the example's policy can use."""
    assert example.author_id is not None  # only guests' sandbox examples have none
    return QueueItem(
        example=example,
        task_id=example.task_id,
        author_id=example.author_id,
        priority=0 if example.fooled else 1,
        votes_wanted=decision.votes_wanted,
        leases_active=leases,
        urgency=urgency(example, decision),
        withdrawn=withdrawn,
    )


def enqueue_new(examples: Sequence[Example]) -> None:
    """Put examples that were just inserted into the queue: nobody can have seen them before.

    None is withdrawn: whether its author is kept out was asked under the lock of this insertion.
    """
    statements.insert_items([entry_of(example, decision_on(example, [])) for example in examples])


def leases_within(example: Example, wanted: int) -> int:
    """How many people may go on answering a locked example; leases beyond `wanted` are ended.

    An example that returns to the queue may still be on somebody's screen, and a vote without a
    lease, from a log, or votes that lost their weight can make fewer votes useful than are out.
    """
    active = list(
        Lease.objects.filter(example=example, ended_at=None, gold=False)
        .order_by("created_at", "id")
        .values_list("id", flat=True)
    )
    Lease.objects.filter(id__in=active[wanted:]).update(
        ended_at=timezone.now(), end=Lease.End.SUPERSEDED
    )
    return min(len(active), wanted)


def sync_withdrawn(example: Example) -> None:
    """Let the queue entry of a locked example follow whether anybody should be asked about it."""
    QueueItem.objects.filter(pk=example.pk).update(withdrawn=is_withdrawn(example))
