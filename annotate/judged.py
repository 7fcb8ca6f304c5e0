"""What is being judged: the model answers nobody about it meanwhile but its author.

A validator who could ask would know what the model said, and with it the claim that they judge. Any
other account, or none, could ask for them: so it is nobody who may, and not the holder alone. Each
process knows what is leased without a query for each prediction: what it leases itself at once,
what others do within a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import structlog
from django.db import DatabaseError

from accounts.models import User
from accounts.services import record_event
from annotate.contents import Content, content_of, content_of_stored
from annotate.models import Example
from core.bridge import in_database_thread
from core.errors import Conflict
from core.transactions import durable
from kinds import Kind, Prepared

log = structlog.get_logger(__name__)

MAX_AGE: Final = 1.0  # seconds; from half of it on whoever asks has it read anew meanwhile
TOLD_AGAIN: Final = 60.0
NEW_PEOPLE: Final = 10.0  # seconds; those who begin to judge at this process are known at once

Reader = Callable[[int, int | None], Iterable[tuple[int, int]]]
_reader: Reader = lambda *_: ()  # noqa: E731
_judges: Callable[[int], Iterable[int]] = lambda _: ()  # noqa: E731


def read_with(reader: Reader, judges: Callable[[int], Iterable[int]]) -> None:
    """Ask `reader` for examples of a task and who has each before them: all that are under a lease
    now, or, of one person, what they had lately and may come back to; `judges` for all who ever had
    one, whatever their role or the link that they came by lets them do now."""
    global _reader, _judges
    _reader, _judges = reader, judges


class BeingJudged(Conflict):
    """The model may not be asked about this now; `holds` says whether by who judges it."""

    def __init__(self, example_id: int, *, holds: bool) -> None:
        super().__init__(
            "being_judged",
            "This is being judged right now: change it, and the model answers again.",
        )
        self.example_id, self.holds = example_id, holds


@dataclass
class _Item:
    example: Example
    holders: set[int] = field(default_factory=set)

    @cached_property
    def content(self) -> Content | None:
        """Whoever asks need not say which context of the server's it is about."""
        stored = content_of_stored(self.example)
        return content_of(stored.kind, stored.prepared) if stored else None


@dataclass
class _Known:
    items: dict[int, _Item] = field(default_factory=dict)
    begun: dict[int, float] = field(default_factory=dict)
    read_at: float = float("-inf")
    people: set[int] = field(default_factory=set)
    people_read_at: float = float("-inf")
    by_key: dict[int, list[_Item]] | None = None

    def like(self, content: Content) -> list[_Item]:
        """Those found under this content's keys: comparing it with all of them is slow."""
        by_key = self.by_key
        if by_key is None:  # made apart: another thread may have it forgotten meanwhile
            by_key = {}
            for item in list(self.items.values()):
                for key in item.content.kept_under if item.content else ():
                    by_key.setdefault(key, []).append(item)
            self.by_key = by_key
        return [item for key in content.looked_up_by & by_key.keys() for item in by_key[key]]


Key = tuple[int, int | None]
_known: dict[Key, _Known] = {}
_reading: dict[Key, asyncio.Task[None]] = {}
_told: dict[tuple[int | None, int], float] = {}


def begins(example: Example, holder: int) -> None:
    """Somebody has this before them from now on; call it after the commit."""
    known = _known.get((example.task_id, None))
    if known is None:
        return  # it is read when somebody asks
    known.people.add(holder)
    if example.context_id is not None and not Example.context.is_cached(example):
        known.read_at = float("-inf")
    else:
        known.items.setdefault(example.pk, _Item(example)).holders.add(holder)
        known.begun[example.pk] = time.monotonic()
        known.by_key = None


def forget() -> None:
    """Know nothing (tests that begin with another database)."""
    for kept in (_known, _reading, _told):
        kept.clear()


def _keys(task_id: int, user: User | None) -> Iterator[Key]:
    """What is to be known before this person is answered; read each before you ask for the next."""
    yield task_id, None
    if user is not None and user.pk in _known[task_id, None].people:
        yield task_id, user.pk


def _age(key: Key) -> float:
    return time.monotonic() - _known.setdefault(key, _Known()).read_at


def _read(key: Key) -> None:
    """Read what is judged, and the examples of it that are not known yet."""
    known, now = _known.setdefault(key, _Known()), time.monotonic()
    known.read_at = now  # a hundred find it old at once: one looks
    holders: dict[int, set[int]] = {}
    for example_id, holder in _reader(*key):
        holders.setdefault(example_id, set()).add(holder)
        known.people.add(holder)
    if key[1] is None and now - known.people_read_at > NEW_PEOPLE:
        known.people.update(_judges(key[0]))
        known.people_read_at = now
    new = Example.objects.select_related("task", "context").in_bulk(holders.keys() - known.items)
    items = {
        pk: _Item(new[pk]) if pk in new else known.items[pk]
        for pk in holders
        if pk in new or pk in known.items
    }
    for pk, item in items.items():
        item.holders = holders[pk]
    known.begun = {pk: since for pk, since in known.begun.items() if since >= now}
    known.items = {pk: known.items[pk] for pk in known.begun} | items
    known.by_key = None


async def catch_up(task_id: int, user: User | None) -> bool:
    """Know what is judged, and whether that is anything; once a second somebody waits for it.

    While the database is away it is what was known last.
    """
    found = False
    for key in _keys(task_id, user):
        if (age := _age(key)) > MAX_AGE / 2 and (key not in _reading or _reading[key].done()):
            _reading[key] = asyncio.create_task(_read_soon(key))
        if age > MAX_AGE:
            await asyncio.shield(_reading[key])
        found = found or bool(_known[key].items)
    return found


async def _read_soon(key: Key) -> None:
    try:
        await in_database_thread(_read, key)
    except DatabaseError as error:
        log.warning("leases_not_read", error=type(error).__name__)


def require_not_judged(
    kind: Kind, prepared: Prepared, *, task_id: int, user: User | None, catch_up: bool = True
) -> None:
    """Refuse an input that tells about one that is being judged, as BeingJudged.

    With `catch_up`, in a thread that has a connection, it reads first what is older than a second.
    """
    content = None
    for key in _keys(task_id, user):
        if catch_up and _age(key) > MAX_AGE:
            _read(key)
        if not _known[key].items:
            continue
        content = content or content_of(kind, prepared)
        for item in _known[key].like(content):
            if user is not None and item.example.author_id == user.pk:
                continue
            if item.content and kind.likeness.shows(item.content.prepared, prepared):
                holds = user is not None and user.pk in item.holders
                raise BeingJudged(item.example.pk, holds=holds)


def record(refused: BeingJudged, user: User | None) -> None:
    """Record that somebody asked; of one who goes on asking once a minute."""
    who, now = (user.pk if user else None, refused.example_id), time.monotonic()
    if now - _told.get(who, float("-inf")) < TOLD_AGAIN:
        return
    if len(_told) > 10_000:
        _told.clear()
    _told[who] = now
    with durable():
        example = Example.objects.select_related("task").only("task__slug").get(pk=who[1])
        record_event(
            actor=user,
            verb="asked_about_judged",
            subject=example,
            scope=example.task.slug,
            data={"holds_it": refused.holds},
        )
