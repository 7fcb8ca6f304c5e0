"""What several threads send at the same moment is written in one transaction, each as if alone."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections, transaction

from accounts.models import Event, User
from accounts.services import guest_session
from annotate import services, statements, submissions
from annotate.models import Example, Task
from annotate.queries import Participant
from core.errors import Conflict, Refused
from core.sql.together import Together
from scoring.models import Tally
from tests import cast
from tests.races import at_once
from validate.acts.ban import set_banned
from validate.models import QueueItem

Item = tuple[str, str, int]  # where it goes, whose it is, which one


def together(write: Callable[[Sequence[Item]], Sequence[str | None]]) -> Together[Item, str]:
    return Together(write, alike=lambda item: item[0], apart=lambda item: item[1])


class Held:
    """A write that waits, the first time, until the others have come."""

    def __init__(self) -> None:
        self.batches: list[list[Item]] = []
        self.all_came = threading.Event()

    def __call__(self, items: Sequence[Item]) -> list[str | None]:
        self.batches.append(list(items))
        if len(self.batches) == 1:
            assert self.all_came.wait(10)
        return [f"{whose}{number}" for _, whose, number in items]


def in_turn(held: Held, all_of_them: Together[Item, str], items: Sequence[Item]) -> list[Any]:
    """Send the first, and the others in their order while it is being written."""
    outcomes: list[Any] = [None] * len(items)

    def send(index: int) -> None:
        outcomes[index] = all_of_them.write(items[index])

    threads = [threading.Thread(target=send, args=(index,)) for index in range(len(items))]
    for index, thread in enumerate(threads):
        thread.start()
        while not held.batches or len(all_of_them._queue) < index:
            thread.join(0.001)
    held.all_came.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    return outcomes


def test_who_comes_alone_goes_alone() -> None:
    held = Held()
    held.all_came.set()
    alone = together(held)
    assert [alone.write(("r", "a", number)) for number in range(3)] == ["a0", "a1", "a2"]
    assert [len(batch) for batch in held.batches] == [1, 1, 1]


def test_who_comes_during_a_write_goes_with_the_next() -> None:
    held = Held()
    items = [("r", whose, 1) for whose in "abcde"]
    assert in_turn(held, together(held), items) == ["a1", "b1", "c1", "d1", "e1"]
    assert held.batches == [items[:1], items[1:]]


def test_one_persons_go_one_after_the_other_and_other_rounds_by_themselves() -> None:
    held = Held()
    items = [
        ("r", "a", 1),
        ("r", "b", 1),
        ("r", "b", 2),
        ("s", "c", 1),
        ("r", "c", 2),
        ("r", "d", 1),
    ]
    assert in_turn(held, together(held), items) == ["a1", "b1", "b2", "c1", "c2", "d1"]
    assert held.batches == [
        [("r", "a", 1)],
        [("r", "b", 1), ("r", "d", 1)],  # c's second must not overtake c's first
        [("r", "b", 2)],
        [("s", "c", 1)],
        [("r", "c", 2)],
    ]


def test_a_write_that_fails_leaves_each_to_itself() -> None:
    held = Held()

    def fail(items: Sequence[Item]) -> list[str | None]:
        answer = held(items)
        if len(items) > 1:
            raise ValueError("one of them is bad")
        return answer

    items = [("r", whose, 1) for whose in "abc"]
    assert in_turn(held, together(fail), items) == ["a1", None, None]


def test_nobody_is_forgotten() -> None:
    """Twelve threads at once; no two writes at a time, everything written once."""
    written: list[Item] = []
    at_work = threading.Lock()

    def write(items: Sequence[Item]) -> list[str | None]:
        assert at_work.acquire(blocking=False)
        assert len({whose for _, whose, _ in items}) == len(items)
        assert len({where for where, _, _ in items}) == 1
        failing = random.random() < 0.1
        if not failing:
            written.extend(items)
        at_work.release()
        if failing:
            raise ValueError
        return [f"{whose}{number}" for _, whose, number in items]

    all_of_them = together(write)

    def send(whose: str) -> None:
        for number in range(200):
            item = (random.choice("rs"), whose, number)
            answer = all_of_them.write(item)
            assert answer in (None, f"{whose}{number}")
            if answer is None:
                written.append(item)

    outcomes = at_once([lambda whose=whose: send(whose) for whose in "abcdeabcdefg"])  # type: ignore[misc]
    assert outcomes == [None] * 12
    assert len(written) == 12 * 200


# --- submissions ----------------------------------------------------------------------------------
ROUNDS = 5


def sent(task: Task, person: Participant, seed: int, **how: Any) -> Callable[[], Any]:
    values = {"client_id": uuid.uuid4(), "input": cast.drawing(seed), "label": "3", **how}
    return lambda: submissions.submit(participant=person, task_id=task.pk, **values)


@contextmanager
def one_batch(monkeypatch: pytest.MonkeyPatch, of: int) -> Iterator[list[int]]:
    """Hold the first write until all others have come; yields how many were written together."""
    sizes: list[int] = []
    write = submissions._insert_several

    def held(examples: Sequence[Example]) -> Any:
        sizes.append(len(examples))
        for _ in range(1000):
            if len(sizes) > 1 or len(submissions._together._queue) >= of - 1:
                break
            threading.Event().wait(0.01)
        return write(examples)

    monkeypatch.setattr(submissions._together, "_write", held)
    yield sizes


@pytest.mark.django_db(transaction=True)
def test_one_that_is_refused_fails_alone(
    task: Task, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [Participant(user=cast.person(f"p{n}")) for n in range(7)]
    again = uuid.uuid4()
    for seed, person in enumerate(people):
        sent(task, person, seed, client_id=again)()
    assert people[2].user
    assert people[3].user
    set_banned(actor=owner, user=User.objects.get(pk=people[2].user.pk), banned=True, reason="spam")
    User.objects.filter(pk=people[3].user.pk).update(is_active=False)
    calls = [
        sent(task, people[0], 20),
        sent(task, people[1], 1),  # the same drawing once more
        sent(task, people[2], 22),
        sent(task, people[3], 23),
        sent(task, people[4], 4, client_id=again),  # the very same submission
        sent(task, people[5], 25, client_id=again),  # another one under its id
        sent(task, people[6], 26, explanation="it is a three"),
    ]
    with one_batch(monkeypatch, of=7) as sizes:
        fine, duplicate, banned, closed, repeated, reused, explained = at_once(calls)

    assert sum(sizes) == 7
    assert max(sizes) == 6
    assert fine.is_new
    assert fine.progress.tries == 2
    assert explained.is_new
    assert [one.code for one in (duplicate, banned, closed, reused)] == [
        "duplicate",
        "banned",
        "signed_out",
        "client_id_reused",
    ]
    assert isinstance(reused, Conflict)
    assert not repeated.is_new
    assert Example.objects.count() == 9
    assert Event.objects.filter(verb="submitted").count() == 9
    assert sorted(Tally.objects.values_list("submitted", flat=True)) == [1, 1, 1, 1, 1, 2, 2]


@pytest.mark.django_db(transaction=True)
def test_what_is_written_together_is_what_each_would_be_alone(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [Participant(user=cast.person(f"p{n}")) for n in range(5)]
    people.append(Participant(session=guest_session(uuid.uuid4())))
    for turn in range(ROUNDS):
        calls = [
            sent(task, person, 10 * turn + number, label=str((turn + number) % 3))
            for number, person in enumerate(people)
        ]
        with one_batch(monkeypatch, of=5) as sizes:
            outcomes = at_once(calls)
        assert max(sizes) > 1
        for person, done in zip(people, outcomes, strict=True):
            example = Example.objects.get(pk=done.example.pk)
            assert example.author == person.user
            assert example.uid == done.example.uid
            event = Event.objects.get(verb="submitted", object_id=example.pk)
            assert event.actor == person.user
            assert event.data["fooled"] == example.fooled
            assert done.progress == statements.progress(**person.ids, task_id=task.pk)
            earlier = person.examples().filter(pk__lt=example.pk)
            assert example.tries == services.tries_at_next(earlier)
            queued = QueueItem.objects.filter(example=example, author=person.user)
            assert queued.exists() == example.queued == (example.fooled and not example.sandbox)
    for person in people[:5]:
        tally = Tally.objects.get(author=person.user)
        assert tally.submitted == ROUNDS
        assert tally.fooled == tally.pending == person.examples().filter(fooled=True).count()


@pytest.mark.django_db(transaction=True)
def test_a_mistake_in_one_undoes_none_of_the_others(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the database refuses in a batch is written again one by one."""
    people = [Participant(user=cast.person(f"p{n}")) for n in range(4)]
    calls = [sent(task, person, seed) for seed, person in enumerate(people)]
    calls[2] = sent(task, people[2], 2, seconds=-1.0, probes=-1)  # a constraint refuses it
    with one_batch(monkeypatch, of=4) as sizes:
        outcomes = at_once(calls)
    assert max(sizes) > 1
    assert [isinstance(one, Exception) for one in outcomes] == [False, False, True, False]
    assert Example.objects.count() == Event.objects.filter(verb="submitted").count() == 3
    assert Tally.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_an_author_who_is_locked_holds_up_nobody_else(
    task: Task, monkeypatch: pytest.MonkeyPatch, on_postgres: bool
) -> None:
    if not on_postgres:
        pytest.skip("SQLite has one writer at a time, whatever is locked")
    people = [Participant(user=cast.person(f"p{n}")) for n in range(4)]
    free = threading.Event()
    done: list[int] = []

    def hold() -> None:
        with transaction.atomic():
            User.objects.select_for_update(no_key=True).get(pk=people[1].user.pk)  # type: ignore[union-attr]
            locked.set()
            assert free.wait(10)
        connections.close_all()

    def submit(number: int) -> Any:
        outcome = sent(task, people[number], number)()
        done.append(number)
        if len(done) == 3:
            free.set()
        return outcome

    locked = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    assert locked.wait(10)
    with one_batch(monkeypatch, of=4):
        outcomes = at_once([lambda n=n: submit(n) for n in range(4)])  # type: ignore[misc]
    holder.join(10)
    assert not [one for one in outcomes if isinstance(one, Refused | Exception)], outcomes
    assert done[-1] == 1


