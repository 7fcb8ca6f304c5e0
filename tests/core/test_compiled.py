"""A compiled statement does what the query set does that it was made of."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, F, Q
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Event, User
from annotate.models import Example, Task
from core.sql import compiled
from core.sql.compiled import Compiled, CompiledUpdate, Given
from tests import cast
from validate.models import Lease, Reliability


@pytest.fixture
def lease(task: Task, annotator: User, validator: User) -> Lease:
    example = cast.submission(task, annotator)
    now = timezone.now()
    return Lease.objects.create(
        example=example, validator=validator, expires_at=now + timedelta(minutes=5)
    )


def queries(run: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as seen:
        run()
    return len(seen)


def test_models_come_with_all_they_were_selected_with(lease: Lease) -> None:
    leases = Lease.objects.select_related("example__task__config", "validator", "vote")
    statement = Compiled(lambda: leases.filter(pk=Given("id"), validator=Given("person")))

    for _ in range(2):  # built, and built before
        found = statement.first(id=lease.pk, person=lease.validator_id)
        assert found == lease
        with CaptureQueriesContext(connection) as seen:
            assert found.example.task.config.data == lease.example.config.data
        assert not seen.captured_queries
        for field in Lease._meta.concrete_fields:
            assert getattr(found, field.attname) == getattr(lease, field.attname)
        assert found.example.input == lease.example.input
        assert found.validator == lease.validator
        assert getattr(found, "vote", None) is None
        assert not found._state.adding
    assert statement.first(id=uuid4(), person=lease.validator_id) is None
    assert statement.all(id=lease.pk, person=lease.validator_id) == [lease]
    assert queries(lambda: statement.first(id=lease.pk, person=1)) == 1


def test_times_constants_and_annotations(lease: Lease) -> None:
    held = Lease.objects.filter(ended_at=None, gold=False).annotate(votes=Count("example__votes"))
    statement = Compiled(lambda: held.filter(expires_at__lte=Given("now")).order_by("id")[:1])

    assert statement.all(now=timezone.now()) == []
    (found,) = statement.all(now=lease.expires_at)
    assert found == lease
    assert found.votes == 0  # type: ignore[attr-defined]


def test_values(lease: Lease) -> None:
    rows = Lease.objects.filter(example=Given("example"))
    both = Compiled(lambda: rows.values_list("id", "expires_at"))
    one = Compiled(lambda: rows.values_list("id", flat=True))

    assert both.all(example=lease.example_id) == [(lease.pk, lease.expires_at)]
    assert one.first(example=lease.example_id) == lease.pk
    with pytest.raises(TypeError, match="only models and values_list"):
        Compiled(lambda: rows.values("id")).all(example=1)


def test_a_value_that_is_not_given_is_an_error(lease: Lease) -> None:
    with pytest.raises(KeyError, match="example"):
        Compiled(lambda: Lease.objects.filter(example=Given("example"))).all(other=1)


@pytest.mark.django_db(transaction=True)
def test_a_lock_needs_a_transaction() -> None:
    locked = Compiled(lambda: User.objects.select_for_update().filter(pk=Given("user")))

    with transaction.atomic():
        assert locked.first(user=1) is None
    with pytest.raises(transaction.TransactionManagementError):
        locked.first(user=1)


def test_an_update_says_how_many_rows_there_were(lease: Lease) -> None:
    close = CompiledUpdate(
        lambda: Lease.objects.filter(Q(ended_at=None), pk=Given("id")),
        ended_at=Given("now"),
        end=Given("end"),
    )
    now = timezone.now()

    assert close.run(id=lease.pk, now=now, end=Lease.End.VOTED) == 1
    assert close.run(id=lease.pk, now=now, end=Lease.End.VOTED) == 0
    lease.refresh_from_db()
    assert (lease.ended_at, lease.end) == (now, Lease.End.VOTED)


def test_an_update_may_count(task: Task, validator: User) -> None:
    row = Reliability.objects.create(task=task, validator=validator)
    count = CompiledUpdate(
        lambda: Reliability.objects.filter(pk=Given("row")), answered=F("answered") + 1
    )

    assert count.run(row=row.pk) + count.run(row=row.pk) == 2
    row.refresh_from_db()
    assert row.answered == 2


def test_a_row_is_inserted_and_changed_as_save_would(task: Task, validator: User) -> None:
    row = Reliability(task=task, validator=validator, recent_seconds=[1.5])
    assert queries(lambda: compiled.insert(row)) == 1
    assert not row._state.adding

    kept = Reliability.objects.get(pk=row.pk)
    assert kept.recent_seconds == [1.5]
    row.recent_seconds, row.answered_at, row.answered = [2.0], timezone.now(), 7
    compiled.update(row, "recent_seconds", "answered_at")
    kept.refresh_from_db()
    assert (kept.recent_seconds, kept.answered_at) == ([2.0], row.answered_at)
    assert kept.answered == 0  # it was not named

    with pytest.raises(IntegrityError), transaction.atomic():
        compiled.insert(Reliability(task=task, validator=validator))
    compiled.delete(row)
    assert not Reliability.objects.exists()


def test_a_key_of_ones_own_is_kept(lease: Lease) -> None:
    other = Lease(example=lease.example, validator=cast.person("vic"), expires_at=lease.expires_at)
    key = other.pk
    compiled.insert(other)

    assert Lease.objects.get(pk=key).validator.username == "vic"


def test_what_is_empty_stays_empty(task: Task, annotator: User) -> None:
    event = Event(verb="tested", object_type="", object_id="", data={"label": None})
    compiled.insert(event)
    event.refresh_from_db()
    assert (event.actor, event.data) == (None, {"label": None})

    example = cast.submission(task, annotator)
    example.final_label, example.status = None, Example.Status.FLAGGED
    example.settled_at = timezone.now()
    compiled.update(example, "final_label", "status", "settled_at")
    assert Example.objects.filter(final_label__isnull=True, status="flagged").exists()


def test_a_value_of_another_type_is_brought_into_the_fields_form(
    task: Task, annotator: User
) -> None:
    example = cast.submission(task, annotator)
    example.probes, example.seconds, example.fooled = "3", 2, 1  # type: ignore[assignment]
    example.label, example.author_id = 7, str(annotator.pk)  # type: ignore[assignment]
    compiled.update(example, "probes", "seconds", "fooled", "label", "author")

    example = Example.objects.get()
    assert (example.probes, example.seconds, example.fooled) == (3, 2.0, True)
    assert (example.label, example.author) == (7, annotator)


def test_several_rows_get_their_own_keys(task: Task, lease: Lease) -> None:
    compiled.insert_all([])
    events = [Event(verb=f"tested{n}", object_type="", object_id="") for n in range(5)]
    for some in (events[:1], events[1:]):
        assert queries(lambda some=some: compiled.insert_all(some)) == 1  # type: ignore[misc]
    for event in events:
        assert not event._state.adding
        assert Event.objects.get(pk=event.pk).verb == event.verb

    people = [cast.person(f"p{n}") for n in range(3)]
    leases = [
        Lease(example=lease.example, validator=person, expires_at=lease.expires_at)
        for person in people
    ]
    keys = [one.pk for one in leases]
    compiled.insert_all(leases)
    assert [Lease.objects.get(pk=key).validator for key in keys] == people


@pytest.mark.django_db(transaction=True)
def test_what_came_before_a_refused_row_is_not_committed(task: Task, validator: User) -> None:
    """Even when somebody catches the error inside the transaction."""
    with transaction.atomic():
        compiled.insert(Reliability(task=task, validator=validator))
        with suppress(IntegrityError):
            compiled.insert(Reliability(task=task, validator=validator))
    assert not Reliability.objects.exists()
