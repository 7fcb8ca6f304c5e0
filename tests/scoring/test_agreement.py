"""How far validators agree: alpha from counts, and the owner's page about it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone

from accounts.models import User
from annotate.models import Example, Task
from benchmarks import anli
from scoring import agreement as queries
from scoring.agreement import AgreementBoard, Backlog
from scoring.pair_agreement import agreement, of_one_label
from tests import acts, cast
from tests.pins import Pins
from validate.acts.ban import set_barred
from validate.models import Reliability, Vote


def alpha_of(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Krippendorff's alpha as he writes it down (2011), unit by unit."""
    totals: Counter[Hashable] = Counter()
    disagreement = 0.0
    for unit in units:
        totals.update(unit)
        unequal = len(unit) ** 2 - sum(count**2 for count in Counter(unit).values())
        disagreement += unequal / (len(unit) - 1)
    n = totals.total()
    expected = n * n - sum(count * count for count in totals.values())
    return 1 - (n - 1) * disagreement / expected if expected else None


# --- counts ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("pairs", "alpha"),
    [
        (["YY", "NN", "YN"], 0.4444),
        (["YY", "NN"], 1.0),
        (["YN", "YN"], -0.5),
        ([], None),
        (["YY", "YY"], None),
    ],
)
def test_krippendorffs_alpha_of_pairs(pairs: list[str], alpha: float | None) -> None:
    found = agreement(Counter((pair[0], pair[1]) for pair in pairs)).alpha
    assert found == (None if alpha is None else pytest.approx(alpha, abs=5e-5))


@pytest.mark.skipif(not anli.FOLDER.exists(), reason=f"no data in {anli.FOLDER}")
def test_votes_that_were_asked_for_because_two_differ_look_like_more_agreement() -> None:
    lines = (anli.FOLDER / "verifier_labels_R1-3.jsonl").read_text().splitlines()
    votes = [json.loads(line)["verifier labels"] for line in lines]
    assert agreement(Counter((one[0], one[1]) for one in votes)).alpha == pytest.approx(
        0.546, abs=5e-4
    )
    assert alpha_of(votes) == pytest.approx(0.605, abs=5e-4)


def test_alpha_from_counts_is_alpha_from_units() -> None:
    assert agreement({("Y", "Y"): 1, ("N", "N"): 1, ("Y", "N"): 1}).alpha == pytest.approx(4 / 9)
    rng = np.random.default_rng(3)
    units = [tuple(pair) for pair in rng.integers(4, size=(200, 2)).tolist()]
    found = agreement(Counter(units))
    assert found.alpha == pytest.approx(alpha_of(units))
    assert found.pairs == 200
    one = [(first == 2, second == 2) for first, second in units]
    assert agreement(of_one_label(Counter(units), 2)).alpha == pytest.approx(alpha_of(one))


def test_the_interval_resamples_items() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(3, size=300)
    first, second = (
        np.where(rng.random(300) < 0.85, truth, rng.integers(3, size=300)) for _ in "ab"
    )
    units = list(zip(first.tolist(), second.tolist(), strict=True))
    found = agreement(Counter(units))
    drawn = [alpha_of([units[place] for place in rng.integers(300, size=300)]) for _ in range(500)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert found.interval is not None
    assert found.interval.low == pytest.approx(low, abs=0.02)
    assert found.interval.high == pytest.approx(high, abs=0.02)
    assert agreement(Counter(units)) == found  # the same counts, the same interval


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ({}, "not known yet"),
        ({("1", "1"): 50}, "not defined: all agree"),
        ({("1", "1"): 50, ("2", "2"): 50}, "reliable"),
        ({("1", "1"): 40, ("2", "2"): 40, ("1", "2"): 10}, "tentative"),
        ({("1", "1"): 10, ("2", "2"): 10, ("1", "2"): 10}, "too low to rely on"),
    ],
)
def test_bands_in_words(pairs: Any, words: str) -> None:
    assert agreement(pairs).words == words


def test_one_pair_has_no_interval() -> None:
    assert agreement({("1", "2"): 1}).interval is None
    assert agreement({("1", "2"): 1}).alpha == 0


@pytest.mark.parametrize(
    ("pairs", "words"), [({("1", "2"): 1}, "too little"), ({("1", "1"): 1}, "same label")]
)
def test_the_page_tells_one_pair_from_votes_that_are_all_alike(pairs: Any, words: str) -> None:
    board = AgreementBoard(agreement(pairs), (), ())
    context = {"board": board, "backlog": Backlog(0, 0, 0, None, None), "validators": {"rows": []}}
    assert words in render_to_string("scoring/parts/agreement_told.html", context)


# --- queries --------------------------------------------------------------------------------------
@pytest.fixture
def voted(
    task: Task,
    annotator: User,
    validator: User,
    other_validator: User,
    third_validator: User,
) -> list[Example]:
    """Three examples on whose labels the first two agree, and one that took a third vote."""
    for seed in range(3):
        cast.submission(task, annotator, seed)
        cast.answer(validator, task)
        cast.answer(other_validator, task)
    example = cast.submission(task, annotator, 3)
    other = next(digit for digit in cast.DIGITS if digit != example.label)
    cast.answer(validator, task)
    cast.answer(other_validator, task, other)
    cast.answer(third_validator, task)
    return list(Example.objects.order_by("id"))


def test_only_the_first_two_votes_are_looked_at(task: Task, voted: list[Example]) -> None:
    board = queries.agreement_board(task, queries.vote_counts(task))
    units = [(example.label, example.label) for example in voted[:3]]
    units.append((voted[3].label, Vote.objects.filter(example=voted[3]).order_by("id")[1].label))
    assert board.overall.pairs == 4
    assert board.overall.alpha == pytest.approx(alpha_of(units))
    assert [(row.name, row.agreement) for row in board.rounds] == [("Round 1", board.overall)]
    given = {label for unit in units for label in unit}
    assert {row.name for row in board.labels} == given


