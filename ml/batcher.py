"""Micro-batching without a timer, and a cache of what was already answered.

While one batch runs, the next one gathers: a lone caller waits for nobody, and a crowd shares its
passes. No batch is ever held back for company.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, Final, Generic, TypeAlias, TypeVar

T = TypeVar("T")
R = TypeVar("R")
K = TypeVar("K", bound=Hashable)

# Who waits for an output: a task of an event loop, or a thread.
_Asked: TypeAlias = "asyncio.Future[R] | Future[R]"
# An idle worker thread ends, so that a forgotten batcher costs nothing; the next item starts one.
IDLE_SECONDS: Final = 10.0
LESS: Final = 5  # niceness: a quarter of a core where two threads want one
# Bounds of what a refused caller is told to wait, in milliseconds.
MIN_RETRY_MS: Final = 20
MAX_RETRY_MS: Final = 5_000
_EWMA_WEIGHT: Final = 0.2


class Busy(Exception):
    """The queue is full; it should have room again in `retry_ms` milliseconds."""

    def __init__(self, waiting: int, retry_ms: int) -> None:
        super().__init__(f"{waiting} items wait already; try again in {retry_ms} ms")
        self.retry_ms = retry_ms


class Late(TimeoutError):
    """The item's deadline passed before its answer came."""


class Closed(RuntimeError):
    """The batcher takes no more items."""


class BatchFailed(RuntimeError):
    """The run broke its contract: a wrong number of outputs, or an exit instead of an error."""


def yield_to_others() -> None:
    """Let this thread wait where others want a core, too."""
    if sys.platform == "linux":  # elsewhere it is the whole process that would
        os.nice(LESS)


