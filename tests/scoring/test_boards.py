"""The boards: ranks, rates, who appears, and how many queries they cost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import close_account, set_preferences
from annotate import rounds
from annotate.models import Example, ModelVersion, Round, Task
from core.transactions import durable
from scoring import queries
from scoring.model_board import record_of
from scoring.models import Tally
from scoring.statistics import wilson
from tests import acts, cast
from tests.pins import Pins


def did(author: User, round_: Round, submitted: int, fooled: int = 0, **fates: int) -> None:
    """Say in numbers what an author did; claims without a fate are pending."""
    fates.setdefault("pending", fooled - sum(fates.values()))
    Tally.objects.create(round=round_, author=author, submitted=submitted, fooled=fooled, **fates)


def open_round(task: Task) -> Round:
    return Round.objects.get(task=task, status=Round.Status.OPEN)


def next_round(task: Task, *seeds: int) -> Round:
    models = [cast.fixed_model(task, seed) for seed in seeds]
    with durable():
        return rounds.open_next_round(task=task, models=models)


@pytest.fixture
def three_people(db: None) -> list[User]:
    return [cast.person(name) for name in ("ada", "bob", "cyd")]


def test_a_submission_and_its_votes_reach_the_board(
    task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    cast.submission(task, annotator, 1)
    cast.submission(task, annotator, 2)
    cast.submission(task, annotator, 3, fooled=False)
    cast.answer(validator, task)
    cast.answer(other_validator, task)

    (row,) = queries.author_board(task).rows

    assert row.name == annotator.public_name
    assert (row.counts.submitted, row.counts.fooled, row.counts.verified) == (3, 2, 1)
    assert row.counts.pending_share == 0.5
    assert row.mer.value == pytest.approx(2 / 3)
    assert row.vmer == queries.Rate(1, 3, wilson(1, 3))
    assert (row.rank, row.missing) == (None, 17)
    (told,) = APIClient().get("/api/v1/tasks/digits/leaderboard/").json()["authors"]
    assert told["pace"]["tries"] == 1.5
    assert "1.5 tries" in Client().get("/tasks/digits/leaderboard/").content.decode()


def test_people_are_ranked_by_the_lower_bound_and_not_by_the_rate(
    task: Task, three_people: list[User]
) -> None:
    ada, bob, cyd = three_people
    round_ = open_round(task)
    did(ada, round_, 20, 8, verified=8)  # 40 %, from .22
    did(bob, round_, 500, 190, verified=190)  # 38 %, from .34
    did(cyd, round_, 19, 19, verified=19)  # 100 %, one short of a rank

    board = queries.author_board(task)

    assert [(row.name, row.rank) for row in board.ranked] == [("bob", 1), ("ada", 2)]
    assert [(row.name, row.missing) for row in board.unranked] == [("cyd", 1)]


def test_equal_bounds_share_a_rank(task: Task, three_people: list[User]) -> None:
    ada, bob, cyd = three_people
    round_ = open_round(task)
    did(cyd, round_, 20, 1, verified=1)
    did(bob, round_, 20, 5, verified=5)
    did(ada, round_, 20, 5, verified=5)

    board = queries.author_board(task)

    assert [(row.name, row.rank) for row in board.rows] == [("ada", 1), ("bob", 1), ("cyd", 3)]


def test_a_person_without_a_verified_fooling_has_no_rate_to_hide(
    task: Task, annotator: User
) -> None:
    did(annotator, open_round(task), 30)

    (row,) = queries.author_board(task).rows

    assert (row.vmer.value, row.vmer.interval.low) == (0, 0)
    assert row.counts.pending_share is None
    assert row.rank == 1


def test_who_is_banned_is_gone_and_who_left_or_wishes_it_has_a_pseudonym(
    task: Task, owner: User, three_people: list[User]
) -> None:
    ada, bob, cyd = three_people
    for author in (ada, bob, cyd):
        did(author, open_round(task), 20, 2)
    acts.set_banned(actor=owner, user=ada, banned=True, reason="spam")
    close_account(user=bob)
    set_preferences(user=cyd, languages=[], takes_warned=True, unnamed=True)

    names = {row.name for row in queries.author_board(task).rows}

    assert names == {bob.pseudonym, cyd.pseudonym}
    (round_,) = queries.round_board(task)
    assert round_.counts.submitted == 40  # of those who are not banned


def test_the_board_of_people_can_be_of_one_round(task: Task, annotator: User) -> None:
    first = open_round(task)
    did(annotator, first, 30, 10)
    second = next_round(task, 1)
    did(annotator, second, 5, 1)

    assert queries.author_board(task).rows[0].counts.submitted == 35
    assert queries.author_board(task, first).rows[0].counts.submitted == 30
    assert queries.author_board(task, second).rows[0].rank is None


def test_a_period_counts_what_was_sent_in_it_as_the_tallies_would(
    task: Task, annotator: User, other_annotator: User, validator: User, other_validator: User
) -> None:
    old = cast.submission(task, other_annotator, 1)
    for seed in (2, 3):
        cast.submission(task, annotator, seed)
    for _ in range(2):
        for person in (validator, other_validator):
            cast.answer(person, task)
    assert queries.author_board(task, days=7).rows == queries.author_board(task).rows
    Example.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=8))
    (row,) = queries.author_board(task, days=7).rows
    assert (row.name, row.counts.submitted) == (annotator.public_name, 2)
    assert len(queries.author_board(task, open_round(task), days=30).rows) == 2
    board = "/api/v1/tasks/digits/leaderboard/"
    assert len(APIClient().get(f"{board}?days=7").json()["authors"]) == 1
    assert APIClient().get(f"{board}?days=9").status_code == 400, "each costs a count"

    # What its author took back, or an owner hid, is no verified fooling of the model either.
    foolings = Example.objects.filter(status=Example.Status.VERIFIED)
    model = ModelVersion.objects.get()
    before = record_of(model)
    assert before.vmer.count == foolings.count() > 0
    hidden = foolings.first()
    assert hidden is not None
    Example.objects.filter(pk=hidden.pk).update(hidden_at=timezone.now())
    after = record_of(model)
    assert (after.submitted, after.vmer.count) == (before.submitted, before.vmer.count - 1)


def test_rounds_have_intervals_over_authors(task: Task, three_people: list[User]) -> None:
    ada, bob, cyd = three_people
    first = open_round(task)
    did(ada, first, 100, 90, verified=80)
    did(bob, first, 100, 10, verified=5)
    second = next_round(task, 1)
    did(cyd, second, 50, 20, verified=20)
    later = timezone.now() + timedelta(days=1)
    Round.objects.create(task=task, number=9, status=Round.Status.DRAFT, opens_at=later)

    newest, oldest = queries.round_board(task)

    assert (newest.number, newest.status, newest.authors) == (2, "open", 1)
    assert newest.vmer.value == 0.4
    assert newest.vmer.interval == (0, 1)  # one author says nothing about others
    assert (oldest.number, oldest.status, oldest.models) == (1, "closed", ("digits-1",))
    assert oldest.closed_at is not None
    assert oldest.closed_at <= timezone.now()
    assert oldest.counts.verified == 85
    # Two authors as different as these: far wider than an interval over 200 examples.
    assert oldest.vmer.interval.high - oldest.vmer.interval.low > 0.5


def test_models_show_where_they_served(task: Task, three_people: list[User]) -> None:
    ada, bob, _ = three_people
    first = open_round(task)
    did(ada, first, 10, 5)
    second = next_round(task, 1, 2)  # an ensemble
    did(bob, second, 10, 9)
    cast.fixed_model(task, 3)  # registered, never served

    third, other, base = queries.model_board(task)

    assert [model.name for model in (base, other, third)] == ["digits-1", "digits-2", "digits-3"]
    assert (base.rounds, base.serving) == ((1,), False)
    assert base.mer.value == 0.5
    assert (other.rounds, other.serving) == ((2,), True)
    assert other.mer.of == 0, "of what was met itself, which tallies do not tell"


def test_an_author_of_several_rounds_is_one_author_of_their_model(
    task: Task, three_people: list[User]
) -> None:
    ada, bob, _ = three_people
    model = open_round(task).targets.get()
    for _ in range(4):
        did(ada, open_round(task), 10, 10)
        did(bob, open_round(task), 10, 0)
        with durable():
            rounds.open_next_round(task=task, models=[model])

    (row,) = queries.model_board(task)

    assert row.rounds == (1, 2, 3, 4, 5)
    low, high = row.mer.interval
    assert high - low > 0.99  # two people of 0 and 1; eight would give less


def test_boards_cost_the_same_however_long_they_are(
    task: Task, three_people: list[User], pinned: Pins
) -> None:
    for seed in range(4):
        round_ = next_round(task, seed)
        for author in three_people:
            did(author, round_, 20, 4, verified=2)

    with pinned.queries("board of three authors"):
        assert len(queries.author_board(task).rows) == 3
    with pinned.queries("board of five rounds"):
        assert len(queries.round_board(task)) == 5
    with pinned.queries("board of five models"):
        assert len(queries.model_board(task)) == 5


def test_the_digest_follows_what_is_shown(task: Task, annotator: User) -> None:
    did(annotator, open_round(task), 3)
    before = queries.digest(queries.author_board(task))

    assert queries.digest(queries.author_board(task)) == before
    Tally.objects.update(submitted=4)
    assert queries.digest(queries.author_board(task)) != before


def test_a_task_without_rounds_has_empty_boards(db: None) -> None:
    task = Task.objects.create(slug="bare", name="Bare", input_kind="text")
    assert queries.author_board(task).rows == ()
    assert queries.round_board(task) == ()
    assert queries.model_board(task) == ()