def test_votes_that_do_not_count_are_left_out(task: Task, voted: list[Example]) -> None:
    Vote.objects.filter(example=voted[0]).update(dropped=True)
    Vote.objects.filter(example=voted[1]).update(surplus=True)
    Vote.objects.filter(example=voted[2]).update(purpose="gold")
    assert queries.agreement_board(task, queries.vote_counts(task)).overall.pairs == 1


@pytest.mark.parametrize("where", ["server", "task"])
def test_what_banned_people_sent_tells_nothing_of_validators(
    task: Task, voted: list[Example], annotator: User, owner: User, where: str
) -> None:
    assert queries.backlog(task).settled == 4
    if where == "server":
        acts.set_banned(actor=owner, user=annotator, banned=True, reason="junk")
    else:
        set_barred(actor=owner, task=task, user=annotator, barred=True, reason="junk")
    counts = queries.vote_counts(task)
    assert queries.agreement_board(task, counts).overall.pairs == 0
    assert not queries.confusion_rows(task, counts)
    pace = queries.backlog(task)
    assert (pace.settled, pace.votes_each) == (0, None)


def test_authors_against_validators(task: Task, voted: list[Example]) -> None:
    rows = queries.confusion_rows(task, queries.vote_counts(task))
    assert sum(row.votes for row in rows) == 9
    assert sum(cell.count for row in rows for cell in row.cells if cell.agrees) == 8
    for row in rows:
        if row.votes:
            assert sum(cell.share for cell in row.cells) == pytest.approx(1)


def test_validators_with_what_is_known_of_them(
    task: Task, voted: list[Example], validator: User, third_validator: User
) -> None:
    Reliability.objects.update_or_create(
        task=task,
        validator=third_validator,
        defaults={
            "alpha": 10,
            "beta": 30,
            "scored": 30,
            "gold_seen": 10,
            "gold_right": 2,
            "quarantined_at": timezone.now(),
        },
    )
    Vote.objects.filter(validator=validator).update(fast=False)
    Vote.objects.filter(validator=validator, example=voted[0]).update(fast=True)
    board = queries.validator_board(task)
    assert [row.name for row in board.rows] == ["xena", "vera", "wim"]
    bad, good, _ = board.rows
    assert (bad.gold.count, bad.gold.of) == (2, 10)
    assert bad.reliability.value == 0.25
    assert bad.reliability.interval.low < 0.25 < bad.reliability.interval.high
    assert (good.votes, good.fast_share, good.gold) == (4, 0.25, None)
    assert board.left_out == 0


def test_the_backlog_ends_at_the_pace_of_the_last_days(
    task: Task, voted: list[Example], other_annotator: User
) -> None:
    now = timezone.now()
    assert queries.backlog(task).words == "now"
    for seed in range(8):
        cast.submission(task, other_annotator, 10 + seed)
    Example.objects.filter(pk=voted[0].pk).update(settled_at=now - timedelta(days=2))
    found = queries.backlog(task, now)
    # Four in two days, and eight wait.
    assert (found.waiting, found.settled) == (8, 4)
    assert found.days == pytest.approx(4, rel=0.01)
    assert found.words == "in about 4 days"
    assert found.votes_each == pytest.approx(9 / 4)
    later = queries.backlog(task, now + timedelta(days=8))
    assert later.words == "nobody is at it"


# --- page -----------------------------------------------------------------------------------------
def test_only_owners_and_admins_see_the_page(client: Client, task: Task, owner: User) -> None:
    people = [
        (None, 404),
        (cast.person("ann"), 404),
        (cast.person("val", "validator"), 404),
        (cast.person("other-owner", "owner"), 404),
        (owner, 200),
        (cast.person("ada", "admin"), 200),
    ]
    for person, status in people:
        client.logout()
        if person is not None:
            client.force_login(person)
        assert client.get("/tasks/digits/agreement/").status_code == status, person


def test_the_page_before_and_after_the_first_votes(
    client: Client, task: Task, owner: User, request: pytest.FixtureRequest
) -> None:
    client.force_login(owner)
    assert "No pair of votes yet" in client.get("/tasks/digits/agreement/").content.decode()
    request.getfixturevalue("voted")
    text = client.get("/tasks/digits/agreement/").content.decode()
    assert "reliable" in text or "tentative" in text or "too low" in text
    assert "vera" in text
    assert "No two people judge" in text

    told = client.get("/api/v1/tasks/digits/agreement/").json()
    assert f'agreement__big num">{told["overall"]["alpha"]:.2f}<' in text
    assert sum(n for row in told["votes"].values() for n in row.values()) == 9
    vera = told["validators"][0]
    assert (vera["name"], vera["votes"], vera["gold"]) == ("vera", 4, None)
    # Three times two alike, and once the other one of three: half of what two others say.
    assert vera["borne_out"]["of"] == 4
    assert 0.5 < vera["borne_out"]["value"] < 1
    assert f"{100 * vera['borne_out']['value']:.0f} %" in text
    assert told["backlog"]["waiting"] == 0


def test_the_page_of_a_task_with_open_answers(client: Client, owner: User) -> None:
    cast.digits_task(
        owner, slug="topics", input="text_multilabel", comparator={"rule": "label_set"}
    )
    client.force_login(owner)
    assert client.get("/tasks/topics/agreement/").status_code == 200


def test_it_costs_the_same_for_any_number_of_votes(
    client: Client, owner: User, voted: list[Example], pinned: Pins
) -> None:
    client.force_login(owner)
    with pinned.queries("page agreement/"):
        client.get("/tasks/digits/agreement/")
