"""Whether this process can serve: each part asked at the same time, none waited for long."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
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
from core.outages import lacks_room
from dadc_server.jobs.housekeeping import seconds_since_beat
from ml import store

PATIENCE = 2.0
WORKER_SILENT_AFTER = 30.0  # a worker beats every five seconds, also while it trains


class Wanting(Exception):
    """What is wrong with a part, in words for the operator; `partly`: it still serves some."""

    def __init__(self, problem: str, *, partly: bool = False) -> None:
        super().__init__(problem)
        self.partly = partly


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
        return {
            "ok": False,
            "problem": str(wanting),
            **({"partly": True} if wanting.partly else {}),
        }
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
    """Every open round's models, opened and warmed here if they were not yet.

    One that is missing is its task's trouble alone.
    """

    def look() -> dict[str, Any]:
        open_ = (
            ModelVersion.objects.filter(rounds__status=Round.Status.OPEN)
            .exclude(backend="")
            .select_related("task")
        )
        models = {model.identity: model for model in open_.distinct()}
        problems = [problem for model in models.values() if (problem := _problem_of(model))]
        if problems:
            raise Wanting("; ".join(problems), partly=len(problems) < len(models))
        return {"models": len(models)}

    return await in_database_thread(look)


def _problem_of(model: ModelVersion) -> str:
    """What keeps a model from answering here, "" when nothing does."""
    if already_open(model) is not None:
        return ""
    try:
        if model.identity not in _proved:
            live_model(model, model.task.kind)
            _proved.add(model.identity)
        elif not _has_its_file(model):
            raise FileNotFoundError
    except Exception as error:  # noqa: BLE001  (whatever it is, this model does not answer)
        return f"{model.name} of {model.task.slug} cannot be loaded ({type(error).__name__})"
    return ""


def _has_its_file(model: ModelVersion) -> bool:
    return not model.artifact or store.has(Path(settings.ARTIFACT_DIR) / model.artifact)


async def _storage() -> dict[str, Any]:
    """Whether something can be written: there is room, and nobody holds SQLite's one write lock."""

    def look() -> dict[str, Any]:
        if problem := lacks_room(settings.DATA_DIR):
            raise Wanting(problem)
        if connection.vendor == "sqlite":
            name = connection.settings_dict["NAME"]
            with closing(sqlite3.connect(name, timeout=PATIENCE / 2, isolation_level=None)) as own:
                try:
                    own.execute("BEGIN IMMEDIATE")
                    own.execute("ROLLBACK")
                except sqlite3.OperationalError as error:
                    raise Wanting(f"nothing can be written: {error}") from error
        return {}

    return await asyncio.to_thread(look)


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
    # Reading goes on, and whoever writes is told why it does not.
    Part("storage", _storage, vital=False),
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
    ready = all(_serves(parts[part.name]) for part in PARTS if part.vital)
    well = all(answer["ok"] for answer in answers)
    status = "ready" if well else "degraded" if ready else "unready"
    return ready, {"status": status, "parts": parts}


def _serves(part: dict[str, Any]) -> bool:
    return bool(part["ok"] or part.get("partly"))
