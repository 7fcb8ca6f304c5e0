"""Stored counters equal recounted ones, and a wrong one is found, shown and corrected."""

from __future__ import annotations

import io
import json
import threading
import uuid
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from accounts.models import User, WorkSession
from annotate import services
from annotate.models import Context, ContextLease, Example, Task
from annotate.queries import Participant
from scoring import recount
from scoring.models import Tally
from tests import acts, cast
from tests.races import at_once
from validate.models import AuthorShare, QueueItem, Reliability, Review, Vote
from validate.verdicts import reweigh


@pytest.fixture
def worked(
    task: Task,
    owner: User,
    annotator: User,
    other_annotator: User,
    validator: User,
    other_validator: User,
) -> Task:
    """A task in which every kind of thing happened to an example."""
    made = [cast.submission(task, annotator, seed, fooled=seed % 3 != 2) for seed in range(6)]
    made.append(cast.submission(task, other_annotator, 9))
    cast.answer(validator, task)
    cast.answer(other_validator, task)
    cast.answer(validator, task, "0")
    cast.answer(other_validator, task, "0")
    cast.answer(validator, task)
    services.retract(participant=Participant(user=annotator), uid=made[4].uid)
    acts.set_hidden(actor=owner, example_id=made[0].pk, hidden=True, reason="test")
    acts.next_item(validator=validator, task=task)
    return task


def test_after_a_days_work_nothing_differs(worked: Task, summary: Any) -> None:
    found = summary("recompute", "--check")

    assert (found["examples"], found["tallies"], found["differences"]) == (7, 2, 0)


def check() -> tuple[str, bool]:
    output = io.StringIO()
    try:
        call_command("recompute", "--check", "--json", stdout=output)
    except CommandError:
        return output.getvalue(), False
    return output.getvalue(), True


def test_a_wrong_tally_is_shown_and_corrected(worked: Task, annotator: User, summary: Any) -> None:
    Tally.objects.filter(author=annotator).update(verified=5, submitted=50)

    output, agrees = check()
    assert not agrees
    assert f"digits round 1, {annotator.pseudonym}" in output
    assert any(line.split()[-3:] == ["submitted", "50", "6"] for line in output.splitlines())
    assert json.loads(output.splitlines()[-1])["differences"] == 1

    assert summary("recompute")["repaired"] == 1
    assert check()[1]


def test_a_tally_that_is_missing_or_has_no_examples_is_corrected(
    worked: Task, annotator: User, validator: User, summary: Any
) -> None:
    round_ = worked.rounds.get()
    Tally.objects.filter(author=annotator).delete()
    Tally.objects.create(round=round_, author=validator, submitted=3)

    assert not check()[1]
    summary("recompute")

    assert check()[1]
    assert Tally.objects.get(author=annotator).submitted == 6


@pytest.mark.parametrize(
    "wrong", [{"leases_active": 0}, {"votes_wanted": 1, "leases_active": 0}, {"withdrawn": True}]
)
def test_a_wrong_queue_entry_is_corrected(
    worked: Task, summary: Any, wrong: dict[str, object]
) -> None:
    leased = QueueItem.objects.get(leases_active=1)
    right = (leased.votes_wanted, leased.leases_active, leased.withdrawn)
    QueueItem.objects.filter(pk=leased.pk).update(**wrong)

    assert not check()[1]
    summary("recompute")

    assert (
        QueueItem.objects.values_list("votes_wanted", "leases_active", "withdrawn").get(
            pk=leased.pk
        )
        == right
    )


def test_a_lost_queue_entry_comes_back_and_a_stray_one_goes(worked: Task, summary: Any) -> None:
    settled = Example.objects.exclude(status="open").latest("id")
    lost = QueueItem.objects.filter(leases_active=1).values_list("pk", flat=True).get()
    QueueItem.objects.filter(pk=lost).delete()
    QueueItem.objects.create(
        example=settled, task=worked, author=settled.author, priority=0, votes_wanted=1
    )

    summary("recompute")

    assert check()[1]
    assert QueueItem.objects.filter(pk=lost, leases_active=1).exists()
    assert not QueueItem.objects.filter(pk=settled.pk).exists()


def test_a_verdict_that_the_votes_reached_but_nobody_wrote_is_written(
    worked: Task, summary: Any
) -> None:
    verified = Example.objects.filter(status="verified").latest("id")
    Example.objects.filter(pk=verified.pk).update(status="open", settled_at=None, final_label=None)

    assert not check()[1]
    summary("recompute")

    assert check()[1]
    verified.refresh_from_db()
    assert verified.status == "verified"


