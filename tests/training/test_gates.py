"""The gates before promotion: what passes, what does not, and what the owner reads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import log, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.backends import Answer
from ml.learners import Item
from training.evaluation import Asked
from training.gates import (
    Breadth,
    GateResult,
    GateSettings,
    judge,
    parse_gate_settings,
    passed,
)
from training.nearby import Nearby, Usual, nearby
from training.paired import Paired, items_to_hold, paired_lower_bound, surest

TEN_CLASSES = 10


def paired(n: int, *, lost: int = 0, gained: int = 0, wrong: int = 0, classes: int = 1) -> Paired:
    """Items of which both models have `wrong` wrong; class labels take turns."""
    old, new = np.ones(n, bool), np.ones(n, bool)
    new[:lost] = False
    old[lost : lost + gained] = False
    for right in (old, new):
        right[lost + gained : lost + gained + wrong] = False
    return Paired(old, new, [str(number % classes) for number in range(n)])


GOOD = paired(2000, lost=2, gained=8, wrong=60, classes=TEN_CLASSES)
BROAD = Breadth(authors=10, contents=80)
GAIN = paired(60, lost=2, gained=20, wrong=10)


def gates(
    clean: Paired = GOOD,
    earlier: Mapping[int, Paired] | None = None,
    new_round: Paired = GAIN,
    *,
    verified: int = 120,
    shared_authors: tuple[str, ...] = (),
    train: Breadth = BROAD,
    held_out: Breadth = BROAD,
    near: Sequence[Nearby] = (),
    settings: GateSettings | None = None,
    of: int = 1,
) -> dict[str, GateResult]:
    results = judge(
        clean,
        earlier or {},
        new_round,
        verified=verified,
        shared_authors=shared_authors,
        train=train,
        held_out=held_out,
        near=near,
        settings=settings,
        of=of,
    )
    return {result.name: result for result in results}


def test_a_better_candidate_passes_every_gate() -> None:
    results = gates(earlier={2: paired(100, lost=1, gained=0), 1: paired(80, gained=3)})

    assert passed(results.values())
    assert list(results) == [
        "verified",
        "authors",
        "learned from",
        "tested with",
        "clean",
        "round 1",
        "round 2",
        "new round",
        "recall",
        "nearby",
        "negative flips",
        "calibration",
    ]


def test_one_failed_gate_stops_the_promotion() -> None:
    results = gates(verified=49)

    assert not results["verified"].passed
    assert not passed(results.values())
    assert all(result.passed for name, result in results.items() if name != "verified")


def test_results_are_plain_numbers_that_json_can_hold() -> None:
    sure = np.full(2000, 0.5)
    clean = Paired(GOOD.old, GOOD.new, GOOD.labels, sure, sure)
    results = gates(clean, {1: paired(0)})

    for result in results.values():
        assert json.loads(json.dumps(asdict(result))) == asdict(result)


def test_sentences_say_what_was_measured_and_what_was_asked() -> None:
    results = gates(
        paired(1000, lost=3, gained=8, wrong=40, classes=TEN_CLASSES), {1: paired(40, lost=1)}
    )

    assert results["clean"].sentence == (
        "Clean data: 95.20 % before, 95.70 % now (+0.50 points; 8 gained, 3 lost of 1,000 items); "
        "with 95 % confidence at least -0.05 points, and -1.50 or more is asked for with fewer "
        "than 2,000 items."
    )
    assert results["round 1"].sentence == (
        "Round 1: 100.00 % before, 97.50 % now (-2.50 points; 0 gained, 1 lost of 40 items); "
        "-1.00 points or more is asked for, and one item is 2.5 points here."
    )
    assert results["verified"].sentence == (
        "120 verified examples to learn from; at least 50 needed."
    )


# clean data


@pytest.mark.parametrize(
    ("n", "lost", "gained", "ok"),
    [
        (2000, 0, 0, True),
        (2000, 10, 10, True),
        (2000, 20, 10, False),  # half a point lost, and surely not less
        (1999, 20, 10, True),  # fewer items are allowed one and a half points
        (1000, 10, 0, False),
        (100, 0, 0, False),  # agreement on 100 items does not exclude a loss of 1.5 points
        (360, 0, 0, True),
        (360, 3, 3, True),
    ],
)
def test_clean_accuracy_is_judged_by_its_lower_bound(
    n: int, lost: int, gained: int, ok: bool
) -> None:
    result = gates(paired(n, lost=lost, gained=gained, classes=TEN_CLASSES))["clean"]

    assert result.passed is ok
    assert result.value == pytest.approx(100 * (gained - lost) / n)
    assert result.value is not None
    assert result.bound is not None
    assert result.bound <= result.value
    assert (result.b, result.c, result.n) == (lost, gained, n)
    assert result.threshold == (-0.5 if n >= 2000 else -1.5)


@pytest.mark.parametrize(
    ("of", "lost", "gained", "ok"),
    [
        (1, 0, 0, True),
        (8, 0, 0, True),
        (8, 1, 2, True),
        (8, 2, 1, False),
        (8, 0, 1, True),
        (30, 0, 0, True),
    ],
)
def test_of_the_best_of_several_no_more_surety_is_asked_than_the_items_can_give(
    of: int, lost: int, gained: int, ok: bool
) -> None:
    """As many items as the library's digits have: that no answer changed was refused of eight."""
    assert gates(paired(359, lost=lost, gained=gained), of=of)["clean"].passed == ok


