"""Which round and model a task's submissions meet, known to this process without a query each time.

Open pages learn of a new round in two ways: by a hint over the channel layer, at once, and by a
look at the database every two seconds, which also works when the hint is lost, when Redis is away,
or when the worker that opened the round cannot reach this process's memory (the embedded default).
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import DatabaseError

from annotate.models import Task
from annotate.queries import Target, open_target
from core.bridge import in_database_thread
from core.request_ids import nobodys

log = structlog.get_logger(__name__)

MAX_AGE = 2.0


@dataclass(frozen=True)
class _Known:
    target: Target | None
    read_at: float


_known: dict[int, _Known] = {}


async def target_of(task_id: int) -> Target | None:
    """The open target of a task, about two seconds old at most; None when no round is open.

    While the database is away it is the last one known: the model can answer without it.
    """
    known = _known.get(task_id)
    if known is None:
        return (await _read(task_id)).target
    if (now := time.monotonic()) - known.read_at > MAX_AGE:
        # A hundred pages find it old at once: one looks, the others go on with what is known.
        _known[task_id] = replace(known, read_at=now)
        try:
            known = await _read(task_id)
        except DatabaseError as error:
            log.warning("round_not_read", error=type(error).__name__)
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


# --- news for open pages --------------------------------------------------------------------------
GROUP = "rounds"
LISTEN_AGAIN = 5.0


class Page(Protocol):
    """An open page of this process."""

    async def round_changed(self, round: int, model: str) -> None:
        """Tell the page, which may have been told already."""


_open_pages: dict[tuple[int, str], set[Page]] = {}
_watcher: asyncio.Task[None] | None = None
_telling: set[asyncio.Task[None]] = set()


def tell_open_pages(task: str, round: int, model: str) -> None:
    """Send the hint; called after the commit from a thread without an event loop."""
    layer = get_channel_layer()
    if layer is not None:
        hint = {"type": "round.opened", "task": task, "round": round, "model": model}
        async_to_sync(layer.group_send)(GROUP, hint)


def page_opened(task: Task, page: Page) -> None:
    """Tell a page of its task's rounds from now on."""
    global _watcher
    _open_pages.setdefault((task.pk, task.slug), set()).add(page)
    loop = asyncio.get_running_loop()
    if _watcher is None or _watcher.done() or _watcher.get_loop() is not loop:
        _watcher = loop.create_task(_watch(), context=nobodys())


def page_closed(task: Task, page: Page) -> None:
    """The reverse of `page_opened`."""
    pages = _open_pages.get((task.pk, task.slug), set())
    pages.discard(page)
    if not pages:
        _open_pages.pop((task.pk, task.slug), None)


async def _watch() -> None:
    """Look at the rounds of the tasks that have open pages, and listen for hints meanwhile."""
    listener = asyncio.create_task(_listen())
    try:
        while _open_pages:
            for task_id, slug in list(_open_pages):
                try:
                    target = (await _read(task_id)).target
                except DatabaseError as error:
                    log.warning("round_not_read", task=slug, error=type(error).__name__)
                    continue
                if target is not None:
                    _tell((task_id, slug), target.round.number, target.against)
            await asyncio.sleep(MAX_AGE)
    finally:
        listener.cancel()


async def _listen() -> None:
    """Hear hints over the channel layer: one subscription for all pages of this process.

    Whether it is cancelled is looked at too: Redis' client can swallow that while it connects.
    """
    layer, me = get_channel_layer(), asyncio.current_task()
    assert me is not None
    while layer is not None and not me.cancelling():
        try:
            channel = await layer.new_channel()
            await layer.group_add(GROUP, channel)
            try:
                while not me.cancelling():
                    hint = await layer.receive(channel)
                    for task_id, slug in list(_open_pages):
                        if slug == hint["task"]:
                            forget_target(task_id)
                            _tell((task_id, slug), hint["round"], hint["model"])
            finally:
                with suppress(Exception):
                    await layer.group_discard(GROUP, channel)
        except Exception as error:  # noqa: BLE001 (whatever the layer raises)
            # Redis is away: what pages would hear of they are told by the look at the database.
            log.warning("hints_not_heard", error=type(error).__name__)
            await asyncio.sleep(LISTEN_AGAIN)


def _tell(task: tuple[int, str], round: int, model: str) -> None:
    """Tell all pages of a task, and wait for none: one may be slow to read."""
    for page in _open_pages.get(task, ()):
        telling = asyncio.create_task(page.round_changed(round, model))
        _telling.add(telling)
        telling.add_done_callback(_telling.discard)
