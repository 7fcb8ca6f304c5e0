"""The numbers behind the boards, against published and independently computed values."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.statistics import (
    Interval,
    Stratum,
    anytime,
    clopper_pearson,
    cluster_bootstrap,
    jeffreys,
    krippendorff_alpha_nominal,
    mantel_haenszel,
    newcombe,
    two_proportion_z,
    wilson,
)

ANLI_VOTES = (
    Path(__file__).resolve().parents[3] / "shared" / "data" / "anli" / "verifier_labels_R1-3.jsonl"
)
with_anli = pytest.mark.skipif(not ANLI_VOTES.exists(), reason="no ANLI votes beside the checkout")

IntervalOfRate = Callable[[int, int], Interval]
INTERVALS: tuple[IntervalOfRate, ...] = (wilson, clopper_pearson, jeffreys, anytime)

# k, n, then the four intervals in the order above.
INTERVALS_AT_95_PERCENT = [
    (0, 10, (0, 0.2775), (0, 0.3085), (0, 0.2172), (0, 0.3770)),
    (1, 10, (0.0179, 0.4042), (0.0025, 0.4450), (0.0110, 0.3813), (0.0005, 0.5440)),
    (5, 10, (0.2366, 0.7634), (0.1871, 0.8129), (0.2235, 0.7765), (0.1176, 0.8824)),
    (10, 10, (0.7225, 1), (0.6915, 1), (0.7828, 1), (0.6230, 1)),
    (37, 100, (0.2818, 0.4678), (0.2756, 0.4724), (0.2802, 0.4672), (0.2229, 0.5356)),
    (62, 100, (0.5221, 0.7090), (0.5175, 0.7152), (0.5225, 0.7106), (0.4543, 0.7686)),
    (889, 2175, (0.3883, 0.4295), (0.3880, 0.4297), (0.3882, 0.4295), (0.3696, 0.4487)),
]


@pytest.mark.parametrize(
    ("interval", "k", "n", "expected"),
    [
        pytest.param(interval, k, n, expected, id=f"{interval.__name__}-{k}-of-{n}")
        for k, n, *rows in INTERVALS_AT_95_PERCENT
        for interval, expected in zip(INTERVALS, rows, strict=True)
    ],
)
def test_intervals_of_a_rate(
    interval: IntervalOfRate, k: int, n: int, expected: tuple[float, float]
) -> None:
    assert interval(k, n) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(("n", "low"), [(1, 0.2065), (3, 0.4385), (5, 0.5655)])
def test_wilson_does_not_trust_a_short_streak(n: int, low: float) -> None:
    assert wilson(n, n).low == pytest.approx(low, abs=5e-5)


counts = st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize("interval", INTERVALS)
@given(rate=counts)
def test_intervals_hold_their_rate_and_mirror_its_complement(
    interval: IntervalOfRate, rate: tuple[int, int]
) -> None:
    k, n = rate
    low, high = interval(k, n)

    assert 0 <= low <= high <= 1
    if n:
        assert low <= k / n <= high
    assert interval(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@pytest.mark.parametrize("interval", INTERVALS)
def test_nothing_is_known_without_trials(interval: IntervalOfRate) -> None:
    assert interval(0, 0) == (0, 1)


@pytest.mark.parametrize("interval", INTERVALS)
def test_more_successes_than_trials_are_no_rate(interval: IntervalOfRate) -> None:
    with pytest.raises(ValueError, match="3 of 2 is no rate"):
        interval(3, 2)
    with pytest.raises(ValueError, match="-1 of 2 is no rate"):
        interval(-1, 2)


def test_an_anytime_interval_covers_the_rate_at_all_times_together() -> None:
    random = np.random.default_rng(7)
    walks, length, rate = 150, 300, 0.2
    left = 0
    for _ in range(walks):
        successes = np.cumsum(random.random(length) < rate)
        looks = range(1, length + 1, 7)
        ranges = [anytime(int(successes[n - 1]), n) for n in looks]
        left += not all(low <= rate <= high for low, high in ranges)

    assert left / walks <= 0.05


# differences between rates


@pytest.mark.parametrize(
    ("k1", "n1", "k2", "n2", "estimate", "low", "high"),
    [  # Newcombe 1998, table II, method 10
        (56, 70, 48, 80, 0.2, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.6, 0.1705, 0.8090),
        (10, 10, 0, 10, 1.0, 0.6075, 1.0000),
        (10, 10, 0, 20, 1.0, 0.6791, 1.0000),
        (5, 56, 0, 29, 0.0893, -0.0381, 0.1926),
    ],
)
def test_newcombes_interval_of_a_difference(
    k1: int, n1: int, k2: int, n2: int, estimate: float, low: float, high: float
) -> None:
    difference = newcombe(k1, n1, k2, n2)

    assert difference.estimate == pytest.approx(estimate, abs=5e-5)
    assert difference.interval == pytest.approx((low, high), abs=5e-5)


def test_anlis_rate_rose_overall_and_fell_on_the_shared_source() -> None:
    round_2 = (round(0.0807 * 47_460), 47_460)
    round_3 = (round(0.0860 * 102_859), 102_859)
    round_3_wiki = (round(0.0692 * 20_320), 20_320)

    overall = two_proportion_z(*round_3, *round_2)
    shared = two_proportion_z(*round_3_wiki, *round_2)

    assert overall.z == pytest.approx(3.44, abs=0.005)
    assert shared.z == pytest.approx(-5.14, abs=0.005)
    assert overall.p_value == pytest.approx(0.00059, abs=5e-6)
    assert newcombe(*round_3, *round_2).estimate == pytest.approx(0.0053, abs=5e-5)
    assert newcombe(*round_3_wiki, *round_2).estimate == pytest.approx(-0.0115, abs=5e-5)
    assert newcombe(*round_3_wiki, *round_2).interval.high < 0


def test_two_rates_without_variation_do_not_differ() -> None:
    assert two_proportion_z(0, 5, 0, 9) == (0, 1)


def test_mantel_haenszel_sees_a_fall_that_the_mixture_hides() -> None:
    easy = Stratum(80, 100, 810, 1000)
    hard = Stratum(100, 1000, 11, 100)
    pooled = newcombe(80 + 100, 1100, 810 + 11, 1100)

    within = mantel_haenszel([easy, hard])

    assert pooled.estimate < -0.5
    assert within.estimate == pytest.approx(-0.01)
    assert within.interval.low < -0.01 < within.interval.high


def test_a_context_that_one_group_never_met_does_not_count() -> None:
    shared = Stratum(8, 20, 5, 25)

    assert mantel_haenszel([shared, Stratum(0, 0, 9, 10)]) == newcombe(*shared)


def test_mantel_haenszel_weighs_by_both_groups() -> None:
    strata = [Stratum(3, 10, 1, 30), Stratum(10, 40, 4, 10)]
    weights = [10 * 30 / 40, 40 * 10 / 50]
    differences = [3 / 10 - 1 / 30, 10 / 40 - 4 / 10]

    expected = sum(map(float.__mul__, weights, differences)) / sum(weights)

    assert mantel_haenszel(strata).estimate == pytest.approx(expected)


def test_no_successes_anywhere_are_not_certainty() -> None:
    low, high = mantel_haenszel([Stratum(0, 10, 0, 12)] * 3).interval

    assert low < -0.05
    assert high > 0.05


def test_groups_without_a_shared_context_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="share no context"):
        mantel_haenszel([Stratum(1, 2, 0, 0), Stratum(0, 0, 1, 2)])
    with pytest.raises(ValueError, match="share no context"):
        newcombe(0, 0, 1, 2)
    with pytest.raises(ValueError, match="no rate to compare"):
        two_proportion_z(0, 0, 1, 2)


# resampling authors


def test_authors_who_differ_widen_the_interval() -> None:
    trials = [100] * 10
    alike = [30, 31, 29, 30, 30, 31, 29, 30, 30, 30]
    different = [5, 60, 10, 55, 30, 30, 8, 52, 20, 30]
    assert sum(alike) == sum(different)

    together = wilson(sum(alike), sum(trials))
    narrow = cluster_bootstrap(alike, trials)
    wide = cluster_bootstrap(different, trials)

    assert narrow.high - narrow.low < together.high - together.low
    assert wide.high - wide.low > 3 * (together.high - together.low)
    assert wide.low < 0.3 < wide.high


def test_resampling_authors_of_one_example_each_is_a_binomial_interval() -> None:
    low, high = cluster_bootstrap([1] * 400 + [0] * 600, [1] * 1000)

    assert (low, high) == pytest.approx(wilson(400, 1000), abs=0.004)


def test_resampling_is_reproducible() -> None:
    successes, trials = [3, 5, 9, 0] * 300, [10, 20, 10, 4] * 300

    assert cluster_bootstrap(successes, trials, seed=5) == cluster_bootstrap(
        successes, trials, seed=5
    )
    assert cluster_bootstrap(successes, trials, seed=5) != cluster_bootstrap(
        successes, trials, seed=6
    )


def test_too_little_to_resample_is_not_certainty() -> None:
    assert cluster_bootstrap([], []) == (0, 1)
    assert cluster_bootstrap([4], [9]) == (0, 1)
    assert cluster_bootstrap([4, 0], [9, 0]) == (0, 1)
    assert cluster_bootstrap([0, 0], [9, 5]) == wilson(0, 14)
    assert cluster_bootstrap([9, 5], [9, 5]) == wilson(14, 14)


def test_impossible_authors_are_refused() -> None:
    with pytest.raises(ValueError, match="one number of successes and one of trials"):
        cluster_bootstrap([1, 2], [3])
    with pytest.raises(ValueError, match="between 0 and all"):
        cluster_bootstrap([4, 1], [3, 2])


# agreement


@pytest.mark.parametrize(
    ("units", "alpha"),
    [
        (["YY", "NN", "YN"], 0.4444),
        (["YY", "NN"], 1.0),
        (["YN", "YN"], -0.5),
        (["YY", "NN", "YN", "Y", ""], 0.4444),
        (["YYN", "NNN"], 1 - 5 * 2 / 16),
    ],
)
def test_krippendorffs_alpha(units: list[str], alpha: float) -> None:
    assert krippendorff_alpha_nominal(units) == pytest.approx(alpha, abs=5e-5)


def test_krippendorffs_alpha_on_its_authors_example() -> None:
    """Four observers, twelve units, missing values (Krippendorff 2011, section C): .743."""
    rows = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    units = [[row[unit] for row in rows if row[unit] != "."] for unit in range(12)]

    assert krippendorff_alpha_nominal(units) == pytest.approx(0.743, abs=5e-4)


@pytest.mark.parametrize("units", [[], ["Y", "N"], ["YY", "YY"]])
def test_agreement_is_undefined_without_pairs_or_variety(units: list[str]) -> None:
    assert krippendorff_alpha_nominal(units) is None


@cache
def anli_votes() -> list[list[str]]:
    with ANLI_VOTES.open(encoding="utf-8") as lines:
        return [json.loads(line)["verifier labels"] for line in lines]


@with_anli
def test_votes_asked_for_because_of_earlier_ones_inflate_agreement() -> None:
    votes = anli_votes()

    assert krippendorff_alpha_nominal(votes) == pytest.approx(0.605, abs=5e-4)
    assert krippendorff_alpha_nominal(two[:2] for two in votes) == pytest.approx(0.546, abs=5e-4)
