"""Who may pass a door now: a token bucket for each person and for each address, exact under races.

What is written is counted in Redis, where there is one, for all processes at once. A round trip for
each prediction would be 180 µs: what only asks is counted in the memory of the process it came to.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, Protocol

import redis
import structlog
from django.conf import settings

from core.doors import Rate

log = structlog.get_logger(__name__)

IN_MEMORY = {"predict", "sandbox-predict", "connect"}
USUAL_SECONDS = (
    0.00025  # a quarter of what a usual input takes: large ones shall cost more than they do
)
HEAVY_OF_PERSON = 1  # at once, for they are read one after the other: nobody fills the queue
HEAVY_OF_ADDRESS = 4
SWEEP_ABOVE = 10_000  # buckets in memory before those that are full again are forgotten
REDIS_TIMEOUT = 0.25
LEAVE_ALONE = 1.0  # seconds in which Redis is not asked again after it did not answer


class Want(NamedTuple):
    """One token of a bucket."""

    name: str
    rate: Rate


class Passage:
    """The way of one person and one address through a door; for thousands of passages a second."""

    def __init__(self, door: str, *, person: str = "", address: str = "") -> None:
        rates = settings.LIMITS[door]
        self._heavy = {person: HEAVY_OF_PERSON} if person else {}
        if address:
            self._heavy[f"@{address}"] = HEAVY_OF_ADDRESS
        self._wants = [Want(f"{door}:{person}", rates.person)] if person else []
        if address:
            self._wants.append(Want(f"{door}@{address}", rates.address))
        self._buckets = _local if door in IN_MEMORY else _shared()

    def wait(self) -> float:
        """Seconds until both may pass; 0 when they may now, and then it is counted."""
        return self._buckets.take(self._wants)

    def charge(self, seconds: float) -> None:
        """Count work that took so long as the passages in whose time it could have been done.

        Afterwards, for nobody knows before: whoever owes waits until it is paid. Only for doors
        that are counted in memory.
        """
        _local.charge(self._wants, seconds / USUAL_SECONDS)

    def begin(self) -> bool:
        """Whether heavy work of theirs may begin in this process; then it is counted until `end`.

        Charged when it is done, it would else be as much as may be asked for meanwhile.
        """
        return _under_way.begin(self._heavy)

    def end(self) -> None:
        _under_way.end(self._heavy)


def wait_for(door: str, *, person: str = "", address: str = "") -> float:
    """`Passage.wait`, once; for writes one round trip to Redis, for which the thread waits."""
    return Passage(door, person=person, address=address).wait()


def forget_limits() -> None:
    """Fill this process' buckets (tests)."""
    _shared.cache_clear()
    _local.clear()


class Buckets(Protocol):
    def take(self, wants: Sequence[Want]) -> float:
        """Take a token of each, or none: then the seconds until there is one of each.

        From a bucket never more than `burst + per_second · t` are taken in any t seconds.
        """
        ...


class MemoryBuckets:
    """Buckets of this process, behind one lock that is held for microseconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float, Rate]] = {}  # tokens, and when that was
        self._sweep_above = SWEEP_ABOVE

    def take(self, wants: Sequence[Want]) -> float:
        with self._lock:
            now = self._clock()
            left = [self._tokens(want, now) for want in wants]
            if min(left, default=1.0) < 1:
                return _longest_wait(wants, left)
            for (name, rate), has in zip(wants, left, strict=True):
                self._left[name] = (has - 1, now, rate)
            if len(self._left) > self._sweep_above:
                self._sweep(now)
        return 0.0

    def charge(self, wants: Sequence[Want], tokens: float) -> None:
        """Take so many tokens of each, whether they are there or not; at most a burst is owed."""
        with self._lock:
            now = self._clock()
            for want in wants:
                left = self._tokens(want, now) - tokens
                self._left[want.name] = (max(left, -want.rate.burst), now, want.rate)

    def clear(self) -> None:
        """Fill every bucket (tests)."""
        with self._lock:
            self._left.clear()

    def _tokens(self, want: Want, now: float) -> float:
        name, rate = want
        tokens, at, _ = self._left.get(name, (rate.burst, now, rate))
        return min(rate.burst, tokens + (now - at) * rate.per_second)

    def _sweep(self, now: float) -> None:
        """Forget the buckets that are full again, which loses nothing."""
        self._left = {
            name: (tokens, at, rate)
            for name, (tokens, at, rate) in self._left.items()
            if tokens + (now - at) * rate.per_second < rate.burst
        }
        self._sweep_above = max(SWEEP_ABOVE, 2 * len(self._left))


def _longest_wait(wants: Sequence[Want], left: Sequence[float]) -> float:
    """Seconds until each has a token; 0 when they have."""
    seconds = [(1 - has) / want.rate.per_second for want, has in zip(wants, left, strict=True)]
    return max([0.0, *seconds])


class UnderWay:
    """How much of each name is under way, of which there are at most so many at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def begin(self, most: Mapping[str, int]) -> bool:
        with self._lock:
            if any(self._counts[name] >= bound for name, bound in most.items()):
                return False
            self._counts.update(most.keys())
            return True

    def end(self, names: Iterable[str]) -> None:
        with self._lock:
            for name in names:
                self._counts[name] -= 1
                if not self._counts[name]:
                    del self._counts[name]