def test_the_page_says_how_many_clean_items_it_takes() -> None:
    clean = gates(paired(100))["clean"]
    assert not clean.passed
    assert clean.sentence.endswith("To be so sure takes 178 items, even if no answer changes.")
    assert "takes" not in gates(paired(178))["clean"].sentence


@pytest.mark.parametrize("of", [1, 2, 3, 6, 8, 20, 30])
@pytest.mark.parametrize("n", [178, 200, 359, 500, 1000])
def test_nor_does_it_ask_for_more_than_the_surety_that_these_can_give(n: int, of: int) -> None:
    assert "takes" not in gates(paired(n), of=of)["clean"].sentence


def test_no_number_of_clean_items_holds_a_margin_of_nothing() -> None:
    clean = gates(paired(100), settings=GateSettings(clean_margin_few=0))["clean"]
    assert not clean.passed
    assert "takes" not in clean.sentence


def test_no_bound_is_called_wholly_certain() -> None:
    surer = GateSettings(confidence=0.999, clean_margin=-10)
    assert "with 99.99 % confidence" in gates(settings=surer, of=20)["clean"].sentence


@pytest.mark.parametrize("confidence", [0.9, 0.95, 1 - 0.05 / 30])
@pytest.mark.parametrize("margin", [-0.5, -1.5, -20])
def test_so_many_items_hold_a_margin_and_one_fewer_does_not(
    margin: float, confidence: float
) -> None:
    n = items_to_hold(margin, confidence)
    assert surest(margin, n - 1) < confidence <= surest(margin, n)
    assert 100 * paired_lower_bound(0, 0, n, confidence) >= margin - 1e-9
    assert 100 * paired_lower_bound(0, 0, n - 1, confidence) < margin


def test_nothing_passes_without_clean_data() -> None:
    results = gates(paired(0))

    assert {name for name, result in results.items() if not result.passed} == {
        "clean",
        "recall",
        "negative flips",
        "calibration",
    }


# rounds


@pytest.mark.parametrize(
    ("n", "lost", "gained", "ok"),
    [(100, 1, 0, True), (100, 2, 0, False), (100, 9, 8, True), (99, 1, 0, False), (0, 0, 0, True)],
)
def test_no_earlier_round_may_lose_more_than_a_point(
    n: int, lost: int, gained: int, ok: bool
) -> None:
    assert gates(earlier={3: paired(n, lost=lost, gained=gained)})["round 3"].passed is ok


def test_a_task_may_forgive_what_chance_explains_in_small_earlier_rounds() -> None:
    forgiving = GateSettings(earlier_items=50)

    def ok(lost: int, settings: GateSettings | None = None) -> bool:
        return gates(earlier={1: paired(20, lost=lost)}, settings=settings)["round 1"].passed

    assert not ok(1)
    assert ok(1, forgiving)
    assert not ok(8, forgiving)


@pytest.mark.parametrize(
    ("n", "lost", "gained", "ok"),
    [
        (49, 0, 0, True),
        (49, 5, 5, True),
        (49, 1, 0, False),
        (50, 0, 0, False),
        (50, 1, 2, False),  # a gain that is not certain
        (50, 0, 9, True),
        (0, 0, 0, False),
    ],
)
def test_the_new_round_has_to_gain(n: int, lost: int, gained: int, ok: bool) -> None:
    assert gates(new_round=paired(n, lost=lost, gained=gained))["new round"].passed is ok


def test_the_page_says_when_few_items_are_all_there_is() -> None:
    sentence = gates(new_round=paired(30, gained=4))["new round"].sentence

    assert "no loss is asked for, which is all that fewer than 50 items can tell" in sentence


# classes, flips, calibration


