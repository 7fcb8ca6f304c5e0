"""What a transaction holds of an example while votes on it are taken, so that it is read once.

It hangs on the locked example that it is about: whoever is handed that example, a receiver of its
change included, finds the votes and the voters there instead of asking the database again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from annotate.models import Example
from core.sql.compiled import Compiled, Given
from validate.models import QueueItem, Reliability, Vote

_HELD = "_hearing"


@dataclass(slots=True)
class Hearing:
    """A locked example's queue entry, locked too, and its votes, oldest first.

    `votes` are those that decide it or did before they lost their weight. `standings` are the rows
    of people, by their id, that this transaction has locked: they may be shared between examples.
    """

    item: QueueItem | None
    votes: list[Vote]
    standings: dict[int, Reliability] = field(default_factory=dict)


def hear(example: Example, hearing: Hearing) -> Hearing:
    """Let a locked example carry what was read of it, for as long as its lock is held."""
    example.__dict__[_HELD] = hearing
    return hearing


def hearing_of(example: Example) -> Hearing | None:
    """What this transaction has read of a locked example, None when nothing was."""
    found: Hearing | None = example.__dict__.get(_HELD)
    return found


_VOTES = Compiled(lambda: Vote.objects.to_decide().filter(example=Given("example")).order_by("id"))


def votes_on(example: Example) -> list[Vote]:
    """The votes meant to decide a locked example, oldest first; no query when they were read."""
    if hearing := hearing_of(example):
        return hearing.votes
    return _VOTES.all(example=example.pk)
