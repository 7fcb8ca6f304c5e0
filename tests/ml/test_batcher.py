"""The batcher's promises one by one; tests/ml/test_batcher_properties.py mixes them."""

import asyncio
import gc
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from ml import batcher as batcher_module
from ml.batcher import Batcher, BatchFailed, Busy, Closed, Late, PredictionCache


class Doubler:
    """A run that doubles, holds while its gate is shut, and remembers the batches it saw."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.entered.set()
        assert self.gate.wait(30)
        return [2 * item for item in items]

    async def occupied(self) -> None:
        """Wait until a batch is inside."""
        assert await asyncio.to_thread(self.entered.wait, 30)


@pytest.fixture
def doubler():
    run = Doubler()
    yield run
    run.gate.set()


@pytest.fixture
def make():
    """Make batchers that are closed after the test, and do all that is asked of them."""
    made: list[Batcher] = []

    def _make(run, **options):
        made.append(Batcher(run, **options))
        return made[-1]

    yield _make
    for batcher in made:
        batcher.close()
    for batcher in made:
        ended(batcher)


def until(is_so: Callable[[], bool]) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def ended(batcher: Batcher) -> None:
    """Wait until nothing waits and nothing runs."""
    until(lambda: batcher.is_idle)


async def held(batcher: Batcher, run: Doubler, items: Sequence[int]) -> list[asyncio.Task]:
    """Tasks of items that wait behind a batch of the item 0, which the shut gate holds."""
    run.gate.clear()
    first = asyncio.create_task(batcher.submit(0))
    await run.occupied()
    others = [asyncio.create_task(batcher.submit(item)) for item in items]
    await asyncio.sleep(0)
    return [first, *others]


async def test_a_lone_item_is_answered_at_once_in_a_batch_of_its_own(make, doubler):
    assert await make(doubler).submit(21) == 42
    assert doubler.batches == [[21]]


async def test_what_queued_during_a_batch_is_the_next_batch(make, doubler):
    batcher = make(doubler)
    tasks = await held(batcher, doubler, [1, 2, 3])
    doubler.gate.set()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6]
    assert doubler.batches == [[0], [1, 2, 3]]


async def test_a_batch_is_capped_and_first_come_is_first_served(make, doubler):
    batcher = make(doubler, max_batch=4)
    tasks = await held(batcher, doubler, range(1, 11))
    doubler.gate.set()
    await asyncio.gather(*tasks)
    assert doubler.batches == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


async def test_a_full_queue_is_busy_until_there_is_room(make, doubler):
    batcher = make(doubler, max_queue=3)
    tasks = await held(batcher, doubler, [1, 2, 3])
    with pytest.raises(Busy, match="3 items wait already") as refused:
        await batcher.submit(4)
    assert 20 <= refused.value.retry_ms <= 5_000
    doubler.gate.set()
    await asyncio.gather(*tasks)
    assert await batcher.submit(4) == 8


async def test_a_longer_wait_is_told_when_a_batch_hangs(make, doubler, monkeypatch):
    batcher = make(doubler, max_batch=1, max_queue=2)
    tasks = await held(batcher, doubler, [1, 2])
    now = batcher_module.time.monotonic()
    monkeypatch.setattr(batcher_module.time, "monotonic", lambda: now + 0.7)
    with pytest.raises(Busy) as refused:
        await batcher.submit(3)
    monkeypatch.undo()
    assert 1_400 <= refused.value.retry_ms <= 5_000
    doubler.gate.set()
    await asyncio.gather(*tasks)


async def test_a_cancelled_waiter_is_dropped_before_the_batch_and_makes_room(make, doubler):
    batcher = make(doubler, max_queue=3)
    tasks = await held(batcher, doubler, [1, 2, 3])
    tasks[2].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[2]
    assert batcher.waiting == 2
    late_comer = asyncio.create_task(batcher.submit(4))
    await asyncio.sleep(0)
    doubler.gate.set()
    assert await asyncio.gather(tasks[0], tasks[1], tasks[3], late_comer) == [0, 2, 6, 8]
    assert doubler.batches == [[0], [1, 3, 4]]


async def test_a_caller_cancelled_during_its_batch_disturbs_nobody(make, doubler, caplog):
    def run(items):
        if len(items) > 1:
            doubler.gate.clear()
        return doubler(items)

    batcher = make(run)
    tasks = await held(batcher, doubler, [1, 2])
    doubler.gate.set()
    while [1, 2] not in doubler.batches:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    tasks[1].cancel()
    doubler.gate.set()
    assert await asyncio.wait_for(tasks[2], 10) == 4
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert await batcher.submit(5) == 10
    assert caplog.text == ""


async def test_an_item_cancelled_as_the_batch_forms_is_not_run(make, doubler):
    tasks = await held(make(doubler), doubler, [1, 2])
    tasks[1].cancel()
    doubler.entered.clear()
    doubler.gate.set()
    assert doubler.entered.wait(10)  # blocks this loop, so the caller has had no turn to leave
    assert await asyncio.gather(tasks[0], tasks[2]) == [0, 4]
    assert doubler.batches == [[0], [2]]


async def test_an_item_cancelled_while_others_are_run_again_is_not(make, doubler):
    def run(items):
        doubled = doubler(items)
        if len(items) > 1:
            doubler.gate.clear()
            doubler.entered.clear()
            raise ValueError("not together")
        return doubled

    tasks = await held(make(run), doubler, [1, 2, 3])
    doubler.gate.set()
    while [1] not in doubler.batches:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    tasks[2].cancel()
    doubler.gate.set()
    assert await asyncio.gather(tasks[0], tasks[1], tasks[3]) == [0, 2, 6]
    assert doubler.batches == [[0], [1, 2, 3], [1], [3]]


async def test_an_item_past_its_deadline_is_late_and_dropped(make, doubler):
    batcher = make(doubler)
    tasks = await held(batcher, doubler, [1])
    with pytest.raises(Late, match=r"no answer within 0\.01 s"):
        await batcher.submit(2, timeout=0.01)
    doubler.gate.set()
    assert await asyncio.gather(*tasks) == [0, 2]
    assert doubler.batches == [[0], [1]]


async def test_a_thread_joins_the_batches_and_is_late_like_others(make, doubler):
    batcher = make(doubler)
    tasks = await held(batcher, doubler, [1])
    thread = asyncio.create_task(asyncio.to_thread(batcher.ask, 2, timeout=30))
    await asyncio.to_thread(until, lambda: batcher.waiting == 2)
    with pytest.raises(Late, match=r"no answer within 0\.01 s"):
        await asyncio.to_thread(batcher.ask, 3, timeout=0.01)
    doubler.gate.set()
    assert await asyncio.gather(*tasks, thread) == [0, 2, 4]
    assert doubler.batches == [[0], [1, 2]]


async def test_a_run_that_timed_out_is_no_late_thread(make):
    def runs(items):
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        await asyncio.to_thread(make(runs).ask, 1, timeout=30)


async def test_a_hanging_run_makes_its_own_item_late(make, doubler):
    batcher = make(doubler)
    doubler.gate.clear()
    hanging = asyncio.create_task(batcher.submit(1, timeout=0.3))
    await doubler.occupied()
    with pytest.raises(TimeoutError):
        await hanging
    assert batcher.running_for > 0
    doubler.gate.set()
    assert await batcher.submit(2, timeout=30) == 4


async def test_an_exception_in_an_items_place_fails_that_item_alone(make):
    def run(items):
        return [ValueError(f"bad {item}") if item == 2 else item for item in items]

    batcher = make(run)
    answers = await asyncio.gather(*map(batcher.submit, range(4)), return_exceptions=True)
    assert answers[:2] + answers[3:] == [0, 1, 3]
    assert isinstance(answers[2], ValueError)


async def test_a_batch_that_raises_is_run_again_one_by_one(make, doubler):
    def run(items):
        doubled = doubler(items)
        if 2 in items:
            raise ZeroDivisionError("item 2")
        return doubled

    batcher = make(run)
    tasks = await held(batcher, doubler, [1, 2, 3])
    doubler.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert answers[:2] + answers[3:] == [0, 2, 6]
    assert isinstance(answers[2], ZeroDivisionError)
    assert doubler.batches == [[0], [1, 2, 3], [1], [2], [3]]


@pytest.mark.parametrize("outputs", [[], [1, 2]])
async def test_a_wrong_number_of_outputs_fails(make, outputs):
    batcher = make(lambda items: outputs, name="miscounter")
    with pytest.raises(BatchFailed, match=r"miscounter returned \d outputs for 1 items"):
        await batcher.submit(1)


async def test_a_wrong_number_of_outputs_never_gives_one_item_anothers_answer(make, doubler):
    def run(items):
        return doubler(items)[: 1 if len(items) > 1 else None]

    tasks = await held(make(run), doubler, [1, 2, 3])
    doubler.gate.set()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), StopIteration(7)])
async def test_a_run_that_exits_is_an_error_and_the_thread_lives_on(make, error):
    def run(items):
        if items[0] == "exit":
            raise error
        return items

    batcher = make(run)
    with pytest.raises(BatchFailed, match=type(error).__name__) as failed:
        await batcher.submit("exit")
    assert failed.value.__cause__ is error
    assert await batcher.submit("stay") == "stay"


async def test_closing_answers_who_waits_and_refuses_who_comes(make, doubler):
    batcher = make(doubler)
    tasks = await held(batcher, doubler, [1, 2])
    batcher.close()
    with pytest.raises(Closed):
        await batcher.submit(3)
    doubler.gate.set()
    assert await asyncio.gather(*tasks) == [0, 2, 4]


def test_event_loops_share_one_batcher(make, doubler):
    batcher = make(doubler)
    answers: dict[int, list[int]] = {}

    async def ask(start: int) -> list[int]:
        return await asyncio.gather(*map(batcher.submit, range(start, start + 50)))

    def loop(start: int) -> None:
        answers[start] = asyncio.run(ask(start))

    threads = [threading.Thread(target=loop, args=(start,)) for start in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {
        start: [2 * item for item in range(start, start + 50)] for start in (0, 100, 200)
    }


def test_a_loop_that_ended_before_its_answer_harms_nobody(make, doubler):
    batcher = make(doubler)

    async def leave() -> None:
        await held(batcher, doubler, [1])

    asyncio.run(leave())
    doubler.gate.set()
    assert asyncio.run(batcher.submit(2)) == 4


def test_an_idle_batcher_keeps_no_thread_no_item_and_no_self(monkeypatch):
    monkeypatch.setattr(batcher_module, "IDLE_SECONDS", 0.01)
    batcher = Batcher(lambda items: [item.size for item in items], name="short-lived")
    image = np.zeros(7)
    references = weakref.ref(image), weakref.ref(batcher)
    for _ in range(2):
        assert asyncio.run(batcher.submit(image)) == 7
        for thread in threading.enumerate():
            if thread.name == "short-lived":
                thread.join(10)
                assert not thread.is_alive()
    del image, batcher
    gc.collect()
    assert [reference() for reference in references] == [None, None]


async def test_a_failure_that_nobody_waits_for_is_not_logged(make, doubler, caplog):
    def run(items):
        doubler(items)
        raise ValueError("nobody hears this")

    batcher = make(run)
    tasks = await held(batcher, doubler, [])
    doubler.gate.set()
    while batcher.running_for:  # noqa: ASYNC110
        await asyncio.sleep(0)
    # The failure is on its way to this loop; the caller is cancelled in the same turn of it.
    asyncio.get_running_loop().call_soon(tasks[0].cancel)
    with caplog.at_level(logging.ERROR), pytest.raises((asyncio.CancelledError, ValueError)):
        await tasks[0]
    del tasks
    gc.collect()
    assert caplog.text == ""


@pytest.mark.parametrize("options", [{"max_batch": 0}, {"max_queue": 0}])
def test_limits_must_be_positive(doubler, options):
    with pytest.raises(ValueError, match="at least 1"):
        Batcher(doubler, **options)


def test_the_cache_forgets_what_was_used_longest_ago():
    cache = PredictionCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority")
def test_what_takes_long_runs_behind_the_rest_of_its_process(make):
    def niceness(items: Sequence[int]) -> list[int]:
        return [os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) for _ in items]

    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert make(niceness).ask(0) == own
    assert make(niceness, behind=True).ask(0) == min(own + batcher_module.LESS, 19)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own