def one_class_loses(n_of_class: int, lost: int) -> Paired:
    """Class 7 loses, the nine others gain as much between them."""
    truth = np.repeat(np.arange(TEN_CLASSES), n_of_class)
    old, new = np.ones(len(truth), bool), np.ones(len(truth), bool)
    new[np.flatnonzero(truth == 7)[:lost]] = False
    old[np.flatnonzero(truth == 2)[:lost]] = False
    return Paired(old, new, [str(label) for label in truth])


@pytest.mark.parametrize(
    ("n_of_class", "lost", "ok"),
    [
        (200, 4, True),
        (200, 5, False),
        (50, 1, True),
        (50, 2, False),
        (49, 2, True),  # too few to judge: chance could explain it
        (49, 5, False),
        (10, 1, True),
        (10, 5, False),
    ],
)
def test_no_class_may_be_sacrificed(n_of_class: int, lost: int, ok: bool) -> None:
    result = gates(one_class_loses(n_of_class, lost))["recall"]

    assert result.passed is ok
    assert "'7'" in result.sentence
    assert (result.b, result.n) == (lost, n_of_class)


def test_a_class_with_few_items_is_said_not_to_be_judged_like_the_others() -> None:
    sentence = gates(one_class_loses(36, 1))["recall"].sentence

    assert "chance could explain this drop" in sentence
    assert "Classes with fewer than 50 items (10 of 10) fail only by a drop that" in sentence


@pytest.mark.parametrize(("lost", "ok"), [(20, True), (21, False)])
def test_negative_flips_are_counted_whatever_was_gained(lost: int, ok: bool) -> None:
    clean = paired(2000, lost=lost, gained=100, wrong=5, classes=TEN_CLASSES)

    assert gates(clean)["negative flips"].passed is ok


def calibrated(new_confidence: float) -> Paired:
    """80 % right; the old model says so, the new one says `new_confidence`."""
    right = np.repeat([True, False], [800, 200])
    return Paired(right, right, ["a"] * 1000, np.full(1000, 0.8), np.full(1000, new_confidence))


@pytest.mark.parametrize(
    ("confidence", "ok"), [(0.8, True), (0.82, True), (0.83, False), (0.7, False)]
)
def test_calibration_may_get_a_little_worse(confidence: float, ok: bool) -> None:
    result = gates(calibrated(confidence))["calibration"]

    assert result.passed is ok
    assert result.value == pytest.approx(abs(confidence - 0.8))


def test_calibration_without_probabilities_is_said_to_be_unknown() -> None:
    result = gates()["calibration"]

    assert result.passed
    assert result.value is None
    assert "not judged" in result.sentence


def test_an_author_met_in_training_spoils_the_test() -> None:
    result = gates(shared_authors=("anna",))["authors"]

    assert not result.passed
    assert result.sentence == "1 test author also in the training data; none allowed."


# the bound


def score(difference: float, lost: int, gained: int, n: int) -> float:
    """Tango's statistic with the nuisance parameter found by brute force."""
    from scipy.optimize import minimize_scalar

    same = n - lost - gained

    def minus_log_likelihood(only_old: float) -> float:
        only_new = only_old + difference
        terms = ((lost, only_old), (gained, only_new), (same, 1 - only_old - only_new))
        return -sum(count * log(max(share, 1e-300)) for count, share in terms if count)

    only_old = minimize_scalar(
        minus_log_likelihood,
        bounds=(max(0.0, -difference), (1 - difference) / 2),
        method="bounded",
        options={"xatol": 1e-12},
    ).x
    variance = n * (2 * only_old + difference - difference**2)
    return float((gained - lost - n * difference) / sqrt(variance))


@pytest.mark.parametrize(
    ("lost", "gained", "n"), [(10, 15, 2000), (3, 1, 360), (1, 9, 50), (12, 2, 40), (150, 86, 1600)]
)
def test_the_bound_is_where_the_score_test_stops_rejecting(lost: int, gained: int, n: int) -> None:
    bound = paired_lower_bound(lost, gained, n)

    assert score(bound, lost, gained, n) == pytest.approx(NormalDist().inv_cdf(0.95), abs=1e-3)


@pytest.mark.parametrize("n", [1, 10, 360, 2000])
def test_agreement_on_few_items_proves_little(n: int) -> None:
    z = NormalDist().inv_cdf(0.95)

    assert paired_lower_bound(0, 0, n) == pytest.approx(-(z**2) / (n + z**2))


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 200))
def test_the_bound_falls_with_every_item_lost(lost: int, gained: int, same: int) -> None:
    n = lost + gained + same

    bound = paired_lower_bound(lost, gained, n)

    assert -1 <= bound <= (gained - lost) / n
    assert paired_lower_bound(lost + 1, gained, n) <= bound + 1e-12
    assert paired_lower_bound(lost, gained + 1, n) >= bound - 1e-12


