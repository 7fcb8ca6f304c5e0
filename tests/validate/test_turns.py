"""Whose turn it is in the queue: order, time, shares of an author's votes; what asking costs."""

from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from annotate.models import Example, Task
from core.errors import Conflict
from tests import acts, cast
from validate.models import AuthorShare, QueueItem, Reliability
from validate.queries import reciprocal_pairs

QUERIES = {
    "sqlite": {"next": 9, "vote and next": 18, "settling vote and next": 25},
    "postgresql": {"next": 9, "vote and next": 18, "settling vote and next": 25},
}


def test_what_is_nearest_to_a_verdict_comes_before_what_is_older(
    owner: User, annotator: User, validator: User, other_validator: User
) -> None:
    task = cast.digits_task(owner, validation={"policy": "bayes", "sample": 0})
    cast.submission(task, annotator, 1)
    begun = cast.submission(task, annotator, 2)
    lease = cast.lease_for(validator, task)
    acts.release(validator=validator, lease_id=lease.pk, skip=True)
    assert cast.answer(validator, task) == begun

    assert cast.lease_for(other_validator, task).example == begun
    urgency = dict(QueueItem.objects.values_list("example", "urgency"))
    assert urgency[begun.pk] > 0.9 > urgency[lease.example_id] > 0.5


def test_a_page_may_have_the_next_item_ready_but_no_third(
    task: Task, annotator: User, validator: User
) -> None:
    for seed in (1, 2, 3):
        cast.submission(task, annotator, seed)
    current = cast.lease_for(validator, task)
    following = cast.lease_for(validator, task, after=current.pk)
    assert following != current
    assert cast.lease_for(validator, task) == current
    assert cast.lease_for(validator, task, after=current.pk) == following
    assert cast.lease_for(validator, task, after=following.pk) == current

    acts.vote(validator=validator, lease_id=current.pk, label="3")
    assert cast.lease_for(validator, task) == following
    third = cast.lease_for(validator, task, after=following.pk)
    assert third not in (current, following)


def test_time_is_counted_from_when_the_item_could_be_seen(
    task: Task, annotator: User, validator: User
) -> None:
    for seed in (1, 2):
        cast.submission(task, annotator, seed)
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        current = cast.lease_for(validator, task)
        following = cast.lease_for(validator, task, after=current.pk)
    with time_machine.travel(now + timedelta(seconds=20), tick=False):
        slow = acts.vote(validator=validator, lease_id=current.pk, label="3")
    with time_machine.travel(now + timedelta(seconds=22), tick=False):
        fast = acts.vote(validator=validator, lease_id=following.pk, label="3")
    assert (slow.seconds, slow.fast) == (20, False)
    assert (fast.seconds, fast.fast, fast.surplus) == (2, True, False)


def test_a_heartbeat_keeps_an_item_up_to_the_limit(
    task: Task, annotator: User, validator: User
) -> None:
    cast.submission(task, annotator)
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        lease = cast.lease_for(validator, task)
    for after, until in ((100, 280), (250, 430), (420, 600), (590, 770), (760, 900), (890, 900)):
        with time_machine.travel(now + timedelta(seconds=after), tick=False):
            kept = acts.extend(validator=validator, lease_id=lease.pk)
        assert kept.expires_at == now + timedelta(seconds=until)
    with (
        time_machine.travel(now + timedelta(seconds=901), tick=False),
        pytest.raises(Conflict),
    ):
        acts.extend(validator=validator, lease_id=lease.pk)


def test_nobody_gives_more_than_their_share_of_an_author_s_votes(
    task: Task, annotator: User, other_annotator: User, validator: User, other_validator: User
) -> None:
    cast.submission(task, annotator, 1)
    other = cast.submission(task, other_annotator, 2)
    people = [cast.person(f"v{n}", "validator") for n in range(10)]
    for person in people:
        Reliability.objects.create(task=task, validator=person, answered_at=timezone.now())
    shares = {"task": task, "author": annotator}
    AuthorShare.objects.create(**shares, validator=people[0], votes=15)
    AuthorShare.objects.create(**shares, validator=validator, votes=5)
    AuthorShare.objects.create(**shares, validator=other_validator, votes=3)

    assert cast.lease_for(validator, task).example == other
    assert cast.lease_for(other_validator, task).example != other


@pytest.mark.parametrize("last_seen", [None, timedelta(days=8)])
def test_with_few_validators_the_queue_does_not_stand_still(
    task: Task, annotator: User, validator: User, other_validator: User, third_validator: User,
    last_seen: timedelta | None,
) -> None:  # fmt: skip
    """However many are known from a log, or came once and stay away."""
    for n in range(10):
        Reliability.objects.create(
            task=task,
            validator=cast.person(f"v{n}", "validator"),
            answered_at=last_seen and timezone.now() - last_seen,
        )
    people = [validator, other_validator, third_validator]
    for seed in range(16):
        cast.submission(task, annotator, seed)
    waiting = set(people)
    while waiting:
        for person in list(waiting):
            if acts.next_item(validator=person, task=task) is None:
                waiting.discard(person)
            else:
                cast.answer(person, task)
    assert not QueueItem.objects.exists()
    assert AuthorShare.objects.aggregate(votes=Sum("votes"))["votes"] == 32


def test_two_who_confirm_each_other_are_named(
    task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    for author, voter, votes, agreed in (
        (validator, other_validator, 20, 20),
        (other_validator, validator, 15, 15),
        (annotator, validator, 60, 30),
        (annotator, other_validator, 60, 31),
    ):
        AuthorShare.objects.create(
            task=task, author=author, validator=voter, votes=votes, agreed=agreed
        )
    (pair,) = reciprocal_pairs(task.pk)
    assert {pair["first"], pair["second"]} == {validator, other_validator}
    assert (pair["votes"], pair["agreement"]) == (35, 1)
    assert pair["excess"] > 3


def test_queries_for_next_and_vote_stay_within_their_baseline(
    owner: User, annotator: User, validator: User, other_validator: User
) -> None:
    task = cast.digits_task(owner, validation={"policy": "bayes", "sample": 0, "gold_first": 0})
    for seed in range(4):
        cast.submission(task, annotator, seed)
    cast.answer(validator, task)
    cast.answer(other_validator, task)
    with CaptureQueriesContext(connection) as asking:
        lease = cast.lease_for(validator, task)
    with CaptureQueriesContext(connection) as voting:
        answered = acts.vote_and_go_on(
            validator=validator, lease_id=lease.pk, label=lease.example.label
        )
    assert answered.following is not None
    lease = cast.lease_for(other_validator, task)
    with CaptureQueriesContext(connection) as settling:
        acts.vote_and_go_on(validator=other_validator, lease_id=lease.pk, label=lease.example.label)
    assert Example.objects.filter(status="verified").count() == 2
    counts = {
        "next": len(asking),
        "vote and next": len(voting),
        "settling vote and next": len(settling),
    }
    assert counts == QUERIES[connection.vendor], counts
    # A log's batch holds its voters' rows before it moves a tally: nobody may do it the other way.
    order = ['"validate_reliability" (', '"scoring_tally" SET', 'FROM "training_trainingrun"']
    statements = "\n".join(query["sql"] for query in settling.captured_queries)
    places = [statements.index(part) for part in order]
    assert places == sorted(places), statements
