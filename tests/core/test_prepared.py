"""A prepared statement does what it does unprepared; on PostgreSQL, which alone prepares."""

from typing import Any

import pytest
from django.db import NotSupportedError, ProgrammingError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from annotate.models import Example, Task
from core.sql import prepared
from core.transactions import durable
from scoring.models import Tally
from tests import acts, cast
from validate import statements
from validate.models import AuthorShare, Reliability
from validate.people.recount import repair
from validate.queries import progress_of
from validate.recount import queue_differences

pytestmark = pytest.mark.django_db(transaction=True)
LEAST = 3


@pytest.fixture(autouse=True)
def from_the_third_run(on_postgres: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not on_postgres:
        pytest.skip("only PostgreSQL prepares")
    prepared._runs.clear()
    monkeypatch.setattr(prepared, "RUNS_BEFORE", LEAST)


def run(sql: str, values: Any) -> tuple[list[Any], list[str]]:
    """What a statement returns, and what was sent for it."""
    with CaptureQueriesContext(connection) as seen:
        rows = prepared.rows(sql, values)
    return rows, [query["sql"].split()[0] for query in seen.captured_queries]


def test_it_is_prepared_once_it_has_run_often_enough() -> None:
    sent = [run("SELECT %s::int + 1", [value]) for value in range(LEAST + 2)]

    assert [rows for rows, _ in sent] == [[(value + 1,)] for value in range(LEAST + 2)]
    assert [words for _, words in sent[:LEAST]] == [["SELECT"]] * LEAST
    assert [words for _, words in sent[LEAST:]] == [["PREPARE", "EXECUTE"], ["EXECUTE"]]


def test_a_new_connection_knows_none_and_an_old_plan_is_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sql = "SELECT 'a %%', %(value)s::text, %(value)s::text"
    for _ in range(LEAST + 1):
        run(sql, {"value": "x", "not_asked_for": None})
    connection.close()
    assert run(sql, {"value": "x"}) == ([("a %", "x", "x")], ["PREPARE", "EXECUTE"])
    assert run(sql, {"value": "y"}) == ([("a %", "y", "y")], ["EXECUTE"])
    monkeypatch.setattr(prepared, "PLAN_SECONDS", 0)
    words = ["PREPARE", "DEALLOCATE", "EXECUTE"]
    assert run(sql, {"value": "z"}) == ([("a %", "z", "z")], words)


def test_a_plan_lasts_until_its_statement_has_run_twice_as_often() -> None:
    sent = [run("SELECT %s::int + 2", [value])[1] for value in range(20)]
    assert [place for place, words in enumerate(sent, 1) if "DEALLOCATE" in words] == [8, 16]


def test_a_plan_that_cannot_be_made_anew_leaves_the_old_one(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that holds the table for longer than a statement may take, say."""
    sql = "SELECT slug FROM annotate_task WHERE id = %s"
    for _ in range(LEAST + 1):
        run(sql, [task.pk])
    monkeypatch.setattr(prepared, "PLAN_SECONDS", 0)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE annotate_task RENAME COLUMN slug TO gone")
    for _ in range(2):
        with pytest.raises(ProgrammingError, match="slug"):
            run(sql, [task.pk])
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE annotate_task RENAME COLUMN gone TO slug")
    assert run(sql, [task.pk])[0] == [(task.slug,)]


def test_a_column_of_another_type_is_planned_for(task: Task) -> None:
    """At the second try: the first one's transaction is over."""
    sql = "SELECT content_warning FROM annotate_task WHERE id = %s"
    for _ in range(LEAST + 1):
        run(sql, [task.pk])
    column = "ALTER TABLE annotate_task ALTER COLUMN content_warning TYPE"
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"{column} text")
        with pytest.raises(NotSupportedError):
            run(sql, [task.pk])
        assert run(sql, [task.pk])[0] == [("",)]
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"{column} varchar(300)")


def test_a_name_stands_for_one_statement_in_every_process() -> None:
    """On a session that processes share by mistake, none may run what another one means by it."""
    names = {
        prepared._statement(sql, None, ("unknown",)).name for sql in ("SELECT %s", "VALUES (%s)")
    }
    assert len(names) == 2
    same = prepared._statement("SELECT %s", None, ("unknown",)).name
    prepared._statement.cache_clear()
    assert prepared._statement("SELECT %s", None, ("unknown",)).name == same


def test_a_share_beside_a_whole_number_is_not_rounded() -> None:
    for _ in range(LEAST + 1):
        ((found,),), _ = run("SELECT %(share)s * 10::bigint", {"share": 0.25})
        assert found == 2.5


def test_nothing_is_prepared_behind_a_pooler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    sent = [run("SELECT %s::int - 1", [1]) for _ in range(LEAST + 2)]
    assert {words[0] for _, words in sent} == {"SELECT"}


def test_a_day_of_submissions_and_votes_counts_the_same(owner: User) -> None:
    """Everything that submits, leases, votes, settles, takes back and undoes, well past LEAST."""
    task = cast.digits_task(owner, validation={"policy": "two_plus_one", "gold_first": 0.5})
    authors = [cast.person(f"author{n}") for n in range(2)]
    people = [cast.person(f"v{n}", "validator") for n in range(3)]
    examples = [cast.submission(task, authors[seed % 2], seed) for seed in range(16)]
    for place, example in enumerate(examples[:3]):
        acts.adjudicate(actor=owner, example_id=example.pk, status="open", reason="Look.")
        if place == 0:
            acts.adjudicate(
                actor=owner, example_id=example.pk, status="rejected", reason="No digit."
            )
    answers = 0
    for turn in range(12):
        for person in people:
            lease = acts.next_item(validator=person, task=task)
            if lease is None:
                continue
            said: dict[str, Any] = {"label": lease.example.label}
            if turn % 5 == 4:
                said = {"flag": "unsure"}
            acts.vote(validator=person, lease_id=lease.pk, **said)
            answers += 1
            assert progress_of(person, task)["votes"] > 0
    acts.set_banned(actor=owner, user=people[0], banned=True, reason="A test.")
    acts.set_banned(actor=owner, user=people[0], banned=False, reason="A test.")

    assert answers > 10 * LEAST
    assert Example.objects.filter(status="verified").count() > LEAST
    assert sum(Reliability.objects.values_list("answered", flat=True)) == answers
    assert sum(Tally.objects.values_list("submitted", flat=True)) == len(examples)
    assert sum(AuthorShare.objects.values_list("votes", flat=True)) > 0
    assert not list(queue_differences())
    assert repair(Task.objects.get(pk=task.pk)).agrees


def test_who_is_at_the_cap_is_left_out_alike(task: Task, annotator: User, validator: User) -> None:
    """The cap is a share: taken for a whole number, as what it is compared with, it would be 0."""
    other = cast.person("other")
    for seed, author in enumerate((annotator, other)):
        cast.submission(task, author, seed)
    people = [validator, *(cast.person(f"v{n}", "validator") for n in range(10))]
    for person in people:
        Reliability.objects.create(task=task, validator=person, answered_at=timezone.now())
    for person, votes in (
        (validator, 10),
        (people[1], 40),
    ):
        AuthorShare.objects.create(
            task=task, author=annotator, validator=person, votes=votes, agreed=0
        )
    for cap, author in ((0.1, other), (0.4, annotator)):
        for _ in range(LEAST + 2):
            with durable():
                asked = statements.Asked(
                    task.pk, validator.pk, cap, picked=4, proven=True, agrees=True, begins=False
                )
                free = statements.free_example(asked)
            assert free is not None
            assert free.author == author
