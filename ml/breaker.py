"""A circuit breaker around a batcher: a run that hangs or is away is left, and tried anew later."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeVar

from ml.batcher import Batcher, Late

T = TypeVar("T")
R = TypeVar("R")

FIRST_PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 60.0
# A thread that hangs cannot be ended: so many may, before no further one is risked.
MOST_HANGING: Final = 4
TRIAL_RETRY_MS: Final = 1_000


class Unavailable(Exception):
    """The run hangs, or is away; the next trial is in `retry_ms` milliseconds."""

    def __init__(self, retry_ms: int) -> None:
        super().__init__(f"no answer is to be had; try again in {retry_ms} ms")
        self.retry_ms = retry_ms


class Breaker(Generic[T, R]):
    """A batcher whose run may hang: then callers are refused at once, and a new thread is tried.

    A run that takes longer than `hang_after` seconds opens the circuit, and so does one that raises
    `away`. After a pause, doubled each time up to a minute, one item is tried, on a new thread
    where the old one hangs; its end, also by another error, closes the circuit. May be used from
    any number of event loops and threads. Other keywords are the batcher's.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Sequence[R | Exception]],
        *,
        hang_after: float,
        first_pause: float = FIRST_PAUSE,
        away: type[Exception] | None = None,
        **batcher: Any,
    ) -> None:
        self._away = away
        self._new_batcher: Callable[[], Batcher[T, R]] = partial(Batcher, run, **batcher)
        self._hang_after = hang_after
        self._first_pause = first_pause
        self._lock = threading.Lock()
        self._batcher = self._new_batcher()
        self._hanging: list[Batcher[T, R]] = []
        self._pause = first_pause
        self._retry_at: float | None = None  # while the circuit is open
        self._on_trial = False

    async def submit(self, item: T, *, timeout: float) -> R:  # noqa: ASYNC109 (the item's deadline)
        """The item's output, as `Batcher.submit`; raises Unavailable while the circuit is open."""
        batcher = self._closed_circuit()
        try:
            output = await batcher.submit(item, timeout=timeout)
        except Exception as error:
            self._failed(batcher, error)
            raise
        self._ended(batcher)
        return output

    def ask(self, item: T, *, timeout: float) -> R:
        """The same for a thread without an event loop, as `Batcher.ask`."""
        batcher = self._closed_circuit()
        try:
            output = batcher.ask(item, timeout=timeout)
        except Exception as error:
            self._failed(batcher, error)
            raise
        self._ended(batcher)
        return output

    def _failed(self, batcher: Batcher[T, R], error: Exception) -> None:
        """Open the circuit, or close it: an error is an end, too. What is late may still hang."""
        if self._away is not None and isinstance(error, self._away):
            self._is_away(batcher)
        elif not isinstance(error, Late):
            self._ended(batcher)

    @property
    def waiting(self) -> int:
        """How many items wait in the batcher in use."""
        return self._batcher.waiting

    def _closed_circuit(self) -> Batcher[T, R]:
        """The batcher to ask, a new one if its turn has come; raises Unavailable otherwise."""
        with self._lock:
            now = time.monotonic()
            if self._retry_at is None and self._batcher.running_for > self._hang_after:
                self._open(now)
            if self._retry_at is not None:
                self._try_anew(now)
            elif self._on_trial and not self._batcher.is_idle:  # idle: its caller went away
                raise Unavailable(TRIAL_RETRY_MS)
            return self._batcher

    def _ended(self, batcher: Batcher[T, R]) -> None:
        """Close the circuit when it was the trial that ended."""
        if self._on_trial:
            with self._lock:
                if batcher is self._batcher:
                    self._on_trial, self._pause = False, self._first_pause

    def _is_away(self, batcher: Batcher[T, R]) -> None:
        """Open the circuit, once: those that were asked beside each other all fail."""
        with self._lock:
            if batcher is self._batcher and self._retry_at is None:
                self._pause_now(time.monotonic())

    def _open(self, now: float) -> None:
        self._batcher.close()
        self._hanging.append(self._batcher)
        self._pause_now(now)

    def _pause_now(self, now: float) -> None:
        self._on_trial = False
        self._retry_at = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _try_anew(self, now: float) -> None:
        """Replace the batcher that hangs; the caller's item is the trial."""
        assert self._retry_at is not None
        if now < self._retry_at:
            raise Unavailable(round((self._retry_at - now) * 1000) + 1)
        self._hanging = [batcher for batcher in self._hanging if batcher.running_for]
        if len(self._hanging) >= MOST_HANGING:
            self._retry_at = now + self._pause
            raise Unavailable(round(self._pause * 1000))
        if self._batcher.running_for > self._hang_after and not self._batcher.is_closed:
            self._batcher.close()
            self._hanging.append(self._batcher)
        if self._batcher.is_closed:
            self._batcher = self._new_batcher()
        self._retry_at = None
        self._on_trial = True
