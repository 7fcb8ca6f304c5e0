"""The circuit breaker: a hanging run is left behind, tried anew after a pause, and comes back."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

import pytest

from ml import breaker as breaker_module
from ml.batcher import Late
from ml.breaker import Breaker, Unavailable

HANG = 0.25  # long beside what a busy machine takes to wake somebody
PAUSE = 0.1


class Run:
    """A run that hangs while its gate is shut."""

    def __init__(self) -> None:
        self.gate = self._stuck = threading.Event()
        self.gate.set()
        self.threads: set[int] = set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.threads.add(threading.get_ident())
        self.gate.wait(30)
        return [2 * item for item in items]

    def let_others_pass(self) -> None:
        """Leave the run that is inside where it hangs, and hold no other."""
        self._stuck, self.gate = self.gate, threading.Event()
        self.gate.set()

    def end(self) -> None:
        self._stuck.set()
        self.gate.set()


@pytest.fixture
def run() -> Iterator[Run]:
    run = Run()
    yield run
    run.end()


def breaker_of(run: Callable[[Sequence[int]], list[int]]) -> Breaker[int, int]:
    return Breaker(run, hang_after=HANG, first_pause=PAUSE)


async def open_circuit(breaker: Breaker[int, int], run: Run) -> Unavailable:
    run.gate.clear()
    with pytest.raises(Late):
        await breaker.submit(1, timeout=2 * HANG)
    with pytest.raises(Unavailable) as refused:
        await breaker.submit(2, timeout=30)
    return refused.value


async def seconds_of(awaitable: Awaitable[object]) -> float:
    began = time.monotonic()
    await asyncio.gather(awaitable, return_exceptions=True)
    return time.monotonic() - began


async def test_a_run_that_hangs_refuses_at_once_and_says_until_when(run: Run) -> None:
    breaker = breaker_of(run)
    assert await breaker.submit(1, timeout=30) == 2
    refused = await open_circuit(breaker, run)
    assert 0 < refused.retry_ms <= PAUSE * 1000 + 1
    assert await seconds_of(breaker.submit(3, timeout=30)) < 1


async def test_it_comes_back_by_itself_on_a_new_thread(run: Run) -> None:
    breaker = breaker_of(run)
    refused = await open_circuit(breaker, run)
    run.let_others_pass()
    await asyncio.sleep(refused.retry_ms / 1000)
    assert await breaker.submit(4, timeout=30) == 8
    assert len(run.threads) == 2
    assert await asyncio.gather(*(breaker.submit(n, timeout=30) for n in range(50))) == [
        2 * n for n in range(50)
    ]


async def test_while_one_item_is_tried_the_others_do_not_queue_behind_it(run: Run) -> None:
    breaker = breaker_of(run)
    refused = await open_circuit(breaker, run)
    await asyncio.sleep(refused.retry_ms / 1000)
    trial = asyncio.create_task(breaker.submit(5, timeout=30))
    await asyncio.sleep(HANG / 2)
    with pytest.raises(Unavailable):
        await breaker.submit(6, timeout=30)
    run.gate.set()
    assert await trial == 10


async def test_pauses_double_and_threads_that_hang_stay_few(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker_module, "MOST_HANGING", 2)
    breaker = breaker_of(run)
    first = await open_circuit(breaker, run)
    await asyncio.sleep(first.retry_ms / 1000)
    with pytest.raises(Late):
        await breaker.submit(7, timeout=2 * HANG)
    with pytest.raises(Unavailable) as second:
        await breaker.submit(8, timeout=30)
    assert second.value.retry_ms > PAUSE * 1000
    await asyncio.sleep(second.value.retry_ms / 1000)
    with pytest.raises(Unavailable):
        await breaker.submit(9, timeout=30)
    assert len(run.threads) == 2


async def test_an_error_is_no_hanging(run: Run) -> None:
    def fail(_: Sequence[int]) -> list[int]:
        raise ValueError("no")

    breaker = breaker_of(fail)
    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            await breaker.submit(1, timeout=30)


class Gone(Exception):
    """What is asked is on no machine."""


async def test_what_is_away_is_asked_once_a_pause_until_it_is_back() -> None:
    asked, away = [], True

    def run(items: Sequence[int]) -> list[int]:
        asked.extend(items)
        if away:
            raise Gone
        return [2 * item for item in items]

    breaker: Breaker[int, int] = Breaker(
        run, hang_after=30, first_pause=PAUSE, away=Gone, max_batch=1, lanes=2
    )
    for _ in range(2):
        with pytest.raises(Gone):
            await breaker.submit(1, timeout=30)
        with pytest.raises(Unavailable) as refused:
            await breaker.submit(2, timeout=30)
        assert refused.value.retry_ms <= 1000 * 2 * PAUSE + 1, "the pause is doubled, not more"
        await asyncio.sleep(refused.value.retry_ms / 1000)
    assert asked == [1, 1], "nobody else was tried"
    away = False
    assert await breaker.submit(3, timeout=30) == 6
    assert await asyncio.gather(*(breaker.submit(n, timeout=30) for n in range(4))) == [0, 2, 4, 6]


async def test_lanes_run_beside_each_other(run: Run) -> None:
    """Two wait for another machine at once, and a third for one of them."""
    breaker: Breaker[int, int] = Breaker(run, hang_after=30, max_batch=1, lanes=2)
    run.gate.clear()
    three = [asyncio.create_task(breaker.submit(n, timeout=30)) for n in range(3)]
    while len(run.threads) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert breaker.waiting == 1
    run.gate.set()
    assert await asyncio.gather(*three) == [0, 2, 4]
    assert len(run.threads) == 2
