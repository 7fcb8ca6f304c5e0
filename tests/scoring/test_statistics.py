"""The numbers behind the boards, against published and independently computed values."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.comparison import conclusion
from scoring.statistics import (
    Difference,
    Interval,
    Part,
    Stratified,
    anytime,
    clopper_pearson,
    clustered,
    jeffreys,
    mantel_haenszel,
    newcombe,
    wilson,
)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (0, 10, 0, 0.2775),
        (1, 10, 0.0179, 0.4042),
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1),
        (37, 100, 0.2818, 0.4678),
        (62, 100, 0.5221, 0.7090),
        (889, 2175, 0.3883, 0.4295),
    ],
)
def test_wilsons_interval_of_a_rate(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("n", "low"), [(1, 0.2065), (3, 0.4385), (5, 0.5655)])
def test_wilson_does_not_trust_a_short_streak(n: int, low: float) -> None:
    assert wilson(n, n).low == pytest.approx(low, abs=5e-5)


counts = st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(rate=counts)
def test_intervals_hold_their_rate_and_mirror_its_complement(
    rate: tuple[int, int],
) -> None:
    k, n = rate
    low, high = wilson(k, n)

    assert 0 <= low <= high <= 1
    if n:
        assert low <= k / n <= high
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_nothing_is_known_without_trials() -> None:
    assert wilson(0, 0) == (0, 1)


def test_more_successes_than_trials_are_no_rate() -> None:
    with pytest.raises(ValueError, match="3 of 2 is no rate"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="-1 of 2 is no rate"):
        wilson(-1, 2)


# --- the other intervals, by the same reference ---------------------------------------------------
@pytest.mark.parametrize(
    ("k", "n", "exact", "bayes", "watched"),
    [
        (0, 10, (0, 0.3085), (0, 0.2172), (0, 0.3770)),
        (1, 10, (0.0025, 0.4450), (0.0110, 0.3813), (0.0005, 0.5440)),
        (5, 10, (0.1871, 0.8129), (0.2235, 0.7765), (0.1176, 0.8824)),
        (10, 10, (0.6915, 1), (0.7828, 1), (0.6230, 1)),
        (37, 100, (0.2756, 0.4724), (0.2802, 0.4672), (0.2229, 0.5356)),
        (62, 100, (0.5175, 0.7152), (0.5225, 0.7106), (0.4543, 0.7686)),
        (889, 2175, (0.3880, 0.4297), (0.3882, 0.4295), (0.3696, 0.4487)),
    ],
)
def test_the_other_intervals(k: int, n: int, exact: Any, bayes: Any, watched: Any) -> None:
    assert clopper_pearson(k, n) == pytest.approx(exact, abs=6e-5)
    assert jeffreys(k, n) == pytest.approx(bayes, abs=6e-5)
    assert anytime(k, n) == pytest.approx(watched, abs=6e-5)


@given(rate=counts)
def test_each_holds_its_rate_and_what_may_be_watched_is_the_widest(rate: tuple[int, int]) -> None:
    k, n = rate
    found = [method(k, n) for method in (wilson, clopper_pearson, jeffreys, anytime)]
    for low, high in found:
        assert 0 <= low <= high <= 1
        assert not n or low <= k / n <= high
    assert found[1].low >= found[3].low - 1e-9
    assert found[1].high <= found[3].high + 1e-9


def test_scipy_agrees_about_the_exact_interval() -> None:
    from scipy.stats import binomtest

    for k, n in ((0, 7), (3, 7), (7, 7), (250, 1000)):
        exact = binomtest(k, n).proportion_ci(method="exact")
        assert clopper_pearson(k, n) == pytest.approx((exact.low, exact.high), abs=1e-9)


# --- people differ --------------------------------------------------------------------------------
def test_authors_who_differ_widen_the_interval() -> None:
    trials = [100] * 10
    alike = [30, 31, 29, 30, 30, 31, 29, 30, 30, 30]
    different = [5, 60, 10, 55, 30, 30, 8, 52, 20, 30]
    together = wilson(300, 1000)
    narrow, wide = clustered(alike, trials), clustered(different, trials)

    # Authors more alike than chance would have them are luck, not knowledge.
    assert narrow.low <= together.low
    assert narrow.high >= together.high
    assert narrow.high - narrow.low < 1.3 * (together.high - together.low)
    assert wide.high - wide.low > 3 * (together.high - together.low)
    assert wide.low < 0.3 < wide.high


def test_authors_of_one_example_each_are_independent_examples() -> None:
    assert clustered([1] * 400 + [0] * 600, [1] * 1000) == pytest.approx(
        wilson(400, 1000), abs=1e-3
    )


def test_a_public_log_of_ten_authors_is_twice_as_wide_as_wilsons() -> None:
    """The order of what REFERENCE has of one: 4.1 points by Wilson, 8.9 by authors."""
    rng = np.random.default_rng(1)
    trials = rng.integers(100, 330, 10)
    hits = rng.binomial(trials, rng.beta(0.4 * 45, 0.6 * 45, 10))
    plain = wilson(int(hits.sum()), int(trials.sum()))
    wide = clustered(hits.tolist(), trials.tolist())
    assert 1.5 < (wide.high - wide.low) / (plain.high - plain.low) < 4


def test_too_little_to_tell_people_apart_is_not_certainty() -> None:
    assert clustered([], []) == (0, 1)
    assert clustered([4], [9]) == (0, 1)
    assert clustered([4, 0], [9, 0]) == (0, 1)
    assert clustered([0, 0], [9, 5]) == wilson(0, 14)
    assert clustered([9, 5], [9, 5]) == wilson(14, 14)
    # Where all are alike (a bootstrap's BCa interval is NaN) no width is gained by it.
    low, high = clustered([3, 3, 3], [9, 9, 9])
    assert low <= wilson(9, 27).low < wilson(9, 27).high <= high


def test_impossible_authors_are_refused() -> None:
    with pytest.raises(ValueError, match="one number of successes and one of trials"):
        clustered([1, 2], [3])
    with pytest.raises(ValueError, match="between 0 and all"):
        clustered([4, 1], [3, 2])


# --- differences ----------------------------------------------------------------------------------
def test_newcombes_interval() -> None:
    """His own example (1998, table II, a): 56 of 70 against 48 of 80, by method 10."""
    found = newcombe(56 / 70, wilson(56, 70), 48 / 80, wilson(48, 80))
    assert found.value == pytest.approx(0.2)
    assert found.interval == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert found.sign == 1


# ANLI's rounds 2 and 3, verified of submitted, all and of round 3's Wikipedia contexts alone.
A2, A3, A3_WIKI = (3830, 47_460), (8846, 102_859), (1406, 20_320)


def test_a_mix_of_sources_can_turn_a_difference_around() -> None:
    raw = newcombe(A3[0] / A3[1], wilson(*A3), A2[0] / A2[1], wilson(*A2))
    assert raw.value == pytest.approx(0.0053, abs=5e-5)
    assert raw.sign == 1

    other = A3[0] - A3_WIKI[0], A3[1] - A3_WIKI[1]
    sides = [("wiki", False, A2), ("wiki", True, A3_WIKI), ("fiction", True, other)]
    authors = itertools.count()
    parts = [
        Part(source, next(authors), now, hit, 1)  # each example its own author's
        for source, now, (k, n) in sides
        for hit in [1] * k + [0] * (n - k)
    ]
    within = mantel_haenszel(parts)

    assert within is not None
    assert within.difference.value == pytest.approx(-0.0115, abs=5e-5)
    assert within.difference.sign == -1
    assert (within.strata, within.share_before) == (1, 1)
    assert within.share_now == pytest.approx(20_320 / 102_859)
    # Over independent examples its error is the usual one of two rates.
    error = math.sqrt(sum(k / n * (1 - k / n) / n for k, n in (A2, A3_WIKI)))
    reach = within.difference.interval.high - within.difference.value
    assert reach == pytest.approx(1.96 * error, rel=1e-3)
    words = conclusion(raw, within, "sources", 0.0)
    assert words == (
        "The verified rate rose, but among the same sources it fell: the mix changed, and the raw "
        "rates must not be compared."
    )


def test_strata_are_weighed_and_authors_on_both_sides_count_once() -> None:
    parts = [
        Part("a", 1, True, 8, 10), Part("a", 1, False, 5, 10),
        Part("a", 2, True, 6, 10), Part("a", 2, False, 3, 10),
        Part("b", 1, True, 30, 40), Part("b", 2, False, 20, 40),
    ]  # fmt: skip
    found = mantel_haenszel(parts)
    assert found is not None
    # Weights 10 and 20: (10 * .3 + 20 * .25) / 30. Both people moved alike in a, which says little.
    assert found.difference.value == pytest.approx(8 / 30)
    assert found.difference.interval == pytest.approx((0.0978, 0.4355), abs=5e-5)
    assert mantel_haenszel([Part("a", 1, True, 1, 2), Part("b", 2, False, 1, 2)]) is None
    assert mantel_haenszel(parts[:2]) is None, "one person says nothing of others"
    apart = [Part("", 3, True, 1, 60), Part("", 4, False, 1, 20)]
    told = mantel_haenszel([*parts, *apart])
    assert told is not None
    assert told.difference == found.difference
    assert (told.share_now, told.share_before) == (60 / 120, 60 / 80)


def told(low: float, high: float) -> Difference:
    return Difference((low + high) / 2, Interval(low, high))


UP, DOWN, NONE = told(0.01, 0.03), told(-0.03, -0.01), told(-0.01, 0.02)


@pytest.mark.parametrize(
    ("raw", "within", "strata", "words"),
    [
        (NONE, NONE, "sources", "No difference"),
        (NONE, None, "", "No difference"),
        (UP, None, "", "rose; the people may be others, too"),
        (UP, None, "sources", "share too little of the same sources"),
        (DOWN, DOWN, "sources", "fell, also among the same sources."),
        (UP, NONE, "labels", "the mix may explain it"),
        (NONE, DOWN, "labels", "overall another mix hides it"),
    ],
)
def test_one_sentence_says_what_may_be_concluded(
    raw: Difference, within: Difference | None, strata: str, words: str
) -> None:
    inside = Stratified(within, 2, 1, 1) if within is not None else None
    assert words in conclusion(raw, inside, strata, 0.05)
    assert "30 % of the claims are undecided" in conclusion(raw, inside, strata, 0.3)
