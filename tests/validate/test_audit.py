"""The nightly audit: what it lists, that it changes no verdict, and that a night is done once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import count
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from accounts.models import Event, User
from annotate.models import Example, Task
from tests import cast
from tests.acts import adjudicate
from validate import nightly, tasks
from validate.acts import gold
from validate.models import Reliability, Review, Vote
from validate.people import audit


@pytest.fixture(autouse=True)
def no_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a crowd of three whoever is always right confirms more than the others let them."""
    monkeypatch.setattr(nightly, "name_all_ties", lambda _: 0)


@pytest.fixture
def liars(
    task: Task,
    annotator: User,
    validator: User,
    other_validator: User,
    third_validator: User,
) -> Example:
    """Two people who are always right, and one who says 0 to nearly everything.

    The returned example was rejected by two votes for 0, one of them by that one.
    """
    drawn = count()
    for label in [*"22222222", *"0000"]:
        example = _labelled(task, annotator, label, drawn)
        _vote(example, validator, example.label)
        _vote(example, other_validator, example.label)
        _vote(example, third_validator, "0", surplus=True)
        _settle(example, "verified", example.label)
    # Until now only two votes counted: let the third one be known too.
    Vote.objects.update(surplus=False)
    doubtful = _labelled(task, annotator, "2", drawn)
    _vote(doubtful, validator, doubtful.label)
    _vote(doubtful, third_validator, "0")
    _settle(doubtful, "rejected", "0")
    return doubtful


def _labelled(task: Task, author: User, label: str, drawn: Iterator[int]) -> Example:
    """The next drawing that the model does not read so."""
    seed = next(seed for seed in drawn if cast.prediction(task, cast.drawing(seed)) != label)
    return cast.submission(task, author, seed, label=label)


def _vote(example: Example, validator: User, label: str, **more: Any) -> None:
    Vote.objects.create(
        example=example, validator=validator, author=example.author, label=label, **more
    )


def _settle(example: Example, status: str, label: str) -> None:
    Example.objects.filter(pk=example.pk).update(
        status=status, final_label=label, settled_at=timezone.now()
    )


def test_a_verdict_that_rests_on_somebody_who_mixes_up_labels_is_listed(
    task: Task, liars: Example
) -> None:
    before = list(Example.objects.order_by("pk").values())
    found = audit.audit_votes(task)
    assert found is not None
    assert [one.example_id for one in found.disagreements] == [liars.pk]
    assert found.disagreements[0].label == liars.label
    assert found.disagreements[0].verdict < 0.5
    assert (found.votes, found.examples, found.validators, found.opened) == (38, 13, 3, 1)
    (review,) = Review.objects.filter(task=task, closed_at=None)
    assert (review.kind, review.example) == ("audit", liars)
    assert f"it is {liars.label} with" in review.reason
    assert list(Example.objects.order_by("pk").values()) == before


def test_auditing_again_asks_nothing_twice(task: Task, liars: Example) -> None:
    audit.audit_votes(task)
    again = audit.audit_votes(task)
    assert again is not None
    assert (again.opened, again.closed) == (0, 0)
    assert Review.objects.count() == 1


def test_what_an_owner_decided_is_known_and_not_asked_again(
    task: Task, owner: User, liars: Example
) -> None:
    audit.audit_votes(task)
    adjudicate(actor=owner, example_id=liars.pk, status="rejected", reason="It is a 0.")
    found = audit.audit_votes(task)
    assert found is not None
    assert found.disagreements == ()
    assert not Review.objects.filter(closed_at=None).exists()


def test_a_review_that_the_audit_no_longer_supports_is_closed(task: Task, liars: Example) -> None:
    audit.audit_votes(task)
    _settle(liars, "verified", liars.label)
    found = audit.audit_votes(task)
    assert found is not None
    assert found.closed == 1


def test_it_says_nothing_where_there_is_nothing_to_weigh(owner: User, task: Task) -> None:
    empty = audit.audit_votes(task)
    assert empty is not None
    assert (empty.votes, empty.disagreements) == (0, ())
    topics = cast.digits_task(
        owner,
        slug="topics",
        input="text_multilabel",
        comparator={"rule": "label_set"},
        validation={"policy": "two_plus_one"},
    )
    assert audit.audit_votes(topics) is None
    with pytest.raises(CommandError, match="nothing to audit"):
        call_command("audit_votes", "topics")


def test_the_command_prints_what_differs(task: Task, liars: Example) -> None:
    out = StringIO()
    call_command("audit_votes", "digits", "--json", stdout=out)
    told = json.loads(out.getvalue().splitlines()[-1])
    assert [one["example"] for one in told["disagreements"]] == [str(liars.uid)]
    assert told["opened"] == 1
    with pytest.raises(CommandError, match="no task"):
        call_command("audit_votes", "letters")


def test_a_wrong_reliability_is_corrected(
    task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    cast.submission(task, annotator)
    cast.answer(validator, task)
    cast.answer(other_validator, task)
    assert nightly.look_over(task).corrected == 0
    right = Reliability.objects.get(validator=validator)
    Reliability.objects.filter(pk=right.pk).update(alpha=99)
    assert nightly.look_over(task).corrected == 1
    corrected = Reliability.objects.get(pk=right.pk)
    assert corrected.alpha == pytest.approx(right.alpha)


def test_a_night_is_given_to_one_worker_only(task: Task, liars: Example) -> None:
    now = timezone.now()
    assert nightly.claim_due(now) == [task]
    assert nightly.claim_due(now) == []
    tomorrow = nightly.last_night(now) + timedelta(days=1)
    assert nightly.claim_due(tomorrow) == []  # no vote since
    Vote.objects.update(created_at=now + timedelta(minutes=1))
    assert nightly.claim_due(tomorrow - timedelta(seconds=1)) == []
    assert nightly.claim_due(tomorrow) == [task]


def test_the_last_night_is_at_three() -> None:
    three = datetime(2026, 5, 4, 3, tzinfo=UTC)
    assert nightly.last_night(three) == three
    assert nightly.last_night(three + timedelta(hours=20)) == three
    assert nightly.last_night(three - timedelta(seconds=1)) == three - timedelta(days=1)


def test_the_worker_adds_a_job_that_does_it(task: Task, liars: Example) -> None:
    assert tasks.enqueue_due() == 1
    assert tasks.enqueue_due() == 0
    (job,) = DBTaskResult.objects.all()
    assert job.args_kwargs["args"] == [task.pk]
    assert tasks.look_over.func(task.pk).endswith("1 differ")
    assert Event.objects.filter(verb="audited_votes", scope="digits").count() == 1


def test_the_nightly_command_does_what_is_due(task: Task, liars: Example) -> None:
    def told(*options: str) -> dict[str, Any]:
        out = StringIO()
        call_command("nightly", "--json", *options, stdout=out)
        summary: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
        return summary["tasks"]

    assert told()["digits"]["disagreements"] == 1
    assert told() == {}
    assert told("--now")["digits"]["disagreements"] == 1


def test_an_answer_that_an_owner_took_back_is_known_no_more(
    task: Task, owner: User, annotator: User, validator: User, other_validator: User
) -> None:
    example = cast.submission(task, annotator)
    gold.mark_gold(actor=owner, example_id=example.pk, answer=example.prediction)
    adjudicate(actor=owner, example_id=example.pk, status="open", reason="was wrong")
    cast.answer(validator, task)
    assert cast.answer(other_validator, task).status == Example.Status.VERIFIED

    found = audit.disagreements(task)

    assert found is not None
    assert (found.votes, found.known, found.disagreements) == (2, 0, ())
