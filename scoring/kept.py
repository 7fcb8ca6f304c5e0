"""One reading of a task's tallies, and all that was made of it: what boards show for a minute.

A board that moved with each verdict would tell a validator which of their answers was not gold.
Five thousand people take a second to rank and a million examples five to count by label, so a page
that was shown before waits for neither: it shows the last reading while a thread makes the next.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any, Final, TypeVar

from django.conf import settings
from django.core.cache import cache
from django.db import connections
from django.db.models import Q
from django.urls import set_script_prefix
from django.utils import timezone

from annotate.models import Barred, Task
from core.transactions import one_view
from scoring.models import Tally
from scoring.tally import COLUMNS

logger = logging.getLogger(__name__)

T = TypeVar("T")

MOST_READ: Final = 50  # tasks whose tallies a process keeps
MOST_MADE: Final = 200  # boards and reports of one task
A_MOMENT: Final = 0.5  # seconds that somebody may wait for what is new
BUSY: Final = 20  # of this many parts of the time making what is shown may take one
KEPT: Final = timedelta(hours=1)  # after it also a page waits
PERSON: Final = tuple(
    f"author__{field}" for field in ("username", "pseudonym", "closed_at", "unnamed")
)

Row = Mapping[str, Any]
Read = tuple[Sequence[Row], frozenset[int]]
Rows = Callable[[], Read]
Make = Callable[["Tallies"], Any]


@dataclass(slots=True, eq=False)
class Tallies:
    """Every author's tally of every round as they were read, and what was made of them since."""

    token: str
    rows: Sequence[Row]
    left_out: frozenset[int]
    """Who was banned then, or kept out of the task: their tallies are not among these, and nothing
    of theirs may be in what is made of these."""
    as_of: datetime
    took: float = 0.0
    """Seconds that reading these and making all that was asked for took."""
    _made: dict[Hashable, tuple[Any, Make]] = field(default_factory=dict)
    _asked: set[Hashable] = field(default_factory=set)

    def once(self, key: Hashable, make: Callable[[Tallies], T]) -> T:
        """What `make` makes of these tallies, made at the first call with this key.

        Of the next ones it is made before anybody asks, so it may hold on to nothing of a request.
        """
        self._asked.add(key)
        if key not in self._made:
            self._make(key, make)
        made: T = self._made[key][0]
        return made

    def _make(self, key: Hashable, make: Make) -> None:
        took, began = self.took, monotonic()
        if settings.BASE_PATH:  # threads that serve no request know no path: a start's, those aside
            set_script_prefix(f"{settings.BASE_PATH}/")
        made = make(self)
        self.took = took + monotonic() - began  # what it asked for meanwhile is in it
        if len(self._made) >= MOST_MADE:
            self._made.pop(next(iter(self._made)), None)
        self._made[key] = made, make

    def make_as(self, other: Tallies) -> None:
        """Make what the other was asked for."""
        for key in other._asked & other._made.keys():
            if key not in self._made:
                self._make(key, other._made[key][1])

    @property
    def age(self) -> timedelta:
        return timezone.now() - self.as_of

    @property
    def lasts(self) -> float:
        """Seconds until the next is made: a minute, and longer where making it takes long."""
        return max(float(settings.BOARD_SECONDS), BUSY * self.took) if settings.BOARD_SECONDS else 0


_kept: dict[str, Tallies] = {}
_making: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def read_tallies(task: Task, *, patient: bool = False) -> Tallies:
    """A task's tallies as they were up to a minute ago, the same ones in every process.

    Older ones, up to an hour, are given where making the next takes more than a moment, but not to
    who is `patient`: a page looks again by itself, a program would take them for new.
    """
    return _reading(f"tallies-{task.pk}", partial(_rows, task), patient=patient)


def read_votes(task: Task, *, patient: bool = False) -> Tallies:
    """One without rows, for what is made of all votes: however long that takes, boards go on."""
    return _reading(f"votes-{task.pk}", lambda: ((), frozenset()), patient=patient)


def forget() -> None:
    """Forget all readings, as a process that begins."""
    _kept.clear()


def _reading(name: str, rows: Rows, *, patient: bool) -> Tallies:
    known, token = _kept.get(name), cache.get(name)
    if known is not None and known.token == token:
        return known
    if known is None or _is_waited_for(known, patient=patient):
        with _making[name]:
            return _next(name, rows)
    if not _making[name].locked():
        _aside(partial(_make_next, name, rows))
    return known


def _is_waited_for(known: Tallies, *, patient: bool) -> bool:
    if known.age > KEPT or not settings.BOARD_SECONDS:
        return True
    is_old = known.age.total_seconds() > known.lasts + settings.BOARD_SECONDS
    return is_old and (patient or known.took < A_MOMENT)


def _aside(call: Callable[[], None]) -> None:
    def in_a_thread() -> None:
        try:
            call()
        finally:
            connections.close_all()  # this thread's own

    threading.Thread(target=in_a_thread, daemon=True).start()


def _next(name: str, rows: Rows) -> Tallies:
    """The newest reading, which somebody may have made while this one waited."""
    known = _kept.get(name)
    if known is None or known.token != cache.get(name):
        known = _shared(name) or _read(rows)
        _keep(name, known)
    return known


def _make_next(name: str, rows: Rows) -> None:
    """The next reading with all that the last one was asked for, shown when it is whole."""
    lock = _making[name]
    if not lock.acquire(blocking=False):
        return
    try:
        known, found = _kept[name], _shared(name)
        # Another process that is at it will share what it reads.
        if found or cache.add(f"{name}-turn", 1, 2 * known.took + settings.BOARD_SECONDS):
            with one_view():  # else parts of a round would not add up to it
                found = found or _read(rows)
                found.make_as(known)
            _keep(name, found)
            cache.delete(f"{name}-turn")
    except Exception:
        logger.exception("boards stay as they are: %s", name)
    finally:
        lock.release()


def is_out(task_id: int, person: str) -> Q:
    """Who of a column's people is banned, or kept out of the task."""
    barred = Barred.objects.filter(task=task_id).values("person")
    return Q((f"{person}__banned_at__isnull", False)) | Q((f"{person}__in", barred))


def _rows(task: Task) -> Read:
    """What is stored counts everybody, so that a ban, and its end, move nothing."""
    tallies = Tally.objects.filter(round__task=task).order_by("round", "author")
    found = tallies.annotate(out=is_out(task.pk, "author")).values(
        "out", "round_id", "author_id", *PERSON, *COLUMNS
    )
    rows, left_out = [], set()
    for row in found:
        if row.pop("out"):
            left_out.add(row["author_id"])
        else:
            rows.append(row)
    return rows, frozenset(left_out)


def _read(rows: Rows) -> Tallies:
    began, as_of = monotonic(), timezone.now()
    return Tallies(uuid.uuid4().hex, *rows(), as_of, took=monotonic() - began)


def _shared(name: str) -> Tallies | None:
    """What another process has read, as long as it lasts."""
    token = cache.get(name)
    kept = cache.get(f"{name}-{token}-2") if token else None
    return Tallies(token, *kept) if kept else None


def _keep(name: str, found: Tallies) -> None:
    """Show these from now on, and share them."""
    if cache.get(name) != found.token:
        cache.set(f"{name}-{found.token}-2", (found.rows, found.left_out, found.as_of), found.lasts)
        cache.set(name, found.token, found.lasts)
    if len(_kept) >= MOST_READ:
        _kept.pop(next(iter(_kept)), None)
    _kept[name] = found
