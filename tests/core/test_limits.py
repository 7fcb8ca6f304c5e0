"""Token buckets: never more than burst + rate · t, whoever asks at the same time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from core import limits
from core.buckets import Buckets, Got, MemoryBuckets, Meter, RedisBuckets, SharedBuckets, Want
from core.doors import DOORS, OFF, Door, Rate, parse_doors
from dadc_server.cache import RedisOrMemory
from tests.races import at_once

PROJECT = Path(__file__).resolve().parents[2]
NOWHERE = "redis://127.0.0.1:1/0"


def with_redis(test: Any) -> Any:
    """Runs where Redis is, in the part of the suite that has one."""
    without = pytest.mark.skipif(not django_settings.REDIS_URL, reason="needs Redis")
    return pytest.mark.redis(without(test))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# --- one bucket -----------------------------------------------------------------------------------
@given(
    burst=st.integers(1, 50),
    per_second=st.floats(0.1, 100),
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 9)), max_size=60),
)
def test_no_window_sees_more_than_burst_and_rate(
    burst: int, per_second: float, steps: list[tuple[float, int]]
) -> None:
    clock = Clock()
    buckets = MemoryBuckets(clock)
    taken: list[tuple[float, int]] = []
    for pause, tokens in steps:
        clock.now += pause
        got = buckets.take([Want("x", Rate(burst, per_second), tokens)], together=False)[0]
        assert got.tokens or got.wait > 0
        taken.append((clock.now, got.tokens))
    for index, (begin, _) in enumerate(taken):
        total = 0
        for at, tokens in taken[index:]:
            total += tokens
            assert total <= burst + per_second * (at - begin) + 1e-6


def test_who_has_waited_as_told_gets_one() -> None:
    clock = Clock()
    buckets = MemoryBuckets(clock)
    want = [Want("x", Rate(2, 0.5))]
    assert [buckets.take(want)[0].tokens for _ in range(3)] == [1, 1, 0]
    clock.now += buckets.take(want)[0].wait + 1e-9
    assert buckets.take(want)[0] == Got(1, 0.0)


def test_of_two_buckets_both_give_or_neither() -> None:
    buckets = MemoryBuckets(Clock())
    person, address = Want("person", Rate(9, 1)), Want("address", Rate(1, 1))
    assert [got.tokens for got in buckets.take([person, address])] == [1, 1]
    assert [got.tokens for got in buckets.take([person, address])] == [0, 0]
    assert [got.tokens for got in buckets.take([person] * 1)] == [1]
    rest = buckets.take([Want("person", Rate(9, 1), 9)], together=False)[0].tokens
    assert rest == 7, "what the address refused cost the person nothing"


def test_full_buckets_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.buckets.SWEEP_ABOVE", 10)
    clock = Clock()
    buckets = MemoryBuckets(clock)
    buckets._sweep_above = 10
    for number in range(1000):
        buckets.take([Want(str(number), Rate(1, 1))])
        clock.now += 0.2
    assert len(buckets._left) < 20


def test_a_meter_slows_down_what_is_too_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("core.buckets.time.monotonic", clock)
    meter = Meter(Rate(3, 10))
    assert [meter.count() for _ in range(3)] == [0.0] * 3
    assert meter.count() == pytest.approx(0.1)
    clock.now += 0.1
    assert meter.count() == pytest.approx(0.1)


# --- races ----------------------------------------------------------------------------------------
class Unlocked(MemoryBuckets):
    """The control: reads and writes as MemoryBuckets does, without its lock."""

    def take(self, wants: Sequence[Want], *, together: bool = True) -> list[Got]:
        (want,) = wants
        tokens = self._tokens(want, time.monotonic())
        time.sleep(0.001)
        self._left[want.name] = (tokens - 1, time.monotonic(), 0.0)
        return [Got(int(tokens >= 1), 0.0)]


def passed_in_a_race(buckets: Buckets) -> tuple[int, float]:
    """How many of 400 got through in eight threads, and in what time."""
    want = [Want("race", Rate(20, 5))]
    began = time.monotonic()
    each = at_once([lambda: sum(buckets.take(want)[0].tokens for _ in range(50))] * 8)
    return sum(each), time.monotonic() - began


def test_threads_do_not_pass_more_together() -> None:
    passed, seconds = passed_in_a_race(MemoryBuckets())
    assert 20 <= passed <= 20 + 5 * seconds


def test_without_the_lock_more_would_pass() -> None:
    passed, seconds = passed_in_a_race(Unlocked())
    assert passed > 20 + 5 * seconds + 5


RACER = """
import sys, time
from core.buckets import RedisBuckets, Want
from core.doors import Rate