def test_who_is_interrupted_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    started, go_on = threading.Event(), threading.Event()

    def write(items: Sequence[Item]) -> list[str]:
        started.set()
        go_on.wait(5)
        return [str(item) for item in items]

    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    several = together(write)
    first = threading.Thread(target=several.write, args=(("a", "one", 1),))
    first.start()
    started.wait(5)
    monkeypatch.setattr("core.sql.together.threading.Event", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        several.write(("a", "two", 2))
    monkeypatch.undo()
    go_on.set()
    first.join(5)
    later = threading.Thread(target=several.write, args=(("a", "three", 3),), daemon=True)
    later.start()
    later.join(5)
    assert not later.is_alive()


@pytest.mark.django_db(transaction=True)
def test_a_tally_that_is_held_holds_up_its_author_alone(
    task: Task, monkeypatch: pytest.MonkeyPatch, on_postgres: bool
) -> None:
    """An import holds tallies of live authors in the order of its lines: it must not be the one
    that a deadlock ends, and nobody else may have to wait for it."""
    if not on_postgres:
        pytest.skip("SQLite has one writer at a time")
    people = [Participant(user=cast.person(f"p{number}")) for number in range(4)]
    sent(task, people[0], 1)()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            list(Tally.objects.select_for_update().filter(author=people[0].user))
            held.set()
            done.wait(10)

    def others() -> list[Any]:
        held.wait(10)
        with one_batch(monkeypatch, of=4):
            calls = [sent(task, person, 2 + place) for place, person in enumerate(people)]
            waiting = threading.Thread(target=release_when_others_are_there, daemon=True)
            waiting.start()
            outcomes = at_once(calls)
            waiting.join(10)
        return outcomes

    def release_when_others_are_there() -> None:
        deadline = time.monotonic() + 8
        while Example.objects.count() < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        there.append(Example.objects.count())
        done.set()
        connections.close_all()

    there: list[int] = []
    _, outcomes = at_once([hold, others])

    assert not [one for one in outcomes if isinstance(one, Exception)], outcomes
    assert there == [4]  # the first of all, and all but the held one's second
    assert Example.objects.count() == 5
