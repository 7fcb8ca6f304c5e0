"""Which round and model a task's submissions meet, known to this process without a query each time.

Open pages learn of a new round in two ways: by a hint over the channel layer, at once, and by a
look at the database every two seconds, which also works when the hint is lost or when the worker
that opened the round cannot reach this process's memory (the embedded default).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import DatabaseError
from django.dispatch import receiver

from accounts.bridge import in_database_thread
from annotate.models import Task
from annotate.queries import Target, open_target
from annotate.signals import round_opened

log = structlog.get_logger(__name__)

MAX_AGE = 2.0


@dataclass(frozen=True)
class _Known:
    target: Target | None
    read_at: float


_known: dict[int, _Known] = {}
_open_pages: Counter[tuple[int, str]] = Counter()
_watcher: asyncio.Task[None] | None = None


async def target_of(task_id: int) -> Target | None:
    """The open target of a task, at most two seconds old; None when no round is open."""
    known = _known.get(task_id)
    if known is None or time.monotonic() - known.read_at > MAX_AGE:
        known = await _read(task_id)
    return known.target


async def _read(task_id: int) -> _Known:
    known = _Known(await in_database_thread(open_target, task_id), time.monotonic())
    _known[task_id] = known
    return known


def forget_target(task_id: int) -> None:
    """Read the target anew at the next prediction."""
    _known.pop(task_id, None)


def forget_targets() -> None:
    """Read every target anew (tests that begin with another database)."""
    _known.clear()


def group_of(slug: str) -> str:
    """The channel group of everybody who has a task's page open."""
    return f"task-{slug}"


# --- news for open pages --------------------------------------------------------------------------
@receiver(round_opened)
def tell_open_pages(task: str, round: int, model: str, **_: object) -> None:
    """Send the hint; called after the commit from a thread without an event loop."""
    layer = get_channel_layer()
    if layer is not None:
        async_to_sync(layer.group_send)(group_of(task), _news(round, model))


def _news(round: int, model: str) -> dict[str, object]:
    return {"type": "round.changed", "round": round, "model": model}


def page_opened(task: Task) -> None:
    """Watch a task's round while somebody of this process has its page open."""
    global _watcher
    _open_pages[task.pk, task.slug] += 1
    loop = asyncio.get_running_loop()
    if _watcher is None or _watcher.done() or _watcher.get_loop() is not loop:
        _watcher = loop.create_task(_watch())


def page_closed(task: Task) -> None:
    """The reverse of `page_opened`."""
    _open_pages[task.pk, task.slug] -= 1
    if not _open_pages[task.pk, task.slug]:
        del _open_pages[task.pk, task.slug]


async def _watch() -> None:
    layer = get_channel_layer()
    while _open_pages:
        for task_id, slug in list(_open_pages):
            before = _known.get(task_id)
            try:
                now = (await _read(task_id)).target
            except DatabaseError:
                log.warning("round_not_read", task=slug, exc_info=True)
                continue
            was = before.target if before else None
            if now is not None and (was is None or now.round.pk != was.round.pk):
                # A page that has been told already keeps quiet about the same round.
                await layer.group_send(group_of(slug), _news(now.round.number, now.models[0].name))
        await asyncio.sleep(MAX_AGE)
