"""Several people at the same moment, each on their own connection, with controls.

A control takes the lock away and shows that the race then really goes wrong: without it, a test
that never collides would pass for ever.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from django.forms.models import model_to_dict
from django.utils import timezone

from accounts.models import User
from annotate import submissions
from annotate.models import Example, Task, TaskConfig
from annotate.queries import Participant, kept_config
from core.errors import Refused
from core.transactions import durable
from scoring.models import Tally
from scoring.tally import contribution
from tests import acts, cast
from tests.races import at_once, take_locks_away
from validate import hearing, statements
from validate.acts import adjudicate
from validate.acts import lease as leases
from validate.acts import vote as votes
from validate.acts.gold import mark_gold
from validate.hearing import Hearing, hear
from validate.models import AuthorShare, Lease, QueueItem, Reliability, Vote
from validate.people import recount
from validate.people.recount import check, repair

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 5


def assert_tallies_are_the_facts() -> None:
    facts: Counter[str] = Counter()
    for example in Example.objects.all():
        facts.update(contribution(example))
    stored: Counter[str] = Counter()
    for tally in Tally.objects.all():
        stored.update({column: getattr(tally, column) for column in facts})
    assert stored == facts


def test_one_client_id_twice_at_once_is_one_example(task: Task, annotator: User) -> None:
    for seed in range(ROUNDS):
        client_id = uuid.uuid4()
        call = submission_of(task, annotator, seed, client_id)
        outcomes = at_once([call, call, call])
        assert {example.pk for example, _ in outcomes} == {
            Example.objects.get(client_id=client_id).pk
        }
        assert [new for _, new in outcomes].count(True) == 1
    assert_tallies_are_the_facts()


def test_nobody_sends_more_in_a_day_than_the_task_takes(owner: User, annotator: User) -> None:
    task = cast.digits_task(owner, daily=2)
    calls = [submission_of(task, annotator, seed, uuid.uuid4()) for seed in range(4)]
    outcomes = at_once(calls)
    assert Example.objects.count() == 2
    assert {one.code for one in outcomes if isinstance(one, Refused)} == {"daily_limit"}
    Example.objects.update(created_at=timezone.now() - timedelta(days=1))
    submission_of(task, annotator, 5, uuid.uuid4())()


def submission_of(
    task: Task, author: User, seed: int, client_id: uuid.UUID
) -> Callable[[], tuple[Example, bool]]:
    def submit() -> tuple[Example, bool]:
        done = submissions.submit(
            participant=Participant(user=author),
            task_id=task.pk,
            client_id=client_id,
            input=cast.drawing(seed),
            label="3",
        )
        return done.example, done.is_new

    return submit


def test_the_same_drawing_twice_at_once_counts_once(task: Task, annotator: User) -> None:
    for seed in range(ROUNDS):
        calls = [submission_of(task, annotator, seed, uuid.uuid4()) for _ in range(2)]
        outcomes = at_once(calls)
        assert [getattr(outcome, "code", "taken") for outcome in outcomes].count("taken") == 1
    assert Example.objects.count() == ROUNDS
    assert_tallies_are_the_facts()


def test_first_examples_of_one_author_at_once_are_all_counted(task: Task, annotator: User) -> None:
    at_once([submission_of(task, annotator, seed, uuid.uuid4()) for seed in range(4)])
    assert Tally.objects.get().submitted == 4
    assert_tallies_are_the_facts()


def test_the_last_place_goes_to_one(task: Task, annotator: User) -> None:
    people = [cast.person(f"v{n}", "validator") for n in range(5)]
    for seed in range(ROUNDS):
        example = cast.submission(task, annotator, seed)
        cast.answer(people[seed], task)
        others = [person for person in people if person != people[seed]]
        leases = at_once([lease_call(person, task) for person in others])
        granted = [lease for lease in leases if lease is not None]
        assert len(granted) == 1, leases
        assert QueueItem.objects.get(example=example).leases_active == 1
        acts.vote(validator=granted[0].validator, lease_id=granted[0].pk, label=example.label)


def lease_call(person: User, task: Task) -> Callable[[], Lease | None]:
    return lambda: acts.next_item(validator=person, task=task)


@pytest.mark.parametrize("asked_again", [True, False])
def test_an_example_is_begun_once(
    task: Task, annotator: User, validator: User, other_validator: User, on_postgres: bool,
    monkeypatch: pytest.MonkeyPatch, asked_again: bool,
) -> None:  # fmt: skip
    """By one of two newcomers of whom one waits for the other's lock; the control asks nothing
    again of an entry that was waited for."""
    if not on_postgres:
        pytest.skip("SQLite has one writer at a time: nobody waits for a lock")
    for number in range(4):
        known = cast.person(f"known{number}", "validator")
        Reliability.objects.create(
            task=task, validator=known, answered_at=timezone.now(), gold_seen=5, gold_right=5
        )
    cast.submission(task, annotator)

    def hold_until_somebody_waits(*_: Any) -> bool:
        for _tries in range(500):
            with connection.cursor() as cursor:
                cursor.execute("SELECT COUNT(*) FROM pg_locks WHERE NOT granted")
                if cursor.fetchone()[0]:
                    break
            time.sleep(0.02)
        return False

    is_turn = iter([hold_until_somebody_waits])
    monkeypatch.setattr(leases, "is_gold_turn", lambda *_: next(is_turn, lambda: False)())
    if not asked_again:
        unasked = re.sub(r"q\.(\w+) = c\.\1", "TRUE", statements.FREE)
        monkeypatch.setattr(
            statements, "FREE", unasked.replace("TRUE", "q.example_id = c.example_id", 1)
        )

    outcomes = at_once([lease_call(person, task) for person in (validator, other_validator)])

    begun = [one for one in outcomes if one is not None]
    assert all(isinstance(one, Lease) for one in begun), outcomes
    assert len(begun) == (1 if asked_again else 2)


def test_two_votes_at_once_decide_once(
    task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    for seed in range(ROUNDS):
        example = cast.submission(task, annotator, seed)
        first, second = leases_of([validator, other_validator], task)
        votes = at_once([vote_call(first, example.label), vote_call(second, example.label)])
        assert [vote.surplus for vote in votes] == [False, False]
        example.refresh_from_db()
        assert example.status == Example.Status.VERIFIED
    assert Tally.objects.get().verified == ROUNDS
    assert_tallies_are_the_facts()


def leases_of(people: list[User], task: Task) -> list[Lease]:
    leases = [acts.next_item(validator=person, task=task) for person in people]
    assert None not in leases
    return [lease for lease in leases if lease is not None]


def vote_call(lease: Lease, label: object) -> Callable[[], Vote]:
    return lambda: voted_on(lease, label).vote


def voted_on(lease: Lease, label: object) -> acts.Answered:
    return acts.vote_and_go_on(validator=lease.validator, lease_id=lease.pk, label=label)


def test_a_vote_is_committed_before_its_voter_waits_for_the_next_item(
    task: Task, annotator: User, validator: User, on_postgres: bool
) -> None:
    """The only other item is locked: whoever holds it may need what the voter has locked."""
    if not on_postgres:
        pytest.skip("SQLite has one writer at a time: nobody waits for a second lock")
    cast.submission(task, annotator, 1)
    other = cast.submission(task, annotator, 2)
    (lease,) = leases_of([validator], task)
    is_held, is_there = threading.Event(), threading.Event()

    def hold_the_other() -> bool:
        with durable():
            hearing.lock_items([other.pk])
            is_held.set()
            return is_there.wait(10)

    def vote_meanwhile() -> acts.Answered:
        is_held.wait(10)
        return voted_on(lease, "3")

    def look() -> None:
        for _ in range(400):
            if Vote.objects.filter(lease=lease).exists():
                is_there.set()
                return
            time.sleep(0.05)

    was_seen, answered, _ = at_once([hold_the_other, vote_meanwhile, look])

    assert was_seen, "the vote was committed only after the lock was gone"
    assert answered.following.example_id == other.pk
    assert answered.progress["waiting"] == "few", "what one holds waits for one"


def test_a_vote_on_what_is_settled_and_queued_again_meanwhile_counts(
    task: Task, annotator: User, validator: User, owner: User, on_postgres: bool
) -> None:
    """Its queue entry is another one than that which the vote has waited for."""
    if not on_postgres:
        pytest.skip("SQLite has one writer at a time: nobody waits for a second lock")
    example = cast.submission(task, annotator)
    (lease,) = leases_of([validator], task)
    is_new = threading.Event()

    def settle_and_reopen() -> None:
        with durable():
            heard = hear(example.pk)
            for status in ("rejected", "open"):
                adjudicate._settle(heard, status, None, owner, "Look.")
            QueueItem.objects.get(pk=example.pk)  # written
            is_new.set()
            time.sleep(0.5)  # for the vote to come and wait

    def vote_meanwhile() -> Vote:
        is_new.wait(10)
        return voted_on(lease, "3").vote

    _, vote = at_once([settle_and_reopen, vote_meanwhile])

    assert not vote.surplus
    item = QueueItem.objects.get(pk=example.pk)
    assert (item.votes_wanted, item.leases_active) == (1, 0)


def test_without_the_lock_two_votes_at_once_decide_nothing(
    task: Task,
    annotator: User,
    validator: User,
    other_validator: User,
    monkeypatch: pytest.MonkeyPatch,
    on_postgres: bool,
) -> None:
    """The control: each voter counts only their own vote, and nobody settles the example."""
    if not on_postgres:
        pytest.skip("SQLite has one writer at a time, whatever is locked")
    both_voted = threading.Barrier(2)
    decide = Hearing.decision

    def decide_together(hearing: Hearing) -> Any:
        both_voted.wait(10)
        settled = decide(hearing)
        both_voted.wait(10)  # neither commits before the other has counted
        return settled

    example = cast.submission(task, annotator)
    first, second = leases_of([validator, other_validator], task)
    take_locks_away(monkeypatch)
    monkeypatch.setattr(Hearing, "decision", decide_together)

    outcomes = at_once([vote_call(first, example.label), vote_call(second, example.label)])

    example.refresh_from_db()
    assert all(isinstance(outcome, Vote) for outcome in outcomes), outcomes
    assert Vote.objects.count() == 2
    assert example.status == Example.Status.OPEN


def test_one_person_votes_once_even_at_once(task: Task, annotator: User, validator: User) -> None:
    for seed in range(ROUNDS):
        example = cast.submission(task, annotator, seed)
        lease = acts.next_item(validator=validator, task=task)
        assert lease is not None
        call = vote_call(lease, example.label)
        outcomes = at_once([call, call])
        assert len({vote.pk for vote in outcomes}) == 1, outcomes
        assert Vote.objects.filter(example=example).count() == 1


def test_two_who_hold_what_the_other_answered_take_their_answers_back(
    task: Task,
    annotator: User,
    validator: User,
    other_validator: User,
    on_postgres: bool,
) -> None:
    if not on_postgres:
        pytest.skip("SQLite has one writer at a time: nobody waits for a second lock")
    first, second = (cast.submission(task, annotator, seed) for seed in (1, 2))
    cast.answer(validator, task)
    skipped = acts.next_item(validator=other_validator, task=task)
    assert skipped is not None
    acts.release(validator=other_validator, lease_id=skipped.pk, skip=True)
    cast.answer(other_validator, task)
    acts.unskip(validator=other_validator, task=task)
    leases = leases_of([validator, other_validator], task)
    assert [lease.example for lease in leases] == [second, first]

    outcomes = at_once(
        [
            lambda: acts.undo(validator=validator, task=task),
            lambda: acts.undo(validator=other_validator, task=task),
        ]
    )

    assert all(isinstance(outcome, Lease) for outcome in outcomes), outcomes


def test_two_who_judge_each_other_are_banned_at_once(
    task: Task,
    validator: User,
    other_validator: User,
    owner: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    people = [validator, other_validator]
    for seed, author in enumerate(people):
        cast.submission(task, author, seed)
    leases_of(people, task)
    lock = hearing._locked

    def lock_slowly(ids: Any) -> list[Example]:
        examples = lock(ids)
        time.sleep(0.1)
        return examples

    monkeypatch.setattr(hearing, "_locked", lock_slowly)

    def ban(person: User) -> Callable[[], None]:
        return lambda: acts.set_banned(actor=owner, user=person, banned=True, reason="a pair")

    assert at_once([ban(person) for person in people]) == [None, None]
    assert set(QueueItem.objects.values_list("withdrawn", "leases_active")) == {(True, 0)}


def test_a_ban_during_a_vote_settles_on_one_story(
    task: Task, annotator: User, validator: User, owner: User
) -> None:
    for seed in range(ROUNDS):
        cast.submission(task, annotator, seed)
        lease = acts.next_item(validator=validator, task=task)
        assert lease is not None

        def ban() -> None:
            acts.set_banned(actor=owner, user=validator, banned=True, reason="spam")

        voted, _ = at_once([vote_call(lease, lease.example.label), ban])
        # Either the vote came first and counts, or the ban did and the vote was refused.
        assert isinstance(voted, Refused) != Vote.objects.filter(lease=lease).exists()
        acts.set_banned(actor=owner, user=validator, banned=False, reason="sorry")
    items = {item.pk: item.leases_active for item in QueueItem.objects.all()}
    assert not any(items.values())


def test_a_round_that_closes_takes_no_late_submission(task: Task, annotator: User) -> None:
    from annotate import rounds
    from annotate.models import Round

    for seed in range(ROUNDS):
        open_round = Round.objects.get(task=task, status=Round.Status.OPEN)
        model = cast.fixed_model(task, seed=seed + 1)

        def close() -> None:
            with durable():
                rounds.open_next_round(task=task, models=[model])  # noqa: B023

        submitted, _ = at_once([submission_of(task, annotator, seed, uuid.uuid4()), close])
        closed_at = Round.objects.get(pk=open_round.pk).closed_at
        if isinstance(submitted, Refused):
            assert submitted.code == "round_changed"
        else:
            example, _ = submitted
            assert example.round.closed_at is None or example.created_at <= closed_at
    assert_tallies_are_the_facts()


def test_one_person_asking_at_once_gets_one_item(
    task: Task, annotator: User, validator: User
) -> None:
    for seed in range(4):
        cast.submission(task, annotator, seed)
    for _ in range(ROUNDS):
        leases = at_once([lease_call(validator, task)] * 3)
        assert len({lease.pk for lease in leases}) == 1, leases
        acts.release(validator=validator, lease_id=leases[0].pk)


def test_what_is_learnt_about_people_adds_up_when_they_vote_at_once(
    owner: User, annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what a vote hands on of its voter, to ask for the next item by, is what is stored."""
    task = cast.digits_task(owner, validation={"policy": "bayes", "gold_first": 0})
    people = [cast.person(f"v{n}", "validator") for n in range(4)]
    for seed in range(12):
        cast.submission(task, annotator, seed)
    ask, handed_on = votes.ask, []

    def ask_by_what_is_stored(*args: Any, row: Reliability | None = None) -> Any:
        assert row is not None
        assert model_to_dict(row) == model_to_dict(Reliability.objects.get(pk=row.pk))
        handed_on.append(row)
        return ask(*args, row=row)

    monkeypatch.setattr(votes, "ask", ask_by_what_is_stored)

    def work(person: User) -> None:
        while lease := acts.next_item(validator=person, task=task):
            following: Lease | None = lease
            while following is not None:
                following = voted_on(following, following.example.label).following

    outcomes = at_once([partial(work, person) for person in people])
    assert outcomes == [None] * 4
    assert len(handed_on) == Vote.objects.count()
    assert Example.objects.filter(status=Example.Status.VERIFIED).count() == 12
    assert Reliability.objects.aggregate(scored=Sum("scored"))["scored"] == 24
    assert repair(task).agrees
    assert_tallies_are_the_facts()