def test_what_is_known_about_validators_is_proved_too(
    worked: Task, validator: User, other_validator: User, summary: Any
) -> None:
    standing = Reliability.objects.get(validator=validator)
    Reliability.objects.filter(pk=standing.pk).update(alpha=1, answered_today=99)
    Reliability.objects.filter(validator=other_validator).update(gold_seen=7)
    tried = Example.objects.order_by("id")[2]
    Example.objects.filter(pk=tried.pk).update(tries=tried.tries + 1)
    Vote.objects.filter(validator=other_validator, credit__isnull=False).update(credit=0.5)
    share = AuthorShare.objects.filter(validator=validator).latest("votes")
    AuthorShare.objects.filter(pk=share.pk).update(votes=50)

    output, agrees = check()
    assert not agrees
    assert "digits: 1 shares of validators are not what the votes say" in output
    found = json.loads(output.splitlines()[-1])["standings"]["digits"]
    assert (found["reliabilities"], found["shares"]) == (2, 1)
    assert found["credits"] == 2  # examples on which the other one voted
    assert "1 examples are another try than they say" in output

    assert summary("recompute")["repaired"] == 6
    assert check()[1]
    assert Example.objects.get(pk=tried.pk).tries == tried.tries
    assert Reliability.objects.get(validator=other_validator).gold_seen == 0
    standing.refresh_from_db()
    assert standing.alpha != 1
    assert AuthorShare.objects.get(pk=share.pk).votes == share.votes


def test_verdicts_that_rest_on_votes_without_weight_are_found_and_an_owner_asked(
    task: Task, annotator: User, validator: User, other_validator: User, summary: Any
) -> None:
    example = cast.submission(task, annotator)
    for person in (validator, other_validator):
        cast.answer(person, task)
    AuthorShare.objects.filter(validator=validator).update(named_at=timezone.now())
    reweigh(task.pk, validator.pk)
    Review.objects.update(closed_at=timezone.now())

    output, agrees = check()
    assert not agrees
    assert "digits: 1 verdicts rest on votes that lost their weight" in output
    assert "of validators" not in output
    assert summary("recompute")["repaired"] == 1
    assert check()[1]
    assert Review.objects.get(closed_at=None).example == example


def test_how_much_somebody_answered_is_proved_and_how_often_they_tried_a_context(
    worked: Task, annotator: User, validator: User, summary: Any
) -> None:
    context = Context.objects.create(task=worked, data={"text": "a"}, sha256="a")
    made = Example.objects.filter(author=annotator, client_id__isnull=False)
    ContextLease.objects.create(
        context=context, author=annotator, tries=made.update(context=context),
        expires_at=timezone.now(),
    )  # fmt: skip
    guest = WorkSession.objects.create(kind=WorkSession.Kind.GUEST)
    one = made.filter(queued=False).first()
    assert one is not None
    one.pk, one.author, one.session, one.sandbox = None, None, guest, True
    one.uid, one.client_id = uuid.uuid4(), uuid.uuid4()
    one.save(force_insert=True)
    ContextLease.objects.create(context=context, session=guest, tries=1, expires_at=timezone.now())
    assert check()[1]
    right = Reliability.objects.get(validator=validator).answered
    Reliability.objects.filter(validator=validator).update(answered=right + 3)
    ContextLease.objects.filter(author=annotator).update(tries=1)
    output, agrees = check()
    assert not agrees
    assert "1 people have tried a context otherwise than is said" in output
    found = json.loads(output.splitlines()[-1])
    assert (found["differences"], found["context_tries_differ"]) == (2, 1)
    assert summary("recompute")["repaired"] == 2
    assert check()[1]
    assert Reliability.objects.get(validator=validator).answered == right > 0
    assert ContextLease.objects.get(author=annotator).tries == made.count() > 1


def test_tries_and_what_says_them_are_read_at_one_moment(
    worked: Task, django_assert_num_queries: Any
) -> None:
    """A guest's try waits for no repair: between two statements it would count in one alone."""
    with django_assert_num_queries(1):
        assert recount._wrong_context_tries() == {}


@pytest.mark.postgres
@pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite has one writer, who never meets another"
)
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("locked", [True, False], ids=["locked", "control"])
def test_correcting_and_submitting_at_once_lose_nothing(
    task: Task, annotator: User, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    """Somebody submits between the count and the correction; without the locks it is uncounted."""
    cast.submission(task, annotator, 1)
    Tally.objects.update(verified=77)
    counted, submitted = threading.Event(), threading.Event()
    count = recount._recount

    def count_and_wait() -> recount.Recount:
        found = count()
        counted.set()
        submitted.wait(0.3 if locked else cast.PATIENCE)  # with the locks nobody submits before it
        return found

    def submit() -> None:
        counted.wait(10)
        cast.submission(task, annotator, 2)
        submitted.set()

    monkeypatch.setattr(recount, "_recount", count_and_wait)
    if not locked:
        monkeypatch.setattr(recount, "_keep_others_out", lambda: None)
    outcomes = at_once([recount.repair, submit])
    monkeypatch.setattr(recount, "_recount", count)

    assert not any(isinstance(outcome, Exception) for outcome in outcomes)
    assert submitted.is_set()
    assert check()[1] == locked
