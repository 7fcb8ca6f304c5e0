"""Whom one judges is not for the validator to choose, and known answers come before agreement."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.models import User
from annotate.models import Example, Task
from core.errors import Conflict, Refused
from core.sql import prepared
from tests import acts, cast
from tests.validate.test_gold import gold_lines
from training.queries import verified_foolings
from validate import statements
from validate.acts import gold
from validate.acts import lease as leases
from validate.acts.adjudicate import take_back
from validate.models import Apart, AuthorShare, Lease, QueueItem, Reliability, Review, Vote
from validate.order import FREE, FREE_TO_PROVEN, NEW_UNTIL
from validate.people.patience import MOST
from validate.people.recount import check, repair
from validate.people.reliability import stands
from validate.people.ties import clear_tie, name_all_ties, named_ties
from validate.policies import Ballot, Outcome, TwoPlusOne, confirmed_again, decide, lots
from validate.policies.ties import Look, ties
from validate.policies.trust import HAS_STANDING, IS_KNOWN, fails_gold, is_known
from validate.verdicts import reweigh


def crowd(task: Task, people: int, **known: float) -> list[User]:
    """People who answered lately, of whom this is known."""
    found = [cast.person(f"crowd{n}", "validator") for n in range(people)]
    Reliability.objects.bulk_create(
        Reliability(task=task, validator=one, answered_at=timezone.now(), **known) for one in found
    )
    return found


KNOWN = {"gold_seen": 5, "gold_right": 5}


# --- order ----------------------------------------------------------------------------------------
@pytest.mark.drawn
def test_everybody_is_asked_in_an_order_of_their_own_that_asking_again_does_not_change(
    task: Task, annotator: User, validator: User, other_validator: User, third_validator: User
) -> None:
    examples = [cast.submission(task, annotator, seed) for seed in range(12)]
    for person in (validator, other_validator, third_validator):
        key = lots.key_of(settings.SECRET_KEY, task.pk, person.pk)
        order = sorted(examples, key=lambda one: lots.place(key, one.pk))
        lease = cast.lease_for(person, task)
        assert lease.example == order[0]
        acts.release(validator=person, lease_id=lease.pk)
        again = cast.lease_for(person, task)
        assert again.example == order[0]
        acts.release(validator=person, lease_id=again.pk)


@pytest.mark.drawn
def test_what_is_new_is_for_a_few_who_are_drawn_and_later_for_everybody(
    task: Task, annotator: User
) -> None:
    people = crowd(task, 12)
    examples = [cast.submission(task, annotator, seed) for seed in range(6)]
    asked = {}
    for person in people:
        key = lots.key_of(settings.SECRET_KEY, task.pk, person.pk)
        picked = {one for one in examples if lots.is_picked(lots.place(key, one.pk), 12, 4)}
        asked[person] = _all_for(person, task)
        assert asked[person] == picked
    assert 0 < sum(map(len, asked.values())) < 12 * 6
    QueueItem.objects.update(open_from=timezone.now() - timedelta(days=lots.OPENS_WITHIN))
    assert _all_for(people[0], task) == set(examples) - asked[people[0]]


def _all_for(person: User, task: Task) -> set[Example]:
    """Everything that somebody is asked about, skipped one by one with all the patience needed."""
    found = set()
    while lease := acts.next_item(validator=person, task=task):
        found.add(lease.example)
        Lease.objects.filter(pk=lease.pk).update(end=Lease.End.SKIPPED, ended_at=timezone.now())
        QueueItem.objects.update(leases_active=0)
        Reliability.objects.update(passes=0)
    return found


# --- what is passed over --------------------------------------------------------------------------
@pytest.fixture
def long_queue(task: Task, annotator: User) -> Task:
    for seed in range(30):
        cast.submission(task, annotator, seed)
    return task


def test_skips_are_bounded_and_answers_make_up_for_them(long_queue: Task, validator: User) -> None:
    def skip() -> None:
        lease = cast.lease_for(validator, long_queue)
        acts.release(validator=validator, lease_id=lease.pk, skip=True)

    for _ in range(6):
        skip()
    with pytest.raises(Conflict) as refused:
        skip()
    assert refused.value.code == "too_many_skips"
    held = Lease.objects.get(ended_at=None)
    assert cast.lease_for(validator, long_queue) == held
    for _ in range(6):
        cast.answer(validator, long_queue)
    skip()
    row = Reliability.objects.get(validator=validator)
    assert row.skipped == 7
    acts.unskip(validator=validator, task=long_queue)
    assert check(long_queue).agrees


def test_nobody_finds_out_what_the_first_one_said_by_taking_answers_back(
    annotator: User, validator: User, other_validator: User
) -> None:
    """What can be taken back has not settled it: with two labels the other one then does."""
    task = cast.text_task(validation={"policy": "two_plus_one", "sample": 1})
    for number in range(20):
        text = {"text": f"{number} {sha256(str(number).encode()).hexdigest()}"}
        cast.submission(task, annotator, fooled=False, input=text, label="yes")
        cast.answer(other_validator, task)
    lease: Lease | None = cast.lease_for(validator, task)
    while lease is not None:
        acts.vote_and_go_on(validator=validator, lease_id=lease.pk, label="no")
        with suppress(Conflict):
            back = acts.undo(validator=validator, task=task, answer=lease.pk)
            acts.vote_and_go_on(validator=validator, lease_id=back.pk, label="yes")
        lease = acts.next_item(validator=validator, task=task)
    assert Vote.objects.filter(validator=validator).count() == 20
    assert Vote.objects.filter(validator=validator, label="yes").count() <= 12, "without a bound 20"
    assert check(task).agrees


@pytest.mark.parametrize("how", ["given back", "run out"])
def test_no_way_of_leaving_items_goes_on_for_ever(
    long_queue: Task, validator: User, how: str
) -> None:
    now = timezone.now()
    for _ in range(int(3 * MOST) + 1):
        now += timedelta(seconds=1)
        with time_machine.travel(now, tick=False):
            lease = cast.lease_for(validator, long_queue)
            if how == "given back":
                acts.release(validator=validator, lease_id=lease.pk)
            else:
                Lease.objects.filter(pk=lease.pk).update(expires_at=now)
    with time_machine.travel(now, tick=False), pytest.raises(Refused) as refused:
        acts.next_item(validator=validator, task=long_queue)
    assert refused.value.code == "too_many_left"
    with time_machine.travel(now + timedelta(hours=5)):
        assert acts.next_item(validator=validator, task=long_queue)


def test_who_passes_over_meets_more_gold(
    long_queue: Task, owner: User, validator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    gold.load_gold(actor=owner, task=long_queue, lines=gold_lines("1"))
    tosses = []
    monkeypatch.setattr(leases, "is_gold_turn", lambda *_: tosses.append(1))
    cast.lease_for(validator, long_queue)
    assert len(tosses) == 2, "one for the item, one since nothing is known of them"
    for owed, expected in (1.5, 1), (2, 2), (5, 2):
        tosses.clear()
        Reliability.objects.update(passes=owed, passes_at=None, gold_seen=3)
        Lease.objects.all().delete()
        cast.lease_for(validator, long_queue)
        assert len(tosses) == expected, "more would tell who owes much that it is gold"


# --- new authors ----------------------------------------------------------------------------------
@pytest.mark.parametrize("has_gold", [False, True])
def test_standing_is_the_same_in_python_and_in_sql(
    task: Task, validator: User, owner: User, has_gold: bool
) -> None:
    gold.load_gold(actor=owner, task=task, lines=gold_lines(*("1", "2", "3")[not has_gold :]))
    row = Reliability.objects.create(task=task, validator=validator)
    numbers = "gold_right", "gold_seen", "agreement", "scored"
    cases = (
        (3, 3, 0, 3),
        (3, 6, 20, 20),
        (0, 0, 5, 10),
        (0, 0, 4.9, 10),
        (2, 2, 9, 9),
        (7, 10, 0, 10),
    )
    for case in (*cases, (1, 2, 5, 10), (0, 1, 5, 10), (2, 3, 20, 20)):
        for name, value in zip(numbers, case, strict=True):
            setattr(row, name, value)
        row.save()
        with connection.cursor() as cursor:
            sql = f"SELECT {HAS_STANDING}, ({IS_KNOWN}) FROM validate_reliability r"
            cursor.execute(sql, {"task": task.pk})
            found = tuple(map(bool, cursor.fetchone()))
        known = is_known(row.gold_seen, row.scored, has_gold=has_gold)
        assert found == (stands(row, has_gold=has_gold), known), case


def test_who_is_new_is_judged_by_people_of_standing_where_there_are_any(
    task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    """Others may begin, one at each example, so that they are not left without work. Who was judged
    and has no standing is asked about known authors, too."""
    cast.submission(task, annotator)
    known = crowd(task, 4, **KNOWN)
    assert acts.next_item(validator=validator, task=task)
    assert acts.next_item(validator=other_validator, task=task) is None
    cast.answer(validator, task)
    assert acts.next_item(validator=other_validator, task=task) is None
    lease = acts.next_item(validator=known[0], task=task)
    assert lease is not None
    acts.release(validator=known[0], lease_id=lease.pk)

    share = AuthorShare.objects.create(
        task=task, author=annotator, validator=known[1], votes=NEW_UNTIL, agreed=NEW_UNTIL
    )
    assert acts.next_item(validator=other_validator, task=task) is None
    judged = Reliability.objects.filter(validator=other_validator)
    judged.update(gold_seen=8, gold_right=5)
    cast.answer(known[0], task)
    lease = acts.next_item(validator=other_validator, task=task)
    assert lease is not None
    acts.release(validator=other_validator, lease_id=lease.pk)
    AuthorShare.objects.filter(pk=share.pk).update(agreed=NEW_UNTIL // 4)
    assert acts.next_item(validator=other_validator, task=task) is None, "hardly confirmed"


def test_what_newcomers_say_of_an_author_makes_nobody_known(
    task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    cast.submission(task, annotator)
    crowd(task, 4, **KNOWN)
    fresh = cast.person("fresh", "validator")
    Reliability.objects.create(task=task, validator=fresh, answered_at=timezone.now())
    AuthorShare.objects.create(
        task=task, author=annotator, validator=fresh, votes=NEW_UNTIL, agreed=NEW_UNTIL
    )
    cast.answer(validator, task)
    assert acts.next_item(validator=other_validator, task=task) is None


def test_what_friends_settle_gives_no_standing_without_a_known_answer(
    task: Task, annotator: User, validator: User, owner: User
) -> None:
    """Who is borne out ten times may judge; where there is gold, once an answer to it is right."""
    crowd(task, 4, **KNOWN)
    Reliability.objects.create(task=task, validator=validator, scored=10, agreement=10)
    cast.submission(task, annotator)
    cast.answer(cast.person("fresh", "validator"), task)

    def is_asked() -> bool:
        lease = acts.next_item(validator=validator, task=task)
        if lease is not None:
            acts.release(validator=validator, lease_id=lease.pk)
        return lease is not None

    assert is_asked()
    gold.load_gold(actor=owner, task=task, lines=gold_lines("1", "1", "1"))
    assert not is_asked()
    Reliability.objects.filter(validator=validator).update(gold_seen=1, gold_right=1)
    assert is_asked()


def test_accounts_of_whom_nothing_is_known_make_no_crowd_new(
    task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    """Nor do they make the lots of people of standing smaller."""
    crowd(task, 40)
    known = User.objects.filter(username__in=[f"crowd{n}" for n in range(4)])
    Reliability.objects.filter(validator__in=known).update(**KNOWN)
    cast.submission(task, annotator)
    assert acts.next_item(validator=validator, task=task)
    assert acts.next_item(validator=other_validator, task=task) is None
    cast.answer(validator, task)
    assert acts.next_item(validator=known[0], task=task)


def test_people_begin_until_known_answers_have_judged_them(
    task: Task, annotator: User, validator: User
) -> None:
    crowd(task, 4, **KNOWN)
    cast.submission(task, annotator)
    row = Reliability.objects.create(task=task, validator=validator, gold_seen=3, gold_right=2)
    lease = acts.next_item(validator=validator, task=task)
    assert lease is not None, "one known answer missed of three"
    acts.release(validator=validator, lease_id=lease.pk)
    Reliability.objects.filter(pk=row.pk).update(gold_seen=8, gold_right=5)
    assert acts.next_item(validator=validator, task=task) is None


def test_a_first_vote_that_weighs_nothing_keeps_nobody_from_beginning(
    task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    crowd(task, 4, **KNOWN)
    cast.submission(task, annotator)
    cast.answer(validator, task)
    assert acts.next_item(validator=other_validator, task=task) is None
    Vote.objects.update(dropped=True)
    assert acts.next_item(validator=other_validator, task=task)


def test_what_somebody_let_run_out_is_work_for_the_next_one(
    task: Task, annotator: User, validator: User, other_validator: User, third_validator: User
) -> None:
    cast.submission(task, annotator)
    held = [cast.lease_for(person, task) for person in (validator, other_validator)]
    assert not leases.has_work(validator=third_validator, task=task)
    Lease.objects.filter(pk=held[0].pk).update(expires_at=timezone.now())
    assert leases.has_work(validator=third_validator, task=task)


def test_taking_the_first_answer_back_keeps_the_closer_look(
    task: Task, annotator: User, validator: User
) -> None:
    known = crowd(task, 5, **KNOWN)
    example = cast.submission(task, annotator)
    for person in (validator, known[0]):
        cast.answer(person, task)
    lease = acts.undo(validator=validator, task=task)
    acts.vote(validator=validator, lease_id=lease.pk, label=example.label)
    assert Example.objects.get(pk=example.pk).status == Example.Status.OPEN
    cast.answer(known[1], task)
    assert Example.objects.get(pk=example.pk).status == Example.Status.VERIFIED


@pytest.mark.parametrize("gold_for", ["proven", "nobody"])
def test_both_ways_of_asking_give_who_is_proven_the_same_items(
    task: Task, annotator: User, other_annotator: User, gold_for: str
) -> None:
    """One is the other with nothing in it that is for people of no standing."""
    known = crowd(task, 5, **(KNOWN if gold_for == "proven" else {}))
    me, voter = known[0], known[1]
    share = {"task": task, "validator": voter, "votes": NEW_UNTIL, "agreed": NEW_UNTIL}
    AuthorShare.objects.create(author=other_annotator, **share)
    tie = AuthorShare.objects.create(task=task, author=cast.person("tied"), validator=me)
    authors = [annotator, other_annotator, tie.author]
    examples = [cast.submission(task, authors[seed % 3], seed) for seed in range(18)]
    long_ago = timezone.now() - timedelta(days=lots.OPENS_WITHIN)
    QueueItem.objects.filter(example__in=examples[:9]).update(open_from=long_ago)
    QueueItem.objects.filter(example__in=examples[3:6]).update(leases_active=1)
    asked = statements.Asked(task.pk, me.pk, 0.2, 1_000, proven=True, agrees=True, begins=True)

    def all_given(sql: str) -> list[int]:
        found = []
        while rows := prepared.rows(sql.format(lock=""), statements._given(asked)):
            found.append(int(rows[0][0]))
            QueueItem.objects.filter(example=found[-1]).update(withdrawn=True)
        QueueItem.objects.update(withdrawn=False)
        return found

    for named_at in (None, timezone.now()):
        AuthorShare.objects.filter(pk=tie.pk).update(named_at=named_at)
        given = all_given(FREE)
        assert given == all_given(FREE_TO_PROVEN)
        assert len(given) > 3


def test_a_new_crowd_judges_new_authors(task: Task, annotator: User, validator: User) -> None:
    cast.submission(task, annotator)
    crowd(task, 9)
    Reliability.objects.filter(validator__username__in=["crowd0", "crowd1"]).update(**KNOWN)
    assert acts.next_item(validator=validator, task=task)


@pytest.mark.parametrize(
    ("votes", "agreed", "began", "enough"),
    [
        (0, 0, KNOWN, 3),
        (NEW_UNTIL, 19, KNOWN, 3),
        (NEW_UNTIL, 20, KNOWN, 2),
        (NEW_UNTIL, 60, {}, 3),
    ],
)
def test_two_friends_are_not_enough_for_somebody_new_or_hardly_confirmed(
    task: Task, annotator: User, votes: int, agreed: int, began: dict[str, int], enough: int
) -> None:
    """Nor is somebody of standing for what somebody new began."""
    known = crowd(task, 5, **KNOWN)
    example = cast.submission(task, annotator)
    if votes:
        AuthorShare.objects.create(
            task=task, author=annotator, validator=known[4], votes=votes, agreed=agreed
        )
    if not began:
        known = [cast.person("fresh", "validator"), *known]
    for person in known[:enough]:
        assert Example.objects.get(pk=example.pk).status == Example.Status.OPEN
        cast.answer(person, task)
    assert Example.objects.get(pk=example.pk).status == Example.Status.VERIFIED
    assert votes or check(task).shares == 0


def test_who_begins_and_answers_second_needs_a_closer_look_as_well(
    task: Task, annotator: User, validator: User
) -> None:
    """A lease is given to who begins; somebody of standing may vote before them all the same."""
    known = crowd(task, 5, **KNOWN)
    example = cast.submission(task, annotator)
    AuthorShare.objects.create(
        task=task, author=annotator, validator=known[4], votes=NEW_UNTIL, agreed=NEW_UNTIL
    )
    begun = cast.lease_for(validator, task)
    cast.answer(known[0], task)
    acts.vote(validator=validator, lease_id=begun.pk, label=example.label)
    assert Example.objects.get(pk=example.pk).status == Example.Status.OPEN
    cast.answer(known[1], task)
    assert Example.objects.get(pk=example.pk).status == Example.Status.VERIFIED


@pytest.mark.parametrize("why", ["a known author", "nobody came for a week"])
def test_nothing_is_verified_without_somebody_of_standing(
    task: Task, annotator: User, why: str
) -> None:
    known = crowd(task, 5, **KNOWN)
    cast.submission(task, annotator)
    others = [cast.person(f"other{n}", "validator") for n in range(4)]
    if why == "a known author":
        AuthorShare.objects.create(
            task=task, author=annotator, validator=known[4], votes=NEW_UNTIL, agreed=NEW_UNTIL
        )
        for one in others:
            Reliability.objects.create(task=task, validator=one, gold_seen=8, gold_right=5)
    else:
        QueueItem.objects.update(open_from=timezone.now() - timedelta(days=lots.OPENS_WITHIN))
    cast.answer(others[0], task)
    assert acts.next_item(validator=others[1], task=task) is None
    cast.answer(known[0], task)
    assert acts.next_item(validator=others[1], task=task)


@pytest.mark.parametrize(
    "one_of_them", ["is asked as well", "sent it", "is tied to the author", "may be the author"]
)
def test_what_all_of_standing_skipped_is_for_the_others(
    task: Task, annotator: User, validator: User, other_validator: User, one_of_them: str
) -> None:
    """All who can be asked, that is."""
    known = crowd(task, 4, **KNOWN)
    author = annotator
    if one_of_them == "sent it":
        author = known.pop()
    cast.submission(task, author)
    pair = {"author": author, "validator": known[-1]}
    if one_of_them == "is tied to the author":
        AuthorShare.objects.create(task=task, named_at=timezone.now(), **pair)
    elif one_of_them == "may be the author":
        Apart.objects.create(**pair)
    if one_of_them in ("is tied to the author", "may be the author"):
        known.pop()
    QueueItem.objects.update(open_from=timezone.now() - timedelta(days=lots.OPENS_WITHIN))
    cast.answer(validator, task)
    for person in known:
        assert acts.next_item(validator=other_validator, task=task) is None
        lease = cast.lease_for(person, task)
        acts.release(validator=person, lease_id=lease.pk, skip=True)
    assert acts.next_item(validator=other_validator, task=task)


def test_a_confirmation_more_is_one_of_two_further_answers() -> None:
    def outcome(labels: str) -> tuple[Outcome, int]:
        ballots = [Ballot(place, label) for place, label in enumerate(labels)]
        decision = decide(ballots, TwoPlusOne(), author_label="a", labels=None)
        found = confirmed_again(decision, ballots, author_label="a")
        return found.outcome, found.votes_wanted

    assert outcome("aa") == outcome("aab") == (Outcome.PENDING, 1)
    assert outcome("aaa")[0] == outcome("aaba")[0] == Outcome.VERIFIED
    assert outcome("aabb")[0] == Outcome.AMBIGUOUS
    assert outcome("bb")[0] == Outcome.REJECTED


# --- ties -----------------------------------------------------------------------------------------
def test_whom_somebody_confirms_more_than_chance_lets_them() -> None:
    honest = [Look(0, author, False, 0.9) for author in range(1, 9)] * 2
    others = [Look(voter, 99, voter == 7, 0.1 if voter == 7 else 0.9) for voter in range(1, 20)]
    friend = [Look(0, 99, True, 0.1)] * 6
    (tie,) = ties([*honest, *friend], others)
    assert (tie.author, tie.tried, tie.confirmed) == (99, 6, 6)
    assert ties([*honest, *friend[:2]], others) == []
    # Nobody knows what this author shows: the others confirm it as often.
    doubtful = [Look(v, 99, v % 2 == 0, 0.1 if v % 2 == 0 else 0.9) for v in range(1, 40)]
    assert ties([*honest, *friend[:4], *[Look(0, 99, False, 0.9)] * 4], doubtful) == []


@pytest.fixture
def league(
    task: Task, annotator: User, validator: User, django_capture_on_commit_callbacks: Any
) -> Task:
    """A validator who confirms everything of one author that two others see differently."""
    crowd(task, 2)
    for seed in range(12):
        example = cast.submission(task, annotator, seed)
        for person in (validator, *User.objects.filter(username__startswith="crowd")):
            lease = acts.next_item(validator=person, task=task)
            if lease is not None:
                said = example.label if person == validator else example.prediction
                with django_capture_on_commit_callbacks(execute=True):
                    acts.vote(validator=person, lease_id=lease.pk, label=said)
    return task


def test_a_tie_is_named_and_the_author_not_given_to_them(
    league: Task, annotator: User, validator: User, owner: User
) -> None:
    (tie,) = named_ties(league)
    assert (tie["validator"], tie["author"]) == (validator.username, annotator.username)
    assert tie["confirmed"] == tie["tried"] >= 4
    assert tie["odds"] > 200
    share = AuthorShare.objects.get(named_at__isnull=False)
    assert not Vote.objects.filter(validator=validator, dropped=False).exists()
    assert check(league).agrees

    cast.submission(league, annotator, 100)
    assert acts.next_item(validator=validator, task=league) is None

    clear_tie(actor=owner, share=share, reason="They are right: it is a 2.")
    assert not Vote.objects.filter(dropped=True).exists()
    assert name_all_ties(league) == 0
    assert acts.next_item(validator=validator, task=league)


def test_a_verdict_that_rests_on_a_tie_is_for_the_owner(
    task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    example = cast.submission(task, annotator)
    cast.answer(validator, task)
    cast.answer(other_validator, task)
    AuthorShare.objects.filter(validator=validator).update(named_at=timezone.now())
    assert check(task).weights == 1
    reweigh(task.pk, validator.pk)
    example.refresh_from_db()
    assert example.status == Example.Status.VERIFIED
    assert Review.objects.get().kind == Review.Kind.QUARANTINE


def test_a_doubt_stays_until_what_weighs_carries_the_verdict(
    task: Task, annotator: User, owner: User
) -> None:
    """Both who verified are tied: the one who is cleared first does not carry it alone."""
    example = cast.submission(task, annotator)
    people = crowd(task, 2)
    for person in people:
        cast.answer(person, task)
    AuthorShare.objects.update(named_at=timezone.now())
    for person in people:
        reweigh(task.pk, person.pk)
    assert not verified_foolings(task.pk).exists()
    first, second = AuthorShare.objects.order_by("validator")

    clear_tie(actor=owner, share=first, reason="They look.")
    assert Vote.objects.filter(dropped=False).count() == 1
    assert Review.objects.filter(example=example, closed_at=None).exists()
    assert not verified_foolings(task.pk).exists()

    clear_tie(actor=owner, share=second, reason="They look, too.")
    assert list(verified_foolings(task.pk)) == [example]


def test_a_doubt_that_nobody_is_asked_about_is_found_and_asked(
    task: Task, annotator: User, owner: User
) -> None:
    """As versions left it that closed the question when any of the votes had its weight again."""
    doubtful, looked_at = [cast.submission(task, annotator, seed) for seed in (1, 2)]
    people = crowd(task, 2)
    for person in [*people, *people]:
        cast.answer(person, task)
    AuthorShare.objects.update(named_at=timezone.now())
    for person in people:
        reweigh(task.pk, person.pk)
    acts.adjudicate(actor=owner, example_id=looked_at.pk, status="verified", reason="It is one.")
    Review.objects.update(closed_at=timezone.now())
    AuthorShare.objects.filter(validator=people[0]).update(named_at=None)
    Vote.objects.filter(validator=people[0]).update(dropped=False)
    repair(task)  # the credits of what was written here by hand
    Review.objects.filter(closed_at=None).update(closed_at=timezone.now())
    assert doubtful in verified_foolings(task.pk)

    assert (check(task).doubts, check(task).agrees) == (1, False)
    assert repair(task).doubts == 1
    assert Review.objects.get(closed_at=None).example == doubtful
    assert list(verified_foolings(task.pk)) == [looked_at]
    assert check(task).agrees


def test_a_vote_that_regains_its_weight_can_make_a_verdict_doubtful(annotator: User) -> None:
    """Two who said no are tied to somebody else, it seems; then one of them is not."""
    task = cast.text_task(validation={"policy": "bayes", "sample": 0})
    example = cast.submission(task, annotator, input={"text": "Good."}, label="yes", fooled=False)
    people = crowd(task, 6)
    for person in people[:2]:
        cast.answer(person, task, label="no")
        AuthorShare.objects.filter(validator=person).update(named_at=timezone.now())
        reweigh(task.pk, person.pk)
    for person in people[2:]:
        if Example.objects.get(pk=example.pk).status == Example.Status.OPEN:
            cast.answer(person, task)
    assert example in verified_foolings(task.pk)
    AuthorShare.objects.filter(validator=people[0]).update(named_at=None)
    reweigh(task.pk, people[0].pk)
    assert not verified_foolings(task.pk).exists()
    assert check(task).agrees


def test_taking_an_owners_verdict_back_shows_what_the_votes_before_it_rest_on(
    task: Task, annotator: User, validator: User, other_validator: User, owner: User
) -> None:
    example = cast.submission(task, annotator)
    cast.answer(validator, task)
    cast.answer(other_validator, task)
    acts.adjudicate(actor=owner, example_id=example.pk, status="rejected", reason="no")
    AuthorShare.objects.filter(validator=validator).update(named_at=timezone.now())
    reweigh(task.pk, validator.pk)
    assert not Review.objects.exists()
    take_back(actor=owner, task=task, uid=example.uid, reason="a slip")
    assert Example.objects.get(pk=example.pk).status == Example.Status.VERIFIED
    assert not verified_foolings(task.pk).exists()


# --- gold -----------------------------------------------------------------------------------------
def test_who_fails_gold_is_stopped_whatever_their_friends_say(
    task: Task, annotator: User, validator: User, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    gold.load_gold(actor=owner, task=task, lines=gold_lines(*"1111111111"))
    cast.submission(task, annotator)
    cast.submission(task, annotator, 2)
    cast.answer(validator, task)
    Reliability.objects.filter(validator=validator).update(scored=40, agreement=40)
    monkeypatch.setattr(leases, "is_gold_turn", lambda _, answered: answered > 0)
    for answer in "1000000":
        cast.answer(validator, task, label=answer)
    cast.answer(validator, task, label="0")
    with pytest.raises(Refused) as refused:
        acts.next_item(validator=validator, task=task)
    assert refused.value.code == "quarantined"
    assert not fails_gold(6, 8, labels=2)


def test_hasty_answers_weigh_nothing_until_gold_proves_who_gave_them(
    task: Task, annotator: User, validator: User, other_validator: User, owner: User,
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    gold.load_gold(actor=owner, task=task, lines=gold_lines("1", "1", "1"))
    monkeypatch.setattr(leases, "is_gold_turn", lambda *_: False)
    examples = [cast.submission(task, annotator, seed) for seed in (1, 2)]
    assert cast.answer(validator, task) == examples[0]
    assert cast.answer(other_validator, task).status == Example.Status.OPEN
    assert Vote.objects.filter(hasty=True, dropped=True).count() == 2
    assert check(task).agrees

    monkeypatch.setattr(leases, "is_gold_turn", lambda _, answered: answered > 0)
    for person in (validator, other_validator):
        with django_capture_on_commit_callbacks(execute=True):
            for _ in range(3):
                cast.answer(person, task, label="1")
    examples[0].refresh_from_db()
    assert examples[0].status == Example.Status.VERIFIED
    assert not Vote.objects.filter(dropped=True).exists()
    assert check(task).agrees


def test_slow_answers_and_tasks_without_gold_know_no_haste(
    task: Task, annotator: User, validator: User, owner: User
) -> None:
    cast.submission(task, annotator)
    cast.submission(task, annotator, 2)
    cast.answer(validator, task)
    gold.load_gold(actor=owner, task=task, lines=gold_lines("1"))
    lease = cast.lease_for(validator, task)
    with time_machine.travel(timezone.now() + timedelta(seconds=5)):
        acts.vote(validator=validator, lease_id=lease.pk, label="3")
    assert not Vote.objects.filter(hasty=True).exists()
