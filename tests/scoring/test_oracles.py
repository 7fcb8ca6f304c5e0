"""The statistics against libraries that are right about them; rules that hold for all counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import krippendorff
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, binom, bootstrap
from sklearn.metrics import f1_score
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportion_confint,
    proportions_ztest,
)

from scoring.dynascore import dynascores, pareto
from scoring.pair_agreement import agreement
from scoring.statistics import (
    Part,
    anytime,
    clopper_pearson,
    clustered,
    corrected_rate,
    jeffreys,
    macro_f1,
    mantel_haenszel,
    newcombe,
    wilson,
)

pytestmark = pytest.mark.once

some = settings(max_examples=30, deadline=None)
rates = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
authors = st.lists(rates, min_size=2, max_size=8)


@some
@given(rate=rates)
def test_statsmodels_and_scipy_agree_about_a_rate(rate: tuple[int, int]) -> None:
    k, n = rate
    assert wilson(k, n) == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-9)
    assert clopper_pearson(k, n) == pytest.approx(proportion_confint(k, n, method="beta"), abs=1e-7)
    low, high = proportion_confint(k, n, method="jeffreys")
    closed = (0 if k == 0 else low, 1 if k == n else high)
    assert jeffreys(k, n) == pytest.approx(closed, abs=1e-7)
    # At its ends the mixture outbids the rate by 20 to 1, as it is said to.
    for end in anytime(k, n):
        if 0 < end < 1:
            bid = betabinom.pmf(k, n, 0.5, 0.5) / binom.pmf(k, n, end)
            assert bid == pytest.approx(20, rel=1e-6)


@some
@given(now=rates, before=rates)
def test_statsmodels_agrees_about_two_rates(now: tuple[int, int], before: tuple[int, int]) -> None:
    found = newcombe(now[0] / now[1], wilson(*now), before[0] / before[1], wilson(*before))
    theirs = confint_proportions_2indep(*now, *before, method="newcomb", compare="diff")
    assert found.interval == pytest.approx(theirs, abs=1e-9)


def test_the_published_z_of_anlis_rounds() -> None:
    for now, wanted in (((8846, 102_859), 3.44), ((1406, 20_320), -5.14)):
        counts, sizes = zip(now, (3830, 47_460), strict=True)
        assert proportions_ztest(counts, sizes)[0] == pytest.approx(wanted, abs=5e-3)


@some
@given(people=authors, order=st.randoms(use_true_random=False))
def test_authors_intervals_are_jackknifes_and_hang_on_no_order(
    people: list[tuple[int, int]], order: Any
) -> None:
    k, n = map(np.array, zip(*people, strict=True))
    found = clustered(k.tolist(), n.tolist())
    plain = wilson(int(k.sum()), int(n.sum()))
    assert found.low <= plain.low <= plain.high <= found.high
    order.shuffle(people)
    again = clustered(*zip(*people, strict=True))
    assert again == pytest.approx(found, abs=1e-9)
    assume(0 < k.sum() < n.sum())
    # The same by leaving out one after the other, and Wilson's formula of what is left to trust.
    from scipy.stats import t

    rate, m = k.sum() / n.sum(), len(people)
    left = (k.sum() - k) / (n.sum() - n)
    variance = (m - 1) / m * ((left - rate) ** 2).sum()
    worth = min(rate * (1 - rate) / variance, n.sum()) if variance else n.sum()
    z = t.ppf(0.975, max(1, 1 / ((n / n.sum()) ** 2).sum() - 1))
    centre = (rate + z * z / (2 * worth)) / (1 + z * z / worth)
    reach = z * np.sqrt(rate * (1 - rate) / worth + (z / (2 * worth)) ** 2) / (1 + z * z / worth)
    wide = (min(plain.low, centre - reach), max(plain.high, centre + reach))
    assert found == pytest.approx(wide, abs=1e-9)


def test_where_authors_agree_a_bootstrap_says_nothing_and_we_say_wilsons() -> None:
    with np.errstate(all="ignore"), pytest.warns(Warning, match="BCa confidence interval"):
        theirs = bootstrap(([0.0] * 5,), np.mean, n_resamples=99).confidence_interval
    assert np.isnan(theirs).all()
    assert clustered([0] * 5, [9] * 5) == wilson(0, 45)


@some
@given(now=authors, before=authors)
def test_one_stratum_is_the_raw_difference_and_sides_change_its_sign(
    now: list[tuple[int, int]], before: list[tuple[int, int]]
) -> None:
    def parts(turned: bool) -> list[Part]:
        sides = ((True, now), (False, before))
        return [
            Part("all", author, side is not turned, k, n)
            for side, people in sides
            for author, (k, n) in enumerate(people)
        ]

    found, other = mantel_haenszel(parts(turned=False)), mantel_haenszel(parts(turned=True))
    assert found is not None
    assert other is not None
    rate = [sum(k for k, _ in people) / sum(n for _, n in people) for people in (now, before)]
    assert found.difference.value == pytest.approx(rate[0] - rate[1])
    low, high = found.difference.interval
    assert low <= found.difference.value <= high
    assert other.difference.interval == pytest.approx((-high, -low))


pairs = st.lists(st.tuples(*[st.sampled_from("abc")] * 2), min_size=2, max_size=40)


@some
@given(votes=pairs)
def test_krippendorffs_own_library_agrees(votes: list[tuple[str, str]]) -> None:
    found = agreement(Counter(votes))
    if len({label for pair in votes for label in pair}) < 2:
        assert (found.alpha, found.words) == (None, "not defined: all agree")
        assert found.prevalence == 1
        return
    table = [["abc".index(label) for label in one] for one in zip(*votes, strict=True)]
    theirs = krippendorff.alpha(np.array(table), level_of_measurement="nominal")
    assert found.alpha == pytest.approx(theirs)


def as_sets(
    said: Mapping[tuple[str, str], int],
) -> dict[tuple[frozenset[str], frozenset[str]], int]:
    return {(frozenset([right]), frozenset([one])): n for (right, one), n in said.items()}


@some
@given(said=pairs)
def test_scikit_learn_agrees_about_f1(said: list[tuple[str, str]]) -> None:
    truth, answers = zip(*said, strict=True)
    value, interval = macro_f1(as_sets(Counter(said)))
    theirs = f1_score(truth, answers, average="macro", labels=sorted(set(truth)), zero_division=0)
    assert value == pytest.approx(theirs)
    if interval is not None:
        assert 0 <= interval.low < interval.high <= 1


@pytest.mark.parametrize(
    "said",
    [
        {("a", "a"): 30, ("b", "b"): 30}, {("a", "b"): 30, ("b", "a"): 30},
        {("a", "a"): 9, ("a", "b"): 10},
    ],
)  # fmt: skip
def test_an_f1_that_resampling_cannot_move_or_of_few_items_has_no_interval(
    said: dict[tuple[str, str], int],
) -> None:
    assert macro_f1(as_sets(said))[1] is None


def test_an_f1_interval_is_as_wide_as_accuracys_where_labels_are_balanced() -> None:
    said = {("a", "a"): 80, ("b", "b"): 80, ("a", "b"): 20, ("b", "a"): 20}
    value, interval = macro_f1(as_sets(said))
    assert value == pytest.approx(0.8)
    assert interval == pytest.approx(wilson(160, 200), abs=0.01)


@some
@given(said=rates)
def test_a_judge_without_errors_leaves_a_rate_as_it_is(said: tuple[int, int]) -> None:
    found = corrected_rate(said, (10_000, 10_000), (10_000, 10_000))
    assert found is not None
    assert found.value == pytest.approx(said[0] / said[1])
    assert found.interval.low <= found.value <= found.interval.high


numbers = st.floats(1, 100)
models = st.lists(st.tuples(numbers, numbers, numbers), min_size=2, max_size=5)


@some
@given(measured=models, unit=st.floats(0.1, 50))
def test_a_dynascore_hangs_on_no_unit_and_nobody_beats_the_unbeaten(
    measured: list[tuple[float, float, float]], unit: float
) -> None:
    names = ("performance", "throughput", "robustness")
    rows = {str(place): dict(zip(names, one, strict=True)) for place, one in enumerate(measured)}
    best = pareto(rows)
    assert best
    for name, row in rows.items():
        beaten = any(
            all(other[key] >= row[key] for key in names) and other != row for other in rows.values()
        )
        assert beaten is (name not in best)
    performance = sorted(one[0] for one in measured)
    assume(np.diff(performance).min() > 0.1)
    assume(min(np.abs(np.subtract(a, b)).min() for a, b in pairwise(measured)) > 0.1)
    weights = dict(zip(names, (4.0, 1.0, 1.0), strict=True))
    faster = {name: {**row, "throughput": unit * row["throughput"]} for name, row in rows.items()}
    assert dynascores(faster, weights) == pytest.approx(dynascores(rows, weights))
