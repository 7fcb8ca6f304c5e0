"""What goes wrong in each race without the lock or the constraint that decides it.

The same races with everything in place are in test_races.py. SQLite has one writer at a time,
whatever is locked: these need PostgreSQL.
"""

from __future__ import annotations

import threading
import uuid
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from django.db import IntegrityError
from django.db.models import QuerySet

from accounts.models import Event, User
from annotate import quotas, submissions
from annotate import statements as reads
from annotate.models import Example, Round, Task
from annotate.rounds import open_next_round
from annotate.schedule import change_round
from core.errors import Conflict, Refused
from core.transactions import durable
from tests import acts, cast
from tests.races import at_once, meeting, take_locks_away, without
from tests.validate.test_races import lease_call, leases_of, submission_of, vote_call
from validate import statements
from validate.acts import adjudicate
from validate.acts import lease as leases
from validate.acts import vote as votes
from validate.models import Lease, QueueItem, Review, Vote

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def postgres(on_postgres: bool) -> None:
    if not on_postgres:
        pytest.skip("SQLite has one writer at a time, whatever is locked")


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Votes, bans and owners read examples and queue entries without locking them."""
    take_locks_away(monkeypatch)


@pytest.mark.parametrize("constrained", [True, False])
def test_two_submissions_of_one_client_id(
    task: Task, annotator: User, monkeypatch: pytest.MonkeyPatch, constrained: bool
) -> None:
    """Both have found none before them."""
    monkeypatch.setattr(submissions._together, "write", lambda _: None)  # it takes them in turn
    monkeypatch.setattr(submissions, "_insert", meeting(2, submissions._insert))
    client_id = uuid.uuid4()
    # Without the constraint two contents, or that they are one would stop the second.
    seeds = (1, 1 if constrained else 2)
    calls = [submission_of(task, annotator, seed, client_id) for seed in seeds]
    with nullcontext() if constrained else without(Example, "client_id_once_per_author"):
        outcomes = at_once(calls)
        assert not [one for one in outcomes if isinstance(one, Exception)], outcomes
        assert Example.objects.count() == (1 if constrained else 2)


@pytest.mark.parametrize("in_turn", [True, False])
def test_the_last_place_of_a_round(
    task: Task,
    annotator: User,
    other_annotator: User,
    monkeypatch: pytest.MonkeyPatch,
    in_turn: bool,
) -> None:
    """Without the round's lock both find a place left."""
    change_round(task=task, number=1, changes={"submissions": 1}, reason="One is enough.")
    if not in_turn:
        monkeypatch.setattr(submissions, "takes_turns", lambda _: False)
    counted, both = quotas.why_full, threading.Barrier(2)

    def count_and_wait(round_: Round) -> str:
        said = counted(round_)
        with suppress(threading.BrokenBarrierError):  # with the lock nobody comes beside
            both.wait(0.3 if in_turn else cast.PATIENCE)
        return said

    monkeypatch.setattr(quotas, "why_full", count_and_wait)
    calls = [
        submission_of(task, author, seed, uuid.uuid4())
        for seed, author in enumerate((annotator, other_annotator))
    ]
    outcomes = at_once(calls)
    assert Example.objects.count() == (1 if in_turn else 2)
    codes = {one.code for one in outcomes if isinstance(one, Refused)}
    assert codes == ({"quota_reached"} if in_turn else set())