@pytest.mark.parametrize(("only_old", "only_new", "n"), [(0.01, 0.02, 360), (0.05, 0.2, 50)])
def test_the_bound_is_right_as_often_as_it_says(only_old: float, only_new: float, n: int) -> None:
    random = np.random.default_rng(3)
    drawn = random.multinomial(n, [only_old, only_new, 1 - only_old - only_new], size=2000)

    below = [
        paired_lower_bound(int(lost), int(gained), n) <= only_new - only_old
        for lost, gained, _ in drawn
    ]

    assert np.mean(below) == pytest.approx(0.95, abs=0.02)


def test_counts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit into 3 items"):
        paired_lower_bound(2, 2, 3)
    assert paired_lower_bound(0, 0, 0) == -1


@pytest.mark.parametrize(
    ("side", "ok"),
    [
        (Breadth(authors=3, contents=20), True),
        (Breadth(authors=2, contents=200), False),
        (Breadth(authors=30, contents=19), False),
    ],
)
def test_a_class_is_not_a_few_peoples_to_write(side: Breadth, ok: bool) -> None:
    assert gates(train=side)["learned from"].passed is ok


def test_there_is_somebody_and_something_to_test_with() -> None:
    assert gates(held_out=Breadth(authors=1, contents=5))["tested with"].passed
    assert not gates(held_out=Breadth(authors=1, contents=4))["tested with"].passed
    assert not gates(held_out=Breadth(authors=0, contents=0))["tested with"].passed


def test_a_class_next_to_what_was_learned_keeps_its_surety() -> None:
    calm, shaken = Nearby("3", 5, 10, 0.4), Nearby("7", 30, 10, 5.3)
    assert gates(near=[calm])["nearby"].passed
    result = gates(near=[calm, shaken])["nearby"]
    assert not result.passed
    assert "of class '7' nearest to 30 learned items" in result.sentence


@pytest.mark.parametrize(
    ("people", "base", "seen"),
    [(1, 200, False), (2, 200, False), (4, 200, True)]
    + [(1, base, False) for base in range(2, 20)]
    + [(2, base, False) for base in range(4, 20)],
)
def test_what_two_people_send_next_to_it_neither_fails_the_gate_nor_passes_it(
    people: int, base: int, seen: bool
) -> None:
    """Twenty of each lie nearest, and the model is much less sure of them; few is else there."""
    (found,) = _near(people, base)
    assert found.items <= 20
    assert (found.fall > 5) is seen


@pytest.mark.parametrize("people", [1, 2, 3, 9])
def test_where_nothing_else_is_there_what_people_sent_is_compared(people: int) -> None:
    (found,) = _near(people, 0)
    assert found.fall > 5


def _near(people: int, base: int) -> list[Nearby]:
    def asked(place: int, now: float, item: Any) -> Asked[Any]:
        said = [Answer("7", {"7": surety, "1": 1 - surety}) for surety in (0.9, now)]
        return Asked(item, *said)

    def apart(one: Any, other: Any) -> float:
        return float(abs(one - other))

    learned = [asked(place, 0.1, Item(place, "1")) for place in range(3)]
    sent = [
        asked(place, 0.2, Usual(place, "7", author=place % people))
        for place in range(3, 3 + 20 * people)
    ]
    clean = [asked(place, 0.88, Item(place, "7")) for place in range(1000, 1000 + base)]
    return nearby(learned, [*clean, *sent], apart, nearest=20, least=3)


# settings and input


def test_a_task_overrides_single_settings() -> None:
    settings = parse_gate_settings({"min_verified": 10, "clean_margin_few": -3})

    assert settings == GateSettings(min_verified=10, clean_margin_few=-3)
    assert settings.clean_margin == -0.5
    assert gates(verified=10, settings=settings)["verified"].passed


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        ({"clean_margn": -1}, "The set of gates has no parameter clean_margn"),
        ({"clean_margin": 0.5}, "'clean_margin' must be a number from -100 to 0, not 0.5"),
        ({"min_verified": 10.5}, "'min_verified' must be a whole number"),
        ({"negative_flips": -1}, "'negative_flips' must be a number from 0 to 100"),
        ({"confidence": 1}, "'confidence' must be a number between 0.5 and 1"),
    ],
)
def test_a_mistake_in_the_settings_is_named(overrides: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_gate_settings(overrides)


def test_answers_that_do_not_belong_together_are_refused() -> None:
    right = np.ones(3, bool)

    with pytest.raises(ValueError, match="'new' has 2 values for 3 items"):
        Paired(right, right[:2], ["a"] * 3)
    with pytest.raises(ValueError, match="'old_sure' has 2 values for 3 items"):
        Paired(right, right, ["a"] * 3, old_sure=np.ones(2))