url, atomic = sys.argv[1], sys.argv[2] == "atomic"
want = Want("processes", Rate(30, 5))
buckets = RedisBuckets(url)
client = buckets._client

def careless():
    "The control: reads, then writes."
    used = int(client.get("limit:careless") or 0)
    time.sleep(0.005)
    client.set("limit:careless", used + 1)
    return int(used < 30)

client.incr("limit:ready")
while int(client.get("limit:ready")) < 2:
    time.sleep(0.001)
began, passed = time.time(), 0
for _ in range(150):
    passed += buckets.take([want])[0].tokens if atomic else careless()
print(passed, began, time.time())
"""


def passed_in_two_processes(how: str) -> tuple[int, float]:
    url = django_settings.CACHES["default"]["LOCATION"]
    RedisBuckets(url)._client.delete("limit:ready", "limit:careless", "limit:processes")
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, url, how], cwd=PROJECT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [racer.communicate(timeout=30)[0].split() for racer in racers]
    seconds = max(float(end) for *_, end in said) - min(float(began) for _, began, _ in said)
    return sum(int(passed) for passed, *_ in said), seconds


@with_redis
def test_processes_do_not_pass_more_together() -> None:
    passed, seconds = passed_in_two_processes("atomic")
    assert 30 <= passed <= 30 + 5 * seconds


@with_redis
def test_processes_that_read_and_then_write_would() -> None:
    passed, _ = passed_in_two_processes("careless")
    assert passed > 35


@with_redis
def test_redis_keeps_to_the_same_arithmetic() -> None:
    buckets = RedisBuckets(django_settings.CACHES["default"]["LOCATION"])
    person, address = Want("person", Rate(9, 0.001)), Want("address", Rate(1, 0.001))
    assert [got.tokens for got in buckets.take([person, address])] == [1, 1]
    refused = buckets.take([person, address])
    assert [got.tokens for got in refused] == [0, 0]
    assert refused[1].wait == pytest.approx(1000, rel=0.01)
    assert refused[0].wait == 0
    rest = buckets.take([Want("person", Rate(9, 0.001), 20)], together=False)
    assert rest == [Got(8, 0.0)]


# --- purses ---------------------------------------------------------------------------------------
async def spent(passages: Sequence[limits.Passage], seconds: float) -> tuple[int, float]:
    """How many pass when all ask as often as they can."""
    began = time.monotonic()
    passed = 0
    while time.monotonic() < began + seconds:
        for passage in passages:
            passed += await passage.wait() == 0
        await asyncio.sleep(0)
    return passed, time.monotonic() - began


@pytest.fixture
def narrow(settings: Any) -> Door:
    door = Door(person=Rate(30, 20), address=Rate(40, 30))
    settings.LIMITS = {**DOORS, "predict": door}
    return door


async def test_a_person_with_two_pages_has_one_limit(narrow: Door) -> None:
    pages = [limits.Passage("predict", person="anna", address="10.0.0.1") for _ in range(2)]
    passed, seconds = await spent(pages, 0.5)
    assert 15 <= passed <= 30 + 20 * seconds


async def test_people_at_one_address_share_its_limit(narrow: Door) -> None:
    pages = [limits.Passage("predict", person=str(n), address="10.0.0.1") for n in range(9)]
    passed, seconds = await spent(pages, 0.5)
    assert 20 <= passed <= 40 + 30 * seconds


@with_redis
async def test_tokens_in_purses_of_other_processes_count(narrow: Door) -> None:
    pages = []
    for _ in range(3):  # a process knows its own purses only
        limits._purses.clear()
        pages.append(limits.Passage("predict", person="anna", address="10.0.0.1"))
    passed, seconds = await spent(pages, 0.5)
    assert passed <= 30 + 20 * seconds


@with_redis
async def test_strokes_seldom_ask_redis(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    take = RedisBuckets.take

    def count(self: RedisBuckets, wants: Sequence[Want], **how: Any) -> list[Got]:
        asked.append(len(wants))
        return take(self, wants, **how)

    monkeypatch.setattr(RedisBuckets, "take", count)
    pages = [limits.Passage("predict", person=str(n), address="10.0.0.1") for n in range(20)]
    for _ in range(20):
        waits = await asyncio.gather(*(page.wait() for page in pages))
        assert not any(waits)
    assert len(asked) < 200, "400 strokes"


@with_redis
async def test_a_crowd_of_one_person_s_pages_is_served_at_once() -> None:
    """Their purse is empty when all ask in the same moment, and their bucket is full."""
    pages = [limits.Passage("predict", person="anna", address="10.0.0.1") for _ in range(50)]
    assert await asyncio.gather(*(page.wait() for page in pages)) == [0.0] * 50


# --- Redis away -----------------------------------------------------------------------------------
def test_without_redis_a_process_counts_for_itself() -> None:
    buckets = SharedBuckets(NOWHERE)
    want = [Want("x", Rate(3, 0.01))]
    assert [buckets.take(want)[0].tokens for _ in range(5)] == [1, 1, 1, 0, 0]


def test_redis_is_left_alone_for_a_moment_when_it_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[object] = []

    def hang(*_: object, **__: object) -> None:
        tries.append(1)
        raise redis.TimeoutError

    monkeypatch.setattr(RedisBuckets, "take", hang)
    buckets = SharedBuckets(NOWHERE)
    for _ in range(100):
        buckets.take([Want("x", Rate(3, 1))])
    assert len(tries) == 1


async def test_a_stroke_passes_without_redis() -> None:
    caches = {"default": {**django_settings.CACHES["default"], "LOCATION": NOWHERE}}
    with override_settings(REDIS_URL=NOWHERE, CACHES=caches):
        page = limits.Passage("predict", person="anna", address="10.0.0.1")
        assert await page.wait() == 0


def test_wrong_passwords_are_counted_without_redis() -> None:
    cache = RedisOrMemory(NOWHERE, {})
    assert cache.add("tries", 1)
    assert not cache.add("tries", 1)
    cache.set("tries", 2)
    assert cache.get("tries") == 2


@with_redis
def test_wrong_passwords_are_counted_for_all_processes() -> None:
    """Each with a client of its own, as two processes have."""
    url = django_settings.CACHES["default"]["LOCATION"]
    one, other = RedisOrMemory(url, {}), RedisOrMemory(url, {})
    assert one.add("tries:lock", True)
    assert not other.add("tries:lock", True)
    one.set("tries", [1.0])
    assert other.get("tries") == [1.0]


# --- the setting ----------------------------------------------------------------------------------
def test_the_setting_changes_single_doors() -> None:
    doors = parse_doors("submit=5/0.5 vote@address=7/8")
    assert doors["submit"] == Door(person=Rate(5, 0.5), address=DOORS["submit"].address)
    assert doors["vote"] == Door(person=DOORS["vote"].person, address=Rate(7, 8))
    assert doors["predict"] == DOORS["predict"]
    assert parse_doors("") == DOORS
    assert parse_doors("off") == OFF


@pytest.mark.parametrize(
    "text", ["gate=1/1", "submit", "submit=1", "submit=0/1", "submit=1/0", "submit@person=1/1"]
)
def test_a_setting_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        parse_doors(text)


async def test_a_crowd_that_comes_at_once_passes_an_open_door() -> None:
    """A class behind one address: nobody is told to wait because others took what was fetched."""
    people = [limits.Passage("predict", person=f"pupil-{n}", address="school") for n in range(300)]
    for _ in range(3):
        assert not any(await asyncio.gather(*(person.wait() for person in people)))