class Meter:
    """How fast one thing goes; of one thread, and it counts also what comes too fast."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._at = time.monotonic()

    def count(self) -> float:
        """Seconds to pause after this one so that the rate is kept; 0 within the burst."""
        now = time.monotonic()
        rate = self._rate
        self._tokens = min(rate.burst, self._tokens + (now - self._at) * rate.per_second) - 1
        self._at = now
        return 0.0 if self._tokens >= 0 else -self._tokens / rate.per_second


# --- for all processes ----------------------------------------------------------------------------
# One script is one step for every process. The clock is Redis', so that hosts may differ in theirs.
_TAKE = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local has, answer, enough = {}, {}, true
for i, name in ipairs(KEYS) do
  local burst, rate = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local known = redis.call('HMGET', name, 'tokens', 'at')
  has[i] = burst
  if known[1] then
    has[i] = math.min(burst, tonumber(known[1]) + math.max(0, now - tonumber(known[2])) * rate)
  end
  answer[i] = string.format('%.9f', has[i])
  if has[i] < 1 then enough = false end
end
if not enough then return answer end
for i, name in ipairs(KEYS) do
  local burst, rate = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local rest = has[i] - 1
  redis.call('HSET', name, 'tokens', string.format('%.9f', rest), 'at', string.format('%.6f', now))
  redis.call('PEXPIRE', name, math.ceil((burst - rest) / rate * 1000) + 1000)
end
return answer
"""


class RedisBuckets:
    """Buckets that all processes of all hosts share; raises redis.RedisError."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(
            url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT
        )
        self._take = self._client.register_script(_TAKE)

    def take(self, wants: Sequence[Want]) -> float:
        rates: list[Any] = [n for want in wants for n in (want.rate.burst, want.rate.per_second)]
        left = self._take(keys=[f"limit:{want.name}" for want in wants], args=rates)
        return _longest_wait(wants, list(map(float, left)))


class SharedBuckets:
    """Redis' buckets, and while it does not answer those of this process: open, but bounded.

    With n processes a person then gets n times as much, for as long as Redis is away.
    """

    def __init__(self, url: str) -> None:
        self._shared = RedisBuckets(url)
        self._own = MemoryBuckets()
        self._ask_again_at = 0.0
        self._away = False

    def take(self, wants: Sequence[Want]) -> float:
        if time.monotonic() >= self._ask_again_at:
            try:
                wait = self._shared.take(wants)
            except redis.RedisError as error:
                self._ask_again_at = time.monotonic() + LEAVE_ALONE
                if not self._away:
                    self._away = True
                    log.warning("limits_are_local", reason=type(error).__name__)
            else:
                if self._away:
                    self._away = False
                    log.info("limits_are_shared_again")
                return wait
        return self._own.take(wants)


_local = MemoryBuckets()
_under_way = UnderWay()


@cache
def _shared() -> Buckets:
    # Beside the cache: whoever empties the one empties the other.
    return SharedBuckets(settings.CACHES["default"]["LOCATION"]) if settings.REDIS_URL else _local
