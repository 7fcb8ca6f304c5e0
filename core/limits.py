"""Who may pass a door now: an exact limit for each person and for each address.

With Redis the buckets are one for all processes. A round trip for each stroke would be 180 µs, so
that a websocket's predictions are paid from a purse (`Passage`).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache, partial
from weakref import WeakValueDictionary

from django.conf import settings

from core.buckets import Buckets, Got, MemoryBuckets, SharedBuckets, Want
from core.doors import Rate
from core.request_ids import nobodys

FROM_PURSES = {"predict", "sandbox-predict", "connect"}
LONGEST_HOLD = 1.0  # seconds after which tokens in a purse are worth nothing
LEAST_ASKED = 4  # tokens a purse asks for at once; more when those did not last
ATTEMPTS = 10
_WON_BY_OTHERS = 0.02  # seconds, when others of the same person spent each filling first


def wait_for(door: str, *, person: str = "", address: str = "") -> float:
    """Seconds until both may pass; 0 when they may now, and then it is counted.

    With Redis one round trip, for which the thread waits: not for the event loop.
    """
    wants = list(_wants(door, person, address))
    return max((got.wait for got in _buckets().take(wants)), default=0.0) if wants else 0.0


def forget_limits() -> None:
    """Fill this process' buckets and purses (tests)."""
    _buckets.cache_clear()
    _local.clear()
    _purses.clear()
    passage_of_address.cache_clear()


@cache
def _buckets() -> Buckets:
    # Beside the cache: whoever empties the one empties the other.
    return SharedBuckets(settings.CACHES["default"]["LOCATION"]) if settings.REDIS_URL else _local


_local = MemoryBuckets()


def _wants(door: str, person: str, address: str) -> Iterator[Want]:
    rates = settings.LIMITS[door]
    if person:
        yield Want(f"{door}:{person}", _kept(door, rates.person))
    if address:
        yield Want(f"{door}@{address}", _kept(door, rates.address))


def _kept(door: str, rate: Rate) -> Rate:
    """The bucket's own rate: what purses may hold back is taken off its burst.

    Tokens are spent up to `hold` seconds after they were taken. In any t seconds at most
    `(burst - per_second · hold) + per_second · (t + hold)` are spent: the limit that is set.
    """
    if door in FROM_PURSES:
        return Rate(max(1.0, rate.burst - rate.per_second * _hold(rate)), rate.per_second)
    return rate


def _hold(rate: Rate) -> float:
    return min(LONGEST_HOLD, rate.burst / (2 * rate.per_second))


# --- purses ---------------------------------------------------------------------------------------
class Passage:
    """One websocket's way through a door that opens often; for the event loop."""

    def __init__(self, door: str, *, person: str = "", address: str = "") -> None:
        self._purses = [_purse(want) for want in _wants(door, person, address)]

    async def wait(self) -> float:
        """Seconds until both may pass; 0 when they may now, and then it is counted."""
        for _ in range(ATTEMPTS):
            now = time.monotonic()
            empty = [purse for purse in self._purses if not purse.has_one(now)]
            if not empty:
                for purse in self._purses:
                    purse.tokens -= 1
                return 0.0
            if wait := await _fill(empty):
                return wait
        return _WON_BY_OTHERS


@lru_cache(maxsize=1_000)
def passage_of_address(door: str, address: str) -> Passage:
    """One for everybody there, kept: a purse that is dropped takes what is in it along."""
    return Passage(door, address=address)


class Purse:
    """Tokens of one bucket that this process has taken in advance and not spent yet."""

    __slots__ = (
        "__weakref__",
        "_asked",
        "_dry_until",
        "_hold",
        "_until",
        "tokens",
        "waiting",
        "want",
    )

    def __init__(self, want: Want) -> None:
        self.want = want
        self.tokens = 0
        self.waiting = 0
        self._hold = _hold(want.rate)
        self._until = self._dry_until = 0.0
        self._asked = 0

    def has_one(self, now: float) -> bool:
        return self.tokens > 0 and now < self._until

    def dry_for(self, now: float) -> float:
        """Seconds in which there is no use in asking the bucket."""
        return max(0.0, self._dry_until - now)

    def ask(self) -> Want:
        """One for each who waits or twice what was spent of the last filling, but no more than the
        purse could spend in time."""
        most = max(1, math.ceil(self.want.rate.per_second * self._hold))
        wished = max(LEAST_ASKED, 2 * (self._asked - self.tokens), self.waiting)
        self._asked = min(most, wished)
        self.waiting = 0
        return self.want._replace(tokens=self._asked)

    def take_in(self, got: Got, asked_at: float) -> None:
        # What was left ran out of time, or was none.
        self.tokens = self._asked = got.tokens
        self._until = asked_at + self._hold
        self._dry_until = asked_at + got.wait


class Filling:
    """Fills the purses that ran empty while the last were filled, all in one round trip.

    Off the event loop, on a thread of its own: no batch waits behind a query.
    """

    def __init__(self) -> None:
        self._empty: dict[Purse, asyncio.Future[None]] = {}
        self._under_way: dict[Purse, asyncio.Future[None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="limits")

    async def fill(self, purse: Purse) -> float:
        """Seconds until the bucket has a token; 0 when the purse has got some."""
        now = time.monotonic()
        if purse.has_one(now):
            return 0.0  # another one filled it: once more would throw its tokens away
        if wait := purse.dry_for(now):
            return wait
        if not settings.REDIS_URL:
            (got,) = _local.take([purse.ask()], together=False)
            purse.take_in(got, time.monotonic())
            return got.wait
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._empty, self._under_way = {}, {}
            self._task = loop.create_task(self._fill_all(), context=nobodys())
        filled = self._under_way.get(purse)
        if filled is None:
            purse.waiting += 1
            filled = self._empty.setdefault(purse, loop.create_future())
        await asyncio.shield(filled)  # others wait for the same
        return purse.dry_for(time.monotonic()) if not purse.tokens else 0.0

    async def _fill_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._empty:
            batch = self._under_way = self._empty
            self._empty = {}
            asked_at = time.monotonic()
            wants = [purse.ask() for purse in batch]
            try:
                answers = await loop.run_in_executor(
                    self._thread, partial(_buckets().take, wants, together=False)
                )
                for purse, got in zip(batch, answers, strict=True):
                    purse.take_in(got, asked_at)
            finally:
                self._under_way = {}
                for filled in batch.values():
                    filled.set_result(None)


_purses: WeakValueDictionary[str, Purse] = WeakValueDictionary()
_filling = Filling()


async def _fill(empty: Sequence[Purse]) -> float:
    """Seconds until each of them has a token; 0 when they have got some."""
    if len(empty) == 1:  # nine times in ten; a task would cost as much as a prediction's limits
        return await _filling.fill(empty[0])
    # All at once: while one waited for the second, others would spend its first.
    return max(await asyncio.gather(*map(_filling.fill, empty)))


def _purse(want: Want) -> Purse:
    """The one purse of a bucket in this process: sockets of one person share theirs."""
    purse = _purses.get(want.name)
    if purse is None:
        purse = _purses[want.name] = Purse(want)
    return purse