def test_gold_that_ran_out_is_skipped_while_its_holder_asks_on(
    owner: User, task: Task, annotator: User, validator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Skipping holds the lease and needs its holder's row; asking holds that row and ends leases
    that ran out: it must not wait for one."""
    gold = cast.submission(task, annotator, 0)
    mark_gold(actor=owner, example_id=gold.pk, answer="3")
    for seed in range(1, 4):
        cast.submission(task, annotator, seed)
    monkeypatch.setattr(leases, "is_gold_turn", lambda *_: True)
    lease = acts.next_item(validator=validator, task=task)
    assert lease is not None
    assert lease.gold
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    skipping, asking = threading.Event(), threading.Event()
    end, end_expired = leases.end_lease, leases._end_expired_leases

    def end_and_wait(lease: Lease, item: QueueItem | None, how: str) -> None:
        end(lease, item, how)
        if how == Lease.End.SKIPPED:
            skipping.set()
            asking.wait(2)
            time.sleep(0.2)  # until the other one waits, if it does

    def end_when_skipped(now: Any) -> None:
        skipping.wait(2)
        asking.set()
        end_expired(now)

    monkeypatch.setattr(leases, "end_lease", end_and_wait)
    monkeypatch.setattr(leases, "_end_expired_leases", end_when_skipped)

    outcomes = at_once(
        [
            lambda: acts.release(validator=validator, lease_id=lease.pk, skip=True),
            lambda: acts.next_item(validator=validator, task=task),
        ]
    )

    assert not [one for one in outcomes if isinstance(one, Exception)], outcomes


def test_a_vote_during_a_recount_of_the_shares_stays_counted(
    task: Task, annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever votes for the first time has no share yet that the recount could have locked."""
    for seed in range(3):
        cast.submission(task, annotator, seed)
    cast.answer(cast.person("vera", "validator"), task)
    AuthorShare.objects.update(votes=9)  # something to repair
    late = [cast.person(name, "validator") for name in ("victor", "viola")]
    threads: list[threading.Thread] = []

    def answer_meanwhile(pk: int) -> TaskConfig:
        if late:
            threads.append(threading.Thread(target=at_once, args=([voting(late.pop())],)))
            threads[-1].start()
            threads[-1].join(1)  # it may have to wait until the recount is over
        return kept_config(pk)

    def voting(person: User) -> Callable[[], Any]:
        return lambda: cast.answer(person, task)

    monkeypatch.setattr(recount, "kept_config", answer_meanwhile)
    repair(task)
    for thread in threads:
        thread.join(10)
    assert len(threads) == 2
    assert Vote.objects.count() == 3
    assert check(task).agrees
