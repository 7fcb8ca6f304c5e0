"""Whether this process can serve: each part asked at the same time, none waited for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from django.conf import settings
from django.db import connection

from annotate.inference import already_open, live_model
from annotate.models import ModelVersion, Round
from core.bridge import in_database_thread
from dadc_server.jobs.housekeeping import seconds_since_beat

PATIENCE = 2.0
WORKER_SILENT_AFTER = 30.0  # a worker beats every five seconds, also while it trains


class Wanting(Exception):
    """What is wrong with a part, in words for the operator."""


@dataclass
class Part:
    """Something this process needs; without one that is not `vital` it serves all the same."""

    name: str
    check: Callable[[], Awaitable[dict[str, Any]]]
    vital: bool
    under_way: asyncio.Task[dict[str, Any]] | None = field(default=None, compare=False)

    async def report(self) -> dict[str, Any]:
        """{ok, ms, …}. A check that hangs is not started a second time: the next report waits for
        the same one, so that asking often cannot use up threads."""
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        if self.under_way is None or self.under_way.done() or self.under_way.get_loop() is not loop:
            self.under_way = loop.create_task(_outcome(self.check()))
        done, _ = await asyncio.wait({self.under_way}, timeout=PATIENCE)
        ms = round((time.perf_counter() - began) * 1000, 1)
        if not done:
            return {"ok": False, "ms": ms, "problem": f"no answer within {PATIENCE:g} s"}
        return {**self.under_way.result(), "ms": ms}


async def _outcome(check: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    try:
        return {"ok": True, **await check}
    except Wanting as wanting:
        return {"ok": False, "problem": str(wanting)}
    except Exception as error:  # noqa: BLE001  (whatever it is, this part does not work)
        # Its kind alone: the text of a database's error may name hosts and people.
        return {"ok": False, "problem": type(error).__name__}


# --- parts ----------------------------------------------------------------------------------------
async def _database() -> dict[str, Any]:
    def ask() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    await in_database_thread(ask)
    return {}


async def _channel_layer() -> dict[str, Any]:
    """A message to oneself, on a channel that is kept: Redis' layer would keep every new one too.

    A message that was lost with Redis never comes: then the layer drops the channel.
    """
    layer, loop = get_channel_layer(), asyncio.get_running_loop()
    try:
        async with asyncio.timeout(PATIENCE):
            if loop not in _own_channel:
                _own_channel[loop] = await layer.new_channel()
            await layer.send(_own_channel[loop], {"type": "ready"})
            await layer.receive(_own_channel[loop])
    except TimeoutError:
        _own_channel.pop(loop, None)
        raise
    return {}


async def _models() -> dict[str, Any]:
    """Every open round's models, opened and warmed here if they were not yet."""

    def look() -> dict[str, Any]:
        open_ = (
            ModelVersion.objects.filter(rounds__status=Round.Status.OPEN)
            .exclude(backend="")
            .select_related("task")
        )
        names = {model.sha256: model for model in open_.distinct()}
        for sha256, model in names.items():
            if already_open(model) is not None:
                continue
            try:
                if sha256 not in _proved:
                    live_model(model, model.task.kind)
                    _proved.add(sha256)
                elif not _has_its_file(model):
                    raise FileNotFoundError
            except Exception as error:
                raise Wanting(f"{model.name} cannot be loaded ({type(error).__name__})") from error
        return {"models": len(names)}

    return await in_database_thread(look)


def _has_its_file(model: ModelVersion) -> bool:
    return not model.artifact or (Path(settings.ARTIFACT_DIR) / model.artifact).exists()


async def _worker() -> dict[str, Any]:
    age = await in_database_thread(seconds_since_beat)
    if age is None:
        raise Wanting("no background worker has run yet")
    if age > WORKER_SILENT_AFTER:
        raise Wanting(f"no background worker for {age:.0f} s")
    return {"age_s": round(age, 1)}


# Models that this process could open: it holds a few at a time, and must not load them in turn.
_proved: set[str] = set()

_own_channel: WeakKeyDictionary[asyncio.AbstractEventLoop, str] = WeakKeyDictionary()

PARTS = [
    Part("database", _database, vital=True),
    Part("models", _models, vital=True),
    # Without it open pages learn of a new round two seconds later, and limits count for each
    # process alone: no reason to send people away from every process at once.
    Part("channel_layer", _channel_layer, vital=False),
    # People can take part; training waits, and so do the nightly audits.
    Part("worker", _worker, vital=False),
]


async def report() -> tuple[bool, dict[str, Any]]:
    """Whether to send people here, and what an operator wants to know."""
    answers = await asyncio.gather(*(part.report() for part in PARTS))
    parts = {part.name: answer for part, answer in zip(PARTS, answers, strict=True)}
    ready = all(parts[part.name]["ok"] for part in PARTS if part.vital)
    well = all(answer["ok"] for answer in answers)
    status = "ready" if well else "degraded" if ready else "unready"
    return ready, {"status": status, "parts": parts}
