"""Whatever callers and runs do, each item that was taken is answered once, with its own answer."""

import asyncio
from collections import Counter
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from ml.batcher import Batcher, Busy, Late


@dataclass(frozen=True)
class Item:
    """An item's number, how the run treats it, and what its caller does."""

    number: int
    fate: str
    caller: str
    after: int  # turns of the event loop before it is submitted


class Unreadable(Exception):
    """An item that only its own place in the outputs reports."""


class Poison(Exception):
    """An item that makes its whole batch raise."""


fates = st.sampled_from(["fine"] * 6 + ["unreadable", "poison", "short"])
callers = st.sampled_from(["patient"] * 6 + ["cancels", "hurries"])
plans = st.lists(st.tuples(fates, callers, st.integers(0, 4)), max_size=60)


def items_of(plan: list[tuple[str, str, int]]) -> list[Item]:
    return [Item(number, *entry) for number, entry in enumerate(plan)]


class Run:
    """Squares numbers, and fails as its items say; remembers each batch that it was handed."""

    def __init__(self) -> None:
        self.batches: list[list[Item]] = []

    def __call__(self, items):
        self.batches.append(list(items))
        if any(item.fate == "poison" for item in items):
            raise Poison([item.number for item in items if item.fate == "poison"])
        outputs = [
            Unreadable(item.number) if item.fate == "unreadable" else item.number**2
            for item in items
        ]
        return outputs[:-1] if any(item.fate == "short" for item in items) else outputs


async def play(batcher: Batcher, items: list[Item]) -> list[object]:
    """Let every caller act as planned; each outcome is an output or an exception."""

    async def call(item: Item) -> object:
        for _ in range(item.after):
            await asyncio.sleep(0)
        return await batcher.submit(item, timeout=0 if item.caller == "hurries" else None)

    tasks = [asyncio.create_task(call(item)) for item in items]
    for turn in range(6):
        await asyncio.sleep(0)
        for item, task in zip(items, tasks, strict=True):
            if item.caller == "cancels" and item.number % 6 == turn:
                task.cancel()
    async with asyncio.timeout(20):
        return await asyncio.gather(*tasks, return_exceptions=True)


def is_own_answer(item: Item, outcome: object) -> bool:
    match item.fate:
        case "fine":
            return outcome == item.number**2
        case "unreadable":
            return isinstance(outcome, Unreadable) and outcome.args == (item.number,)
        case "poison":
            return isinstance(outcome, Poison) and outcome.args == ([item.number],)
        case _:
            return "0 outputs for 1 items" in str(outcome)


@given(plan=plans, max_batch=st.integers(1, 9), max_queue=st.integers(1, 40))
@settings(deadline=None, max_examples=150)
def test_each_item_ends_once_and_as_it_should(plan, max_batch, max_queue):
    items = items_of(plan)
    run = Run()
    batcher = Batcher(run, max_batch=max_batch, max_queue=max_queue)
    outcomes = asyncio.run(play(batcher, items))
    assert batcher.close(wait=10)

    for item, outcome in zip(items, outcomes, strict=True):
        if isinstance(outcome, Late):
            assert item.caller == "hurries"
        elif isinstance(outcome, asyncio.CancelledError):
            assert item.caller == "cancels"
        else:
            assert isinstance(outcome, Busy) or is_own_answer(item, outcome)
    assert batcher.is_idle
    assert not batcher.running_for


@given(plan=plans, max_batch=st.integers(1, 9))
@settings(deadline=None, max_examples=100)
def test_batches_keep_the_cap_and_run_no_item_needlessly(plan, max_batch):
    items = items_of(plan)
    run = Run()
    batcher = Batcher(run, max_batch=max_batch)
    asyncio.run(play(batcher, items))
    assert batcher.close(wait=10)

    assert all(1 <= len(batch) <= max_batch for batch in run.batches)
    seen = Counter(item for batch in run.batches for item in batch)
    assert set(seen) <= set(items)
    if all(item.fate in ("fine", "unreadable") for item in items):
        assert all(count == 1 for count in seen.values())
    else:
        assert all(count <= 2 for count in seen.values())  # in company once, then alone


@given(numbers=st.lists(st.integers(), min_size=1, max_size=80), max_batch=st.integers(1, 64))
@settings(deadline=None, max_examples=50)
def test_nothing_depends_on_order_or_on_the_cap(numbers, max_batch):
    async def ask(batcher: Batcher, order: list[int]) -> dict[int, int]:
        outputs = await asyncio.gather(*map(batcher.submit, order))
        return dict(zip(order, outputs, strict=True))

    batcher = Batcher(lambda items: [item * 3 for item in items], max_batch=max_batch)
    forward = asyncio.run(ask(batcher, numbers))
    backward = asyncio.run(ask(batcher, numbers[::-1]))
    assert batcher.close(wait=10)
    assert forward == backward == {number: 3 * number for number in numbers}
