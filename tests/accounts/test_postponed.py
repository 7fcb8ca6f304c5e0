"""Postponed writes arrive, in their order, or their transaction fails; PostgreSQL alone has a way
to go.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts import compiled, postponed, prepared
from accounts.models import Event
from accounts.transactions import durable
from annotate.models import Task
from tests import cast
from validate.models import Reliability

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def only_on_postgres(on_postgres: bool) -> None:
    if not on_postgres:
        pytest.skip("SQLite is in the process: nothing waits")


def add(verb: str) -> None:
    compiled.insert_all([Event(verb=verb, object_type="", object_id="")], keys=False)


def verbs() -> list[str]:
    return list(Event.objects.order_by("id").values_list("verb", flat=True))


def sent(seen: CaptureQueriesContext) -> list[list[str]]:
    """The first word of each statement of what was sent at once."""
    return [[one.split()[0] for one in query["sql"].split(";\n")] for query in seen]


def test_they_go_with_the_next_statement_in_their_order() -> None:
    with durable(), CaptureQueriesContext(connection) as seen:
        add("first, 100 % of it")
        add("second; and more")
        assert len(seen) == 0
        assert verbs() == ["first, 100 % of it", "second; and more"]
    assert sent(seen) == [["INSERT", "INSERT", "SELECT"]]


def test_what_nothing_follows_is_sent_before_the_commit() -> None:
    with CaptureQueriesContext(connection) as seen, durable():
        add("first")
        add("second")
    assert sent(seen) == [["BEGIN"], ["INSERT", "INSERT"], ["COMMIT"]]
    assert verbs() == ["first", "second"]


def test_outside_a_services_transaction_nothing_waits() -> None:
    with CaptureQueriesContext(connection) as seen:
        add("first")
        assert sent(seen) == [["INSERT"]]
    with transaction.atomic(), CaptureQueriesContext(connection) as seen:
        add("second")
        assert sent(seen) == [["INSERT"]]
    with durable():
        pass
    with CaptureQueriesContext(connection) as seen:
        add("third")
        assert sent(seen) == [["INSERT"]]


def test_prepared_ones_wait_too(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared._runs.clear()
    monkeypatch.setattr(prepared, "RUNS_BEFORE", 1)
    for turn in range(3):
        with durable(), CaptureQueriesContext(connection) as seen:
            add(f"{turn}, first")
            add(f"{turn}, second")
            assert verbs()[-2:] == [f"{turn}, first", f"{turn}, second"]
    assert sent(seen) == [["EXECUTE", "EXECUTE", "SELECT"]]


def test_a_plan_is_made_anew_behind_those_that_wait_for_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prepared, "RUNS_BEFORE", 0)
    monkeypatch.setattr(prepared, "PLAN_SECONDS", 0)
    with durable():
        add("first")
        add("second")
        add("third")
    assert verbs() == ["first", "second", "third"]


def test_what_fails_is_dropped_with_its_transaction() -> None:
    with suppress(ZeroDivisionError), durable():
        add("sent")
        verbs()
        add("not sent")
        raise ZeroDivisionError
    with durable(), CaptureQueriesContext(connection) as seen:
        assert verbs() == []
    assert sent(seen) == [["SELECT"]]


def test_a_refused_one_fails_the_transaction(task: Task) -> None:
    person = cast.person("ada")
    Reliability.objects.create(task=task, validator=person)

    def refused(read: bool) -> None:
        with durable():
            add("first")
            new = Reliability(task=task, validator=person)
            new.pk = 2**40  # a key of its own: nothing is read back
            compiled.insert(new)
            if read:
                verbs()

    Event.objects.all().delete()
    with pytest.raises(IntegrityError):
        refused(read=True)
    with pytest.raises(IntegrityError):  # at the end
        refused(read=False)
    assert verbs() == []


@pytest.mark.parametrize("afterwards", [True, False])
def test_a_block_whose_error_was_caught_does_not_end_as_if_committed(
    task: Task, afterwards: bool
) -> None:
    person = cast.person("ada")
    Reliability.objects.create(task=task, validator=person)

    def caught(refuse: Callable[[], None]) -> None:
        with durable():
            add("before")
            with suppress(IntegrityError):
                refuse()
            if afterwards:
                add("after")

    def refuse_postponed() -> None:
        compiled.insert(Reliability(task=task, validator=person, id=2**40))
        verbs()

    Event.objects.all().delete()
    for refuse in (Reliability(task=task, validator=person).save, refuse_postponed):
        with pytest.raises(transaction.TransactionManagementError):
            caught(refuse)
    assert verbs() == []


def test_a_savepoint_takes_back_what_came_after_it_alone() -> None:
    with durable():
        add("before")
        with suppress(ZeroDivisionError), transaction.atomic():
            add("within")
            raise ZeroDivisionError
        with suppress(ZeroDivisionError), transaction.atomic():
            add("within, and sent")
            verbs()
            raise ZeroDivisionError
        with transaction.atomic():
            add("kept")
        add("after")
    assert verbs() == ["before", "kept", "after"]


def test_a_savepoint_whose_last_write_is_refused_takes_no_more_than_itself(task: Task) -> None:
    person = cast.person("ada")
    Reliability.objects.create(task=task, validator=person)
    Event.objects.all().delete()
    with durable():
        add("before")
        with suppress(IntegrityError), transaction.atomic():
            compiled.insert(Reliability(task=task, validator=person, id=2**40))
        add("after")
    assert verbs() == ["before", "after"]


def test_a_value_that_the_driver_cannot_write_is_an_error_as_djangos() -> None:
    with pytest.raises(ProgrammingError), durable():
        prepared.postpone("SELECT %s", [object()])


def test_what_django_sends_in_other_ways_comes_after_them() -> None:
    with durable():
        add("first")
        assert [event.verb for event in Event.objects.iterator()] == ["first"]  # a cursor there
        add("second")
        with connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE accounts_event SET verb = %s WHERE verb = %s",
                [("FIRST", "first"), ("SECOND", "second")],
            )
        assert verbs() == ["FIRST", "SECOND"]


def test_not_all_of_a_long_loop_wait() -> None:
    with CaptureQueriesContext(connection) as seen, durable():
        for turn in range(postponed.MOST + 1):
            add(str(turn))
        assert len(max(sent(seen), key=len)) == postponed.MOST
    assert verbs() == [str(turn) for turn in range(postponed.MOST + 1)]


def test_another_thread_has_its_own() -> None:
    def alone() -> None:
        try:
            with CaptureQueriesContext(connection) as seen:
                add("theirs")
            there.append(sent(seen))
        finally:
            connection.close()

    there: list[Any] = []
    with durable():
        add("ours")
        thread = threading.Thread(target=alone)
        thread.start()
        thread.join(30)
        assert there == [[["INSERT"]]]
    assert sorted(verbs()) == ["ours", "theirs"]
