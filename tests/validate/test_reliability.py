"""What is learnt about validators: credits, the rule for quarantine, and what follows from it."""

import uuid
from copy import copy

import pytest
from django.utils import timezone

from accounts.models import Event, User
from annotate.models import Example, Task
from core.errors import Refused
from tests import acts, cast
from validate.models import AuthorShare, Lease, Reliability, Review, Vote
from validate.people import recount as recounting
from validate.people.quarantine import follow_quarantine, follow_quarantines, lift_quarantine
from validate.people.recount import recount, repair
from validate.policies import Ballot, Bayes, posterior
from validate.policies.trust import (
    QUARANTINE_SCORED,
    doubt,
    interval,
    is_fast,
    is_untrustworthy,
    may_be_untrustworthy,
)


def row_of(person: User, task: Task) -> Reliability:
    return Reliability.objects.get(validator=person, task=task)


@pytest.fixture
def bayes_task(owner: User) -> Task:
    return cast.digits_task(owner, validation={"policy": "bayes", "sample": 0, "gold_first": 0})


# --- pure -----------------------------------------------------------------------------------------
def test_the_interval_is_that_of_the_beta_distribution() -> None:
    import scipy.stats

    assert interval(38, 32) == pytest.approx(scipy.stats.beta(38, 32).interval(0.95))


@pytest.mark.parametrize(
    ("right", "wrong", "labels", "untrustworthy"),
    [
        (0, 19, 2, False),  # 19 answers are too few
        (4, 30, 2, True),
        (30, 30, 2, True),
        (45, 15, 2, False),
        (2, 58, 10, True),
        (20, 40, 10, False),  # 10 labels: three times as good as chance
        (0, 80, 0, True),  # open answers
    ],
)
def test_quarantine_rule(right: int, wrong: int, labels: int, untrustworthy: bool) -> None:
    assert is_untrustworthy([1] * right + [0] * wrong, labels=labels) == untrustworthy


def test_doubt_is_bayes_rule_over_guessers_and_others() -> None:
    """Two labels, 12 of 20 known answers right, integrated finely: a fifth guess at one half."""
    import scipy.integrate
    import scipy.stats

    above = scipy.stats.beta(8, 2)
    among_others = scipy.integrate.quad(lambda p: above.pdf(p) * p**12 * (1 - p) ** 8, 0.5, 1)[0]
    below_line = scipy.integrate.quad(lambda p: above.pdf(p) * p**12 * (1 - p) ** 8, 0.5, 0.65)[0]
    guesses, scale = 0.2 * 0.5**20, 0.8 / above.sf(0.5)
    exact = (guesses + scale * below_line) / (guesses + scale * among_others)
    assert doubt([1] * 12 + [0] * 8, labels=2) == pytest.approx(exact, abs=0.02)


def test_answers_nobody_can_check_say_nothing() -> None:
    assert doubt([0.5] * 100, labels=2) == pytest.approx(doubt([], labels=2))
    assert not is_untrustworthy([0.1] * 100, labels=10)


def test_nobody_is_passed_over_who_is_doubted_enough() -> None:
    for labels in (0, 2, 3, 10):
        for n in (20, 40, 80, 200):
            for right in range(n + 1):
                for sure in (1, 0.9, 0.7) if labels else (1,):
                    agreements = [sure] * right + [(1 - sure) / 9] * (n - right)
                    if doubt(agreements, labels=labels) > 0.95:
                        assert may_be_untrustworthy(sum(agreements), scored=n, labels=labels)


def test_fast_answers() -> None:
    assert is_fast(2.9, None)
    assert not is_fast(4, None)
    assert is_fast(4, 30)
    assert not is_fast(7, 30)
    assert not is_fast(None, 30)


