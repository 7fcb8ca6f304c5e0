"""Token buckets: never more than burst + rate · t, whoever asks at the same time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from hypothesis import given
from hypothesis import strategies as st

from core import limits
from core.doors import DOORS, OFF, Door, Rate, parse_doors
from core.limits import Buckets, MemoryBuckets, Meter, RedisBuckets, SharedBuckets, Want
from dadc_server.web.cache import RedisOrMemory
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
    pauses=st.lists(st.floats(0, 3), max_size=120),
)
def test_no_window_sees_more_than_burst_and_rate(
    burst: int, per_second: float, pauses: list[float]
) -> None:
    clock = Clock()
    buckets = MemoryBuckets(clock)
    passed: list[float] = []
    for pause in pauses:
        clock.now += pause
        if not buckets.take([Want("x", Rate(burst, per_second))]):
            passed.append(clock.now)
    for index, begin in enumerate(passed):
        for number, at in enumerate(passed[index:], start=1):
            assert number <= burst + per_second * (at - begin) + 1e-6


def test_who_has_waited_as_told_gets_one() -> None:
    clock = Clock()
    buckets = MemoryBuckets(clock)
    want = [Want("x", Rate(2, 0.5))]
    assert [buckets.take(want) for _ in range(3)] == [0, 0, 2]
    clock.now += 2
    assert buckets.take(want) == 0
    clock.now += 1_000
    assert [buckets.take(want) for _ in range(3)] == [0, 0, 2], "no more than the burst"


def keeps_to_both_or_neither(buckets: Buckets) -> None:
    person, address = Want("person", Rate(9, 0.001)), Want("address", Rate(1, 0.001))
    assert buckets.take([person, address]) == 0
    assert buckets.take([person, address]) == pytest.approx(1000, rel=0.01)
    waits = [buckets.take([person]) for _ in range(9)]
    assert waits[:8] == [0] * 8, "what the address refused cost the person nothing"
    assert waits[8] > 0


def test_of_two_buckets_both_give_or_neither() -> None:
    keeps_to_both_or_neither(MemoryBuckets())


def test_full_buckets_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.limits.SWEEP_ABOVE", 10)
    clock = Clock()
    buckets = MemoryBuckets(clock)
    for number in range(1000):
        buckets.take([Want(str(number), Rate(1, 1))])
        clock.now += 0.2
    assert len(buckets._left) < 20


def test_a_meter_slows_down_what_is_too_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("core.limits.time.monotonic", clock)
    meter = Meter(Rate(3, 10))
    assert [meter.count() for _ in range(3)] == [0.0] * 3
    assert meter.count() == pytest.approx(0.1)
    clock.now += 0.1
    assert meter.count() == pytest.approx(0.1)


# --- races ----------------------------------------------------------------------------------------
class Unlocked(MemoryBuckets):
    """The control: reads and writes as MemoryBuckets does, without its lock."""

    def take(self, wants: Sequence[Want]) -> float:
        (want,) = wants
        tokens = self._tokens(want, time.monotonic())
        time.sleep(0.001)
        self._left[want.name] = (tokens - 1, time.monotonic(), want.rate)
        return float(tokens < 1)


def passed_in_a_race(buckets: Buckets) -> tuple[int, float]:
    """How many of 400 got through in eight threads, and in what time."""
    want = [Want("race", Rate(20, 5))]
    began = time.monotonic()
    each = at_once([lambda: sum(not buckets.take(want) for _ in range(50))] * 8)
    return sum(each), time.monotonic() - began


def test_threads_do_not_pass_more_together() -> None:
    passed, seconds = passed_in_a_race(MemoryBuckets())
    assert 20 <= passed <= 20 + 5 * seconds


def test_without_the_lock_more_would_pass() -> None:
    passed, seconds = passed_in_a_race(Unlocked())
    assert passed > 20 + 5 * seconds + 5


RACER = """
import sys, time
from core.doors import Rate
from core.limits import RedisBuckets, Want

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
    passed += (not buckets.take([want])) if atomic else careless()
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
    keeps_to_both_or_neither(RedisBuckets(django_settings.CACHES["default"]["LOCATION"]))


# --- strokes --------------------------------------------------------------------------------------
def passed_in(seconds: float, passages: Sequence[limits.Passage]) -> tuple[int, float]:
    """How many pass when all ask as often as they can."""
    began = time.monotonic()
    passed = 0
    while time.monotonic() < began + seconds:
        passed += sum(passage.wait() == 0 for passage in passages)
    return passed, time.monotonic() - began


@pytest.fixture
def narrow(settings: Any) -> None:
    settings.LIMITS = {**DOORS, "predict": Door(person=Rate(30, 20), address=Rate(40, 30))}


def test_a_person_with_two_pages_has_one_limit(narrow: None) -> None:
    pages = [limits.Passage("predict", person="anna", address="10.0.0.1") for _ in range(2)]
    passed, seconds = passed_in(0.2, pages)
    assert 30 <= passed <= 30 + 20 * seconds


def test_people_at_one_address_share_its_limit(narrow: None) -> None:
    pages = [limits.Passage("predict", person=str(n), address="10.0.0.1") for n in range(9)]
    passed, seconds = passed_in(0.2, pages)
    assert 40 <= passed <= 40 + 30 * seconds


@with_redis
def test_only_what_is_written_asks_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> float:
        return 7.0

    monkeypatch.setattr(RedisBuckets, "take", refuse)
    assert limits.wait_for("submit", person="anna", address="10.0.0.1") == 7
    for door in ("predict", "sandbox-predict", "connect"):
        assert limits.wait_for(door, person="anna", address="10.0.0.1") == 0


# --- Redis away -----------------------------------------------------------------------------------
def test_without_redis_a_process_counts_for_itself() -> None:
    buckets = SharedBuckets(NOWHERE)
    want = [Want("x", Rate(3, 0.01))]
    assert [buckets.take(want) == 0 for _ in range(5)] == [True, True, True, False, False]


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
