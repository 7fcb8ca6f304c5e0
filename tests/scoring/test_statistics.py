"""The numbers behind the boards, against published and independently computed values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.statistics import cluster_bootstrap, wilson


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


# resampling authors


def test_authors_who_differ_widen_the_wilson() -> None:
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


def test_resampling_authors_of_one_example_each_is_a_binomial_wilson() -> None:
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
