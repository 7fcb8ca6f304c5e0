"""Which round and model a task's submissions meet, known here without a query each time."""

from __future__ import annotations

import time
from dataclasses import dataclass

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.dispatch import receiver

from accounts.bridge import in_database_thread
from annotate.queries import Target, open_target
from annotate.signals import round_opened

# A hint that a round changed may be lost with a restarting Redis: this bounds for how long.
MAX_AGE = 2.0


@dataclass(frozen=True)
class _Known:
    target: Target | None
    read_at: float


_known: dict[int, _Known] = {}


async def target_of(task_id: int) -> Target | None:
    """The open target of a task, at most two seconds old; None when no round is open."""
    known = _known.get(task_id)
    if known is None or time.monotonic() - known.read_at > MAX_AGE:
        known = _Known(await in_database_thread(open_target, task_id), time.monotonic())
        _known[task_id] = known
    return known.target


def forget_target(task_id: int) -> None:
    """Read the target anew at the next prediction."""
    _known.pop(task_id, None)


def forget_targets() -> None:
    """Read every target anew (tests that begin with another database)."""
    _known.clear()


def group_of(slug: str) -> str:
    """The channel group of everybody who has a task's page open."""
    return f"task-{slug}"


@receiver(round_opened)
def tell_open_pages(task: str, round: int, model: str, **_: object) -> None:
    """Send the hint; called after the commit from a thread without an event loop."""
    layer = get_channel_layer()
    if layer is not None:
        async_to_sync(layer.group_send)(
            group_of(task), {"type": "round.changed", "round": round, "model": model}
        )