class Batcher(Generic[T, R]):
    """Answers items in batches on a worker thread of its own, or on `lanes` of them.

    More than one are for what waits for another machine; `behind` others of this process is what
    takes long. `run` gets 1 to `max_batch` items and
    returns as many outputs in the same order, an exception in the place of an item that failed. If
    it raises, the items are run again one by one, so that only the culprit fails. May be used from
    any number of event loops and threads.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Sequence[R | Exception]],
        *,
        max_batch: int = 64,
        max_queue: int = 1024,
        lanes: int = 1,
        behind: bool = False,
        name: str = "batcher",
    ) -> None:
        if max_batch < 1 or max_queue < 1 or lanes < 1:
            raise ValueError("max_batch, max_queue and lanes must be at least 1")
        self.name = name
        self.max_batch = max_batch
        self.max_queue = max_queue
        self.lanes = lanes
        self._behind = behind
        self._run = run
        # Guards everything below; held for microseconds, never while `run` is at work.
        self._changed = threading.Condition(threading.Lock())
        self._waiting: OrderedDict[_Asked[R], T] = OrderedDict()
        self._workers: list[threading.Thread] = []
        self._idle = 0  # of them
        self._closed = False
        self._since: dict[int, float] = {}  # when each running batch began, by its thread
        self._batch_seconds = 0.0

    # The timeout is the item's deadline: it drops the item, and leaves the caller's task alone.
    async def submit(self, item: T, *, timeout: float | None = None) -> R:  # noqa: ASYNC109
        """The item's output, or the exception that it failed with; `timeout` is in seconds.

        Raises Busy at once when the queue is full, Late past the deadline, Closed after `close`.
        A cancelled or late item that still waits is dropped without a pass.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._enqueue(future, item)
        alarm = None if timeout is None else loop.call_later(timeout, _expire, future, timeout)
        try:
            return await future
        except (asyncio.CancelledError, Late):
            with self._changed:
                self._waiting.pop(future, None)  # the queue holds live items
            raise
        finally:
            if alarm is not None:
                alarm.cancel()

    def ask(self, item: T, *, timeout: float | None = None) -> R:
        """The same for a thread without an event loop, which waits."""
        future: Future[R] = Future()
        self._enqueue(future, item)
        try:
            return future.result(timeout)
        except BaseException as error:
            with self._changed:
                self._waiting.pop(future, None)
            if isinstance(error, TimeoutError) and not future.done():
                raise _late(timeout) from None
            raise

    def close(self) -> None:
        """Take no more items; those that wait are still answered."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def running_for(self) -> float:
        """For how many seconds the oldest of the present batches has been running, or 0."""
        oldest = min(list(self._since.values()), default=None)
        return 0.0 if oldest is None else time.monotonic() - oldest

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not (self._waiting or self._since)

    @property
    def waiting(self) -> int:
        """How many items wait now."""
        return len(self._waiting)

    def _enqueue(self, future: _Asked[R], item: T) -> None:
        with self._changed:
            if self._closed:
                raise Closed(f"the batcher {self.name} is closed")
            if len(self._waiting) >= self.max_queue:
                raise Busy(len(self._waiting), self._retry_ms())
            if self._idle <= len(self._waiting):  # those that wake up have work already
                self._workers = [worker for worker in self._workers if worker.is_alive()]
                if len(self._workers) < self.lanes:
                    worker = threading.Thread(target=self._work, name=self.name, daemon=True)
                    worker.start()  # daemon: a hanging run must not keep the process alive
                    self._workers.append(worker)
            self._waiting[future] = item
            self._changed.notify()

    def _retry_ms(self) -> int:
        """About how long the queue takes to be worked off, judged by the batches so far."""
        rounds = len(self._waiting) / self.max_batch / self.lanes
        seconds = rounds * max(self._batch_seconds, self.running_for)
        return round(min(max(seconds * 1000, MIN_RETRY_MS), MAX_RETRY_MS))

    def _work(self) -> None:
        if self._behind:
            yield_to_others()
        while self._step():
            pass  # a step is a call of its own so that an idle thread holds on to no item

    def _step(self) -> bool:
        """Run the next batch; False when this thread has ended for lack of work."""
        batch = self._next_batch()
        if not batch:
            return False
        self._attempt(batch)
        seconds = time.monotonic() - self._since.pop(threading.get_ident())
        if self._batch_seconds:
            seconds = self._batch_seconds + _EWMA_WEIGHT * (seconds - self._batch_seconds)
        self._batch_seconds = seconds
        return True

    def _next_batch(self) -> list[tuple[_Asked[R], T]]:
        batch: list[tuple[_Asked[R], T]] = []
        with self._changed:
            while not batch:
                while self._waiting and len(batch) < self.max_batch:
                    future, item = self._waiting.popitem(last=False)
                    if not future.done():
                        batch.append((future, item))
                if batch:
                    break
                if self._closed or not (self._wait() or self._waiting):
                    self._workers.remove(threading.current_thread())
                    return []
            self._since[threading.get_ident()] = time.monotonic()
        return batch

    def _wait(self) -> bool:
        """Wait for an item, with the lock; False when none came in time."""
        self._idle += 1
        try:
            return self._changed.wait(IDLE_SECONDS)
        finally:
            self._idle -= 1

    def _attempt(self, batch: Sequence[tuple[_Asked[R], T]]) -> None:
        """Run the items and send each caller its own outcome."""
        try:
            outputs = self._run([item for _, item in batch])
            if len(outputs) != len(batch):
                raise BatchFailed(
                    f"{self.name} returned {len(outputs)} outputs for {len(batch)} items"
                )
            outcomes = [
                (future, output) for (future, _), output in zip(batch, outputs, strict=True)
            ]
        # Nothing may end the thread that everybody waits for.
        except BaseException as error:  # noqa: BLE001
            if len(batch) == 1:
                self._send([(batch[0][0], _raisable(error))])
                return
        else:
            self._send(outcomes)
            return
        for entry in batch:
            if not entry[0].done():
                self._attempt([entry])

    def _send(self, outcomes: Sequence[tuple[_Asked[R], R | Exception]]) -> None:
        """Hand the outcomes over to threads and event loops, waking each of these once."""
        by_loop = defaultdict(list)
        for future, outcome in outcomes:
            if isinstance(future, Future):
                _settle([(future, outcome)])
            else:
                by_loop[future.get_loop()].append((future, outcome))
        for loop, group in by_loop.items():
            try:
                loop.call_soon_threadsafe(_settle, group)
            except RuntimeError:
                continue  # that loop has been closed: nobody waits there any more


def _settle(outcomes: Sequence[tuple[_Asked[Any], Any]]) -> None:
    for future, outcome in outcomes:
        if future.done():
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(_raisable(outcome))
        else:
            future.set_result(outcome)


def _expire(future: asyncio.Future[Any], timeout: float) -> None:
    if not future.done():
        future.set_exception(_late(timeout))


def _late(timeout: float | None) -> Late:
    return Late(f"no answer within {timeout:g} s")


def _raisable(error: BaseException) -> Exception:
    """The error, wrapped where a future would refuse it or its caller take it for a shutdown."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    wrapped = BatchFailed(f"the run ended with {type(error).__name__}")
    wrapped.__cause__ = error
    return wrapped


class PredictionCache(Generic[K, R]):
    """The latest answers; the least recently used goes first. Safe from any thread."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._lock = threading.Lock()
        self._answers: OrderedDict[K, R] = OrderedDict()

    def get(self, key: K) -> R | None:
        """The answer that was given under this key, if it is still known."""
        with self._lock:
            answer = self._answers.get(key)
            if answer is not None:
                self._answers.move_to_end(key)
            return answer

    def put(self, key: K, answer: R) -> None:
        with self._lock:
            self._answers[key] = answer
            self._answers.move_to_end(key)
            if len(self._answers) > self.size:
                self._answers.popitem(last=False)