@pytest.mark.parametrize("locked", [True, False])
def test_a_round_that_closes_during_a_submission(
    task: Task, annotator: User, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    """Without the lock the example comes into a round that has closed before it."""
    if not locked:
        monkeypatch.setattr(reads, "_lock", lambda _: "")
    looked, closed, before = threading.Event(), threading.Event(), reads.before_each

    def before_is_read(**how: Any) -> Any:
        looked.set()
        closed.wait(0.3 if locked else cast.PATIENCE)  # with the lock it cannot close within it
        return before(**how)

    monkeypatch.setattr(reads, "before_each", before_is_read)
    model = cast.fixed_model(task, seed=1)

    def close() -> bool:
        assert looked.wait(10)
        with durable():
            open_next_round(task=task, models=[model])
        came_before = Example.objects.exists()
        closed.set()
        return came_before

    (submitted, _), came_before = at_once([submission_of(task, annotator, 1, uuid.uuid4()), close])

    assert submitted.round.number == 1
    assert came_before == locked


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize("fenced", [True, False])
def test_two_votes_of_one_person(
    task: Task, annotator: User, validator: User, monkeypatch: pytest.MonkeyPatch, fenced: bool
) -> None:
    """The second one is given the first one's vote; without its fence the database stops it."""
    example = cast.submission(task, annotator)
    lease = acts.next_item(validator=validator, task=task)
    assert lease is not None
    monkeypatch.setattr(votes, "check_answer", meeting(2, votes.check_answer))
    if not fenced:
        monkeypatch.setattr(statements, "close_for_vote", lambda pk, _: Lease.objects.get(pk=pk))
    call = vote_call(lease, example.label)

    outcomes = at_once([call, call])

    assert Vote.objects.count() == 1
    kinds = {type(one) for one in outcomes}
    assert kinds == ({Vote} if fenced else {Vote, IntegrityError}), outcomes


@pytest.mark.parametrize("constrained", [True, False])
def test_two_people_for_the_last_place(
    task: Task, annotator: User, validator: User, other_validator: User, third_validator: User,
    monkeypatch: pytest.MonkeyPatch, constrained: bool,
) -> None:  # fmt: skip
    """Without the lock the second one fails; without the constraint too one vote will be wasted."""
    cast.submission(task, annotator)
    cast.answer(third_validator, task)
    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **_: rows)
    monkeypatch.setattr(statements, "_lock", lambda **_: "")
    monkeypatch.setattr(leases, "is_gold_turn", meeting(2, leases.is_gold_turn))
    calls = [lease_call(person, task) for person in (validator, other_validator)]
    name = "never_more_leases_than_useful_votes"
    with nullcontext() if constrained else without(QueueItem, name):
        outcomes = at_once(calls)
        item = QueueItem.objects.get()
        assert (item.votes_wanted, item.leases_active) == (1, 1 if constrained else 2)
        expected = {Lease, IntegrityError} if constrained else {Lease}
        assert {type(one) for one in outcomes} == expected, outcomes


@pytest.mark.usefixtures("no_locks")
def test_a_ban_during_a_vote(
    task: Task, annotator: User, validator: User, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vote of somebody who is banned already counts."""
    cast.submission(task, annotator)
    (lease,) = leases_of([validator], task)
    began, banned = threading.Event(), threading.Event()
    read = votes.reliability_of

    def read_when_banned(*args: Any) -> Any:
        began.set()
        assert banned.wait(10)
        return read(*args)

    def ban() -> None:
        assert began.wait(10)
        acts.set_banned(actor=owner, user=validator, banned=True, reason="spam")
        banned.set()

    monkeypatch.setattr(votes, "reliability_of", read_when_banned)
    monkeypatch.setattr(statements, "close_for_vote", lambda pk, _: Lease.objects.get(pk=pk))

    vote, _ = at_once([vote_call(lease, lease.example.label), ban])

    assert isinstance(vote, Vote), vote
    assert Vote.objects.counted().filter(validator__banned_at__isnull=False).exists()


@pytest.mark.parametrize("locked", [True, False])
def test_two_owners_decide_one_example(
    task: Task, annotator: User, owner: User, request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch, locked: bool,
) -> None:  # fmt: skip
    """Without the lock the tally's constraint stops the second one, who is not told why."""
    example = cast.submission(task, annotator)
    Review.objects.create(example=example, task=task, kind=Review.Kind.AUDIT)
    if not locked:
        request.getfixturevalue("no_locks")
        monkeypatch.setattr(adjudicate, "_settle", meeting(2, adjudicate._settle))

    def decide(act: str) -> None:
        adjudicate.decide(actor=owner, task=task, uid=example.uid, act=act, reason="Seen.")

    outcomes = at_once([lambda: decide("verify"), lambda: decide("reject")])

    assert Event.objects.filter(verb="adjudicated").count() == 1
    kinds = {type(one) for one in outcomes}
    assert kinds == {type(None), Conflict if locked else IntegrityError}, outcomes