# --- credits --------------------------------------------------------------------------------------
def test_each_voter_earns_the_probability_of_their_label(
    bayes_task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    example = cast.submission(bayes_task, annotator)
    cast.answer(validator, bayes_task)
    assert cast.answer(other_validator, bayes_task).status == Example.Status.VERIFIED

    one, two = Ballot(1, example.label), Ballot(2, example.label)
    trusted = {1: 0.8, 2: 0.8}
    alone = posterior([one], Bayes(), example.label, cast.DIGITS, trusted)
    credit = posterior([one, two], Bayes(), example.label, cast.DIGITS, trusted)[example.label]
    for person in (validator, other_validator):
        row = row_of(person, bayes_task)
        assert (row.alpha, row.beta) == pytest.approx((8 + credit, 3 - credit))
        assert row.agreement == pytest.approx(alone[example.label])
        assert row.scored == 1
    assert list(Vote.objects.values_list("reliability", flat=True)) == [0.8, 0.8]


def test_an_owner_s_word_replaces_the_credits_by_the_difference(
    bayes_task: Task, annotator: User, validator: User, other_validator: User, owner: User
) -> None:
    example = cast.submission(bayes_task, annotator)
    cast.answer(validator, bayes_task)
    cast.answer(other_validator, bayes_task)

    acts.adjudicate(actor=owner, example_id=example.pk, status="rejected", reason="a 7")
    row = row_of(validator, bayes_task)
    assert (row.alpha, row.beta, row.scored) == pytest.approx((8, 3, 1))

    acts.adjudicate(actor=owner, example_id=example.pk, status="verified", reason="no, a 3")
    row.refresh_from_db()
    assert (row.alpha, row.beta, row.scored) == pytest.approx((9, 2, 1))
    assert recount(bayes_task)[validator.pk][:4] == pytest.approx((9, 2, 1, 1))


def test_votes_on_flagged_examples_say_nothing(
    bayes_task: Task,
    annotator: User,
    validator: User,
    other_validator: User,
    third_validator: User,
) -> None:
    cast.submission(bayes_task, annotator)
    cast.answer(validator, bayes_task)
    cast.answer(other_validator, bayes_task, flag="spam")
    assert cast.answer(third_validator, bayes_task, flag="spam").status == Example.Status.FLAGGED
    assert Reliability.objects.filter(scored__gt=0).count() == 0
    assert Review.objects.get(closed_at=None).kind == Review.Kind.FLAGGED


def test_what_votes_weigh_is_kept_with_them(
    bayes_task: Task, annotator: User, validator: User
) -> None:
    """A verdict follows from its votes alone, whatever is learnt about people later."""
    Reliability.objects.create(task=bayes_task, validator=validator, alpha=95, beta=5)
    cast.submission(bayes_task, annotator)
    cast.answer(validator, bayes_task)
    assert Vote.objects.get().reliability == pytest.approx(0.95)


# --- quarantine -----------------------------------------------------------------------------------
@pytest.fixture
def suspect(bayes_task: Task, annotator: User, validator: User) -> Reliability:
    """A validator whose next wrong answer is one too many."""
    wrong = QUARANTINE_SCORED - 1
    example = cast.submission(bayes_task, annotator, 0, fooled=False)  # nobody is asked about it
    examples = [copy(example) for _ in range(wrong)]
    for each in examples:
        each.pk, each.uid, each.client_id = None, uuid.uuid4(), uuid.uuid4()
    Vote.objects.bulk_create(
        Vote(
            example=each,
            validator=validator,
            author=annotator,
            label=example.label,
            credit=0,
            agreement=0,
        )
        for each in Example.objects.bulk_create(examples)
    )
    return Reliability.objects.create(
        task=bayes_task, validator=validator, alpha=8, beta=2 + wrong, scored=wrong
    )


def test_a_wrong_answer_too_many_puts_into_quarantine(
    bayes_task: Task,
    annotator: User,
    validator: User,
    other_validator: User,
    third_validator: User,
    owner: User,
    suspect: Reliability,
) -> None:
    example = cast.submission(bayes_task, annotator, 1)
    cast.answer(validator, bayes_task, label=example.prediction)
    waiting = cast.submission(bayes_task, annotator, 2)
    cast.answer(validator, bayes_task, label=waiting.prediction)

    acts.adjudicate(actor=owner, example_id=example.pk, status="verified", reason="clear")
    suspect.refresh_from_db()
    assert suspect.quarantined_at is not None
    assert follow_quarantines(bayes_task) == 1
    assert follow_quarantines(bayes_task) == 0

    assert Vote.objects.get(example=waiting).dropped
    with pytest.raises(Refused) as refused:
        acts.next_item(validator=validator, task=bayes_task)
    assert refused.value.code == "quarantined"
    assert Event.objects.filter(verb="quarantined", object_id=validator.pk).count() == 1
    # The others decide without that vote.
    cast.answer(other_validator, bayes_task)
    assert cast.answer(third_validator, bayes_task).status == Example.Status.VERIFIED


def test_a_verdict_that_rested_on_a_dropped_vote_stands_and_is_listed(
    bayes_task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    rested = cast.submission(bayes_task, annotator, 1)
    cast.answer(validator, bayes_task)
    cast.answer(other_validator, bayes_task)
    quarantine(bayes_task, validator)

    rested.refresh_from_db()
    assert rested.status == Example.Status.VERIFIED
    assert Review.objects.get().kind == Review.Kind.QUARANTINE


def quarantine(task: Task, person: User) -> None:
    Reliability.objects.filter(task=task, validator=person).update(quarantined_at="2026-01-01T00Z")
    follow_quarantine(task.pk, person.pk)


def test_a_verdict_that_did_not_need_the_vote_is_not_listed(
    owner: User, annotator: User, validator: User, other_validator: User, third_validator: User
) -> None:
    task = cast.digits_task(owner)
    example = cast.submission(task, annotator)
    cast.answer(validator, task, label=example.prediction)
    cast.answer(other_validator, task)
    cast.answer(third_validator, task)
    quarantine(task, validator)
    assert not Review.objects.exists()


def test_those_who_voted_beside_a_dropped_vote_are_scored_without_it(
    bayes_task: Task, annotator: User, validator: User, other_validator: User, owner: User
) -> None:
    cast.submission(bayes_task, annotator)
    cast.answer(validator, bayes_task)
    cast.answer(other_validator, bayes_task)
    before = Vote.objects.get(validator=other_validator).credit
    ban = {"actor": owner, "user": validator, "reason": "a test"}

    acts.set_banned(**ban, banned=True)
    alone = Vote.objects.get(validator=other_validator).credit
    assert before is not None
    assert alone is not None
    assert alone < before
    assert repair(bayes_task).agrees

    acts.set_banned(**ban, banned=False)
    assert Vote.objects.get(validator=other_validator).credit == pytest.approx(before)
    assert repair(bayes_task).agrees


def test_a_lifted_quarantine_gives_votes_their_weight_and_a_fresh_start(
    bayes_task: Task, annotator: User, validator: User, other_validator: User, owner: User
) -> None:
    cast.submission(bayes_task, annotator, 1)
    cast.answer(validator, bayes_task)
    quarantine(bayes_task, validator)

    with pytest.raises(Refused):
        lift_quarantine(actor=other_validator, task=bayes_task, validator=validator, reason="x")
    lift_quarantine(actor=owner, task=bayes_task, validator=validator, reason="was a bad day")

    row = row_of(validator, bayes_task)
    assert (row.alpha, row.beta, row.scored, row.quarantined_at) == (8, 2, 0, None)
    assert not Vote.objects.get().dropped
    assert cast.answer(other_validator, bayes_task).status == Example.Status.VERIFIED
    row.refresh_from_db()
    assert row.scored == 0  # that vote was cast before the fresh start
    assert recount(bayes_task)[validator.pk][:4] == (8, 2, 0, 0)


def test_a_ban_takes_the_weight_from_votes_and_lifting_it_gives_it_back(
    bayes_task: Task, annotator: User, validator: User, owner: User
) -> None:
    cast.submission(bayes_task, annotator)
    cast.answer(validator, bayes_task)

    acts.set_banned(actor=owner, user=validator, banned=True, reason="spam")
    assert Vote.objects.get().dropped
    validator.refresh_from_db()
    lift_quarantine(actor=owner, task=bayes_task, validator=validator, reason="does not lift a ban")
    assert Vote.objects.get().dropped
    acts.set_banned(actor=owner, user=validator, banned=False, reason="a mistake")
    assert not Vote.objects.get().dropped


def test_two_accusations_settle_under_any_policy(
    owner: User, annotator: User, validator: User, other_validator: User
) -> None:
    task = cast.digits_task(owner, validation={"policy": "k_matching"})
    cast.submission(task, annotator)
    cast.answer(validator, task, flag="offensive")
    assert cast.answer(other_validator, task, flag="spam").status == Example.Status.FLAGGED


def test_a_recount_finds_and_corrects_what_is_wrong(
    bayes_task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    cast.submission(bayes_task, annotator, 1)
    cast.answer(validator, bayes_task)
    cast.answer(other_validator, bayes_task)
    assert repair(bayes_task).agrees
    before = list(Reliability.objects.order_by("pk").values_list("alpha", "beta", "scored"))

    Vote.objects.filter(validator=validator).update(credit=None, agreement=None)
    Reliability.objects.update(alpha=50)
    AuthorShare.objects.filter(validator=validator).update(votes=7)
    found = repair(bayes_task)

    assert (found.credits, found.reliabilities, found.shares) == (1, 2, 1)
    after = list(Reliability.objects.order_by("pk").values_list("alpha", "beta", "scored"))
    assert after == [pytest.approx(row) for row in before]
    assert repair(bayes_task).agrees


def test_who_comes_during_a_recount_is_left_as_they_are(
    bayes_task: Task, validator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_rows = recounting.lock_rows

    def lock_and_meet(task_id: int, people: list[int]) -> dict[int, Reliability]:
        rows = lock_rows(task_id, people)
        Reliability.objects.create(task_id=task_id, validator=validator)
        return rows

    monkeypatch.setattr(recounting, "lock_rows", lock_and_meet)
    assert repair(bayes_task).agrees


def test_people_of_a_log_are_never_put_into_quarantine(
    bayes_task: Task, annotator: User, validator: User, owner: User, suspect: Reliability
) -> None:
    User.objects.filter(pk=validator.pk).update(imported=True)
    example = cast.submission(bayes_task, annotator, 1)
    cast.answer(validator, bayes_task, label=example.prediction)
    acts.adjudicate(actor=owner, example_id=example.pk, status="verified", reason="clear")
    suspect.refresh_from_db()
    assert (suspect.scored, suspect.quarantined_at) == (QUARANTINE_SCORED, None)


def test_who_is_quarantined_is_told_so_before_that_a_lease_ran_out(
    task: Task, annotator: User, validator: User
) -> None:
    cast.submission(task, annotator)
    lease = cast.lease_for(validator, task)
    Lease.objects.update(expires_at=timezone.now())
    Reliability.objects.update(quarantined_at=timezone.now())
    with pytest.raises(Refused) as refused:
        acts.vote(validator=validator, lease_id=lease.pk, label="3")
    assert refused.value.code == "quarantined"
