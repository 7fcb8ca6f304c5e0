"""One transaction for what several threads want to write at the same moment; imports no Django.

A commit waits for the disk, and most of what a statement costs is its way there and back. So while
one thread writes, whoever comes meanwhile waits, and the first of them writes for all. Nobody is
held back for company: who comes alone goes alone, at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

import structlog

T = TypeVar("T")
R = TypeVar("R")

MOST = 16  # in one transaction

log = structlog.get_logger(__name__)


class _Waiting(Generic[T, R]):
    def __init__(self, item: T) -> None:
        self.item = item
        self.leads = False
        self.outcome: R | None = None
        self.turn = threading.Event()


class Together(Generic[T, R]):
    """Calls `write` with several items of different threads, one call at a time.

    It gets items of the same `alike`, no two of them with the same `apart`, and returns for each an
    outcome, or None when that one must be written alone. When it raises, all must; what is not
    `expected` is logged with its trace, or nobody would ever learn of it.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], Sequence[R | None]],
        *,
        alike: Callable[[T], Hashable],
        apart: Callable[[T], Hashable],
        expected: tuple[type[Exception], ...] = (),
    ) -> None:
        self._write, self._alike, self._apart = write, alike, apart
        self._expected = expected
        self._lock = threading.Lock()
        self._queue: list[_Waiting[T, R]] = []
        self._at_work = False

    def write(self, item: T) -> R | None:
        """The item's outcome once it is written; None: the caller writes it alone."""
        mine = _Waiting[T, R](item)
        with self._lock:
            if not self._at_work:
                self._at_work = mine.leads = True
            else:
                self._queue.append(mine)
        if not mine.leads:
            self._wait(mine)
        if mine.leads:
            self._lead(mine)
        return mine.outcome

    def _wait(self, mine: _Waiting[T, R]) -> None:
        try:
            mine.turn.wait()
        except BaseException:  # interrupted: nobody may go on waiting for it
            with self._lock:
                if mine in self._queue:
                    self._queue.remove(mine)
            if mine.leads:
                self._hand_over()
            raise

    def _lead(self, mine: _Waiting[T, R]) -> None:
        batch = [mine]
        try:
            with self._lock:
                batch = self._batch(mine)
            outcomes = self._write([one.item for one in batch])
            for one, outcome in zip(batch, outcomes, strict=True):
                one.outcome = outcome
        except Exception as error:  # alone each is told its own
            with structlog.contextvars.bound_contextvars(request_id=None):  # it is not one's own
                log.info(
                    "written_one_by_one",
                    together=len(batch),
                    reason=type(error).__name__,
                    exc_info=not isinstance(error, self._expected),
                )
        finally:
            for one in batch:
                one.turn.set()
            self._hand_over()

    def _batch(self, mine: _Waiting[T, R]) -> list[_Waiting[T, R]]:
        """Mine and who waits and goes with it, in the order in which they came."""
        batch, seen = [mine], {self._apart(mine.item)}
        for one in list(self._queue):
            if len(batch) == MOST:
                break
            apart = self._apart(one.item)
            if self._alike(one.item) == self._alike(mine.item) and apart not in seen:
                batch.append(one)
                self._queue.remove(one)
            seen.add(apart)  # a later one of the same must not overtake it
        return batch

    def _hand_over(self) -> None:
        with self._lock:
            if not self._queue:
                self._at_work = False
                return
            following = self._queue.pop(0)
            following.leads = True
        following.turn.set()
