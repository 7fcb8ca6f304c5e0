"""Token buckets, exact under races: in the memory of a process, or one for all in Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import redis
import structlog

from core.doors import Rate

log = structlog.get_logger(__name__)

SWEEP_ABOVE = 10_000  # buckets in memory before those that are full again are forgotten
REDIS_TIMEOUT = 0.25
LEAVE_ALONE = 1.0  # seconds in which Redis is not asked again after it did not answer


class Want(NamedTuple):
    """So many tokens of one bucket."""

    name: str
    rate: Rate
    tokens: int = 1


class Got(NamedTuple):
    """How many of them there were, and the seconds until the next one when there were none."""

    tokens: int
    wait: float


class Buckets(Protocol):
    def take(self, wants: Sequence[Want], *, together: bool = True) -> list[Got]:
        """Take what each bucket has of what is wanted; `together`: all of everything, or nothing.

        From a bucket never more than `burst + per_second · t` are taken in any t seconds.
        """
        ...


class MemoryBuckets:
    """Buckets of this process, behind one lock that is held for microseconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float, float]] = {}  # tokens, read at, full again at
        self._sweep_above = SWEEP_ABOVE

    def take(self, wants: Sequence[Want], *, together: bool = True) -> list[Got]:
        with self._lock:
            now = self._clock()
            left = [self._tokens(want, now) for want in wants]
            got = [min(want.tokens, int(has)) for want, has in zip(wants, left, strict=True)]
            if together and any(n < want.tokens for n, want in zip(got, wants, strict=True)):
                got = [0] * len(wants)
            for want, has, n in zip(wants, left, got, strict=True):
                rest = has - n
                full_at = now + (want.rate.burst - rest) / want.rate.per_second
                self._left[want.name] = (rest, now, full_at)
            if len(self._left) > self._sweep_above:
                self._sweep(now)
        return [
            Got(n, 0.0 if n else _seconds_until(want.tokens if together else 1, has, want.rate))
            for want, has, n in zip(wants, left, got, strict=True)
        ]

    def clear(self) -> None:
        """Fill every bucket (tests)."""
        with self._lock:
            self._left.clear()

    def _tokens(self, want: Want, now: float) -> float:
        tokens, at, _ = self._left.get(want.name, (want.rate.burst, now, now))
        return min(want.rate.burst, tokens + (now - at) * want.rate.per_second)

    def _sweep(self, now: float) -> None:
        """Forget the buckets that are full again, which loses nothing."""
        self._left = {name: left for name, left in self._left.items() if left[2] > now}
        self._sweep_above = max(SWEEP_ABOVE, 2 * len(self._left))


def _seconds_until(tokens: int, has: float, rate: Rate) -> float:
    return max(0.0, (tokens - has) / rate.per_second)


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


# One script is one step for every process. The clock is Redis', so that hosts may differ in theirs.
_TAKE = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local together = ARGV[1] == '1'
local has, got, enough = {}, {}, true
for i, name in ipairs(KEYS) do
  local burst, rate = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local want = tonumber(ARGV[3 * i + 1])
  local known = redis.call('HMGET', name, 'tokens', 'at')
  has[i] = burst
  if known[1] then
    has[i] = math.min(burst, tonumber(known[1]) + math.max(0, now - tonumber(known[2])) * rate)
  end
  got[i] = math.min(want, math.floor(has[i]))
  if got[i] < want then enough = false end
end
local answer = {}
for i, name in ipairs(KEYS) do
  if together and not enough then got[i] = 0 end
  local burst, rate = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local rest = has[i] - got[i]
  redis.call('HSET', name, 'tokens', string.format('%.9f', rest), 'at', string.format('%.6f', now))
  redis.call('PEXPIRE', name, math.ceil((burst - rest) / rate * 1000) + 1000)
  answer[2 * i - 1] = got[i]
  answer[2 * i] = string.format('%.9f', has[i])
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

    def take(self, wants: Sequence[Want], *, together: bool = True) -> list[Got]:
        arguments: list[Any] = [int(together)]
        for want in wants:
            arguments += [want.rate.burst, want.rate.per_second, want.tokens]
        answer = self._take(keys=[f"limit:{want.name}" for want in wants], args=arguments)
        return [
            Got(
                int(n),
                0.0 if n else _seconds_until(want.tokens if together else 1, float(has), want.rate),
            )
            for want, n, has in zip(wants, answer[::2], answer[1::2], strict=True)
        ]


class SharedBuckets:
    """Redis' buckets, and while it does not answer those of this process: open, but bounded.

    With n processes a person then gets n times as much, for as long as Redis is away.
    """

    def __init__(self, url: str) -> None:
        self._shared = RedisBuckets(url)
        self._own = MemoryBuckets()
        self._ask_again_at = 0.0
        self._away = False

    def take(self, wants: Sequence[Want], *, together: bool = True) -> list[Got]:
        if time.monotonic() >= self._ask_again_at:
            try:
                got = self._shared.take(wants, together=together)
            except redis.RedisError as error:
                self._ask_again_at = time.monotonic() + LEAVE_ALONE
                if not self._away:
                    self._away = True
                    log.warning("limits_are_local", reason=type(error).__name__)
            else:
                if self._away:
                    self._away = False
                    log.info("limits_are_shared_again")
                return got
        return self._own.take(wants, together=together)
