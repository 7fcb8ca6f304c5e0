"""Two logs at the same moment, and a log beside people who ask for items."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db import OperationalError

from accounts.models import User
from annotate import logs as example_logs
from annotate import rounds
from annotate.config import parse_task_file
from annotate.models import Example, Task
from scoring.models import Tally
from tests import acts, cast
from tests.races import at_once
from validate import logs
from validate.acts import lease as leases
from validate.models import Lease, QueueItem, Vote
from validate.people.recount import repair

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def nli(owner: User) -> Task:
    file = {
        "slug": "nli",
        "name": "NLI",
        "input": "text_pair",
        "labels": ["e", "n", "c"],
        "validation": {"policy": "two_plus_one"},
    }
    task, _ = rounds.load_task(file=parse_task_file(file), actor=owner)
    return task


def example(name: str, author: str) -> bytes:
    input = {"context": "It rains.", "hypothesis": name}
    fields = {"author": author, "input": input, "label": "e", "prediction": "n", "model": "m"}
    return json.dumps({"kind": "example", "id": name, "round": 1, **fields}).encode()


def vote(name: str, validator: str) -> bytes:
    fields = {"example": name, "validator": validator, "label": "e"}
    return json.dumps({"kind": "vote", **fields}).encode()


def importing(task: Task, lines: list[bytes]) -> Callable[[], logs.Import]:
    return lambda: logs.import_log(task, lambda: lines)


# The authors' tallies and the voters' rows in opposite orders.
ONE = [example("x1", "ann"), example("x2", "bob"), vote("x1", "vic"), vote("x2", "will")]
OTHER = [example("y1", "bob"), example("y2", "ann"), vote("y1", "will"), vote("y2", "vic")]


@pytest.fixture
def two_known_authors(nli: Task, monkeypatch: pytest.MonkeyPatch) -> Task:
    """A task that knows both logs' people, and that takes its time over each line."""
    known = [example("a", "ann"), example("b", "bob")]
    importing(nli, [*known, vote("a", "vic"), vote("b", "will")])()
    announce = example_logs.announce

    def announce_slowly(examples: Sequence[Example], **how: Any) -> None:
        announce(examples, **how)
        time.sleep(0.2)

    monkeypatch.setattr(example_logs, "announce", announce_slowly)
    return nli


def test_two_logs_at_once_take_turns(two_known_authors: Task) -> None:
    calls = [importing(two_known_authors, log) for log in (ONE, OTHER)]
    for outcome in at_once(calls):
        assert (outcome.summary.new_examples, outcome.summary.new_votes) == (2, 2)
    assert sorted(Tally.objects.values_list("submitted", flat=True)) == [3, 3]
    assert repair(two_known_authors).agrees


def test_without_turns_two_logs_wait_for_each_other(
    two_known_authors: Task, monkeypatch: pytest.MonkeyPatch, on_postgres: bool
) -> None:
    """The control."""
    if not on_postgres:
        pytest.skip("SQLite has one writer at a time: nobody waits for a second lock")
    monkeypatch.setattr(logs, "_take_turns", lambda task: None)
    # Each has added to its first author's tally before either goes on to its second's.
    announce, met, first = example_logs.announce, threading.Barrier(2), threading.local()

    def announce_together(examples: Sequence[Example], **how: Any) -> None:
        announce(examples, **how)
        if not hasattr(first, "announced"):
            first.announced = True
            met.wait(cast.PATIENCE)

    monkeypatch.setattr(example_logs, "announce", announce_together)
    outcomes = at_once([importing(two_known_authors, log) for log in (ONE, OTHER)])
    assert [isinstance(outcome, OperationalError) for outcome in outcomes].count(True) == 1


def test_who_waits_for_an_item_keeps_no_log_waiting(
    nli: Task, validator: User, other_validator: User, on_postgres: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The log holds the one item there is, and settles another on which the asker has voted."""
    if not on_postgres:
        pytest.skip("SQLite has one writer at a time: nobody waits for a second lock")
    importing(nli, [example("x", "ann")])()
    cast.answer(validator, nli)
    importing(nli, [example("y", "ann")])()
    held = threading.Event()
    lock_entries, ask = logs.lock_items, leases.ask

    def lock_entries_and_wait(examples: Any) -> Any:
        entries = lock_entries(examples)
        held.set()
        time.sleep(0.3)
        return entries

    def ask_meanwhile(*args: Any, **how: Any) -> Any:
        held.wait(10)
        return ask(*args, **how)

    monkeypatch.setattr(logs, "lock_items", lock_entries_and_wait)
    monkeypatch.setattr(leases, "ask", ask_meanwhile)
    lines = [vote("x", "vic"), vote("y", "vic")]

    imported, lease = at_once(
        [importing(nli, lines), lambda: acts.next_item(validator=validator, task=nli)]
    )

    assert imported.summary.new_votes == 2
    assert isinstance(lease, Lease)
    assert lease.example.external_id == "y"
    assert Example.objects.get(external_id="x").status == Example.Status.VERIFIED
    assert QueueItem.objects.get().leases_active == 1
    assert Vote.objects.count() == 3
