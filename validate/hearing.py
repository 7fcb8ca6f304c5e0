"""What a transaction holds of an example, and the one order in which everybody takes locks.

    1. examples, by their keys
    2. their queue entries, by the same keys
    3. leases, and the task's judge
    4. the rows of those who voted (reliabilities), by people's ids
    5. tallies and training runs, as facts are told (dadc_server/facts.py)

An act begins with one of the functions here, which take the first two. Whoever comes second waits,
and then sees what the first did. Whoever has to wait for a queue entry alone, because everything
free is locked, waits with empty hands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from accounts.models import User
from annotate.models import Example
from annotate.queries import lockable, with_configs
from validate import statements
from validate.decisions import decision_on
from validate.models import QueueItem, Reliability, Vote
from validate.policies import Decision


@dataclass(slots=True)
class Hearing:
    """A locked example, its queue entry, locked too, and what was read of it so far.

    `standings` are the rows of people, by their id, that this transaction has locked: they may be
    shared between examples.
    """

    example: Example
    item: QueueItem | None
    standings: dict[int, Reliability] = field(default_factory=dict)
    read: list[Vote] | None = None

    @property
    def votes(self) -> list[Vote]:
        """Those that decide it, or did before they lost their weight, oldest first; read once."""
        if self.read is None:
            self.read = statements.votes_on(self.example.pk)
        return self.read

    def decision(self) -> Decision:
        """What its votes say at this moment."""
        return decision_on(self.example, self.votes)

    def lock_rows(self, people: Iterable[int]) -> dict[int, Reliability]:
        """The rows of these people, of which the transaction may hold some already."""
        people = set(people)
        if missing := people - self.standings.keys():
            self.standings |= lock_rows(self.example.task_id, missing)
        return {person: self.standings[person] for person in sorted(people)}


def hear(example_id: int) -> Hearing:
    """Lock an example and its queue entry; Example.DoesNotExist."""
    return hear_all([example_id])[example_id]


def hear_all(example_ids: Collection[int]) -> dict[int, Hearing]:
    """The same of several, in the order of their keys; Example.DoesNotExist."""
    examples = {example.pk: with_configs(example) for example in _locked(example_ids)}
    if len(examples) < len(set(example_ids)):
        raise Example.DoesNotExist
    items = lock_items(examples)
    return {pk: Hearing(example, items.get(pk)) for pk, example in examples.items()}


def _locked(example_ids: Collection[int]) -> list[Example]:
    return list(lockable().filter(pk__in=example_ids).order_by("pk"))


def lock_items(example_ids: Iterable[int]) -> dict[int, QueueItem]:
    """Lock the queue entries of examples that are locked, by their keys."""
    items = QueueItem.objects.select_for_update(no_key=True).filter(pk__in=list(example_ids))
    return {item.pk: item for item in items.order_by("pk")}


def hear_leased(validator: User, lease: UUID) -> Hearing | None:
    """Lock the example that this person has, or had, a lease on, and its queue entry."""
    found = statements.lock_leased(lease, validator.pk)
    if found is None:
        return None
    example, item = found
    return Hearing(with_configs(example), item)


def lock_rows(task_id: int, people: Iterable[int]) -> dict[int, Reliability]:
    """Lock these people's rows in the order of their ids, making those that are missing."""
    wanted = sorted(set(people))
    found = statements.lock_rows(task_id, wanted)
    if len(found) < len(wanted):
        Reliability.objects.bulk_create(
            [Reliability(task_id=task_id, validator_id=person) for person in wanted],
            ignore_conflicts=True,
        )
        found = statements.lock_rows(task_id, wanted)
    return {row.validator_id: row for row in found}
