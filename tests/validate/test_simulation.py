"""The simulation agrees with what theory says, and is the same for the same seed."""

from __future__ import annotations

import math

import pytest

from validate.policies import Bayes, KOfN, TwoPlusOne
from validate.simulation import Pool, simulate

SMALL = Pool(items=300)


def test_the_same_seed_gives_the_same_figures() -> None:
    first = simulate(TwoPlusOne(), SMALL, repeats=2, seed=3)

    assert simulate(TwoPlusOne(), SMALL, repeats=2, seed=3) == first
    assert simulate(TwoPlusOne(), SMALL, repeats=2, seed=4) != first


def test_votes_are_what_the_policies_ask_for() -> None:
    two, five = (simulate(policy, SMALL).mean.votes for policy in (TwoPlusOne(), KOfN(n=5, k=3)))

    assert 2 < two < 3
    assert five == 5


def test_two_plus_one_costs_and_errs_as_the_formula_says() -> None:
    """With one p for all: 2 + 2pq votes, a verdict right with p²(3 - 2p)."""
    pool = Pool(items=4000, author_right=1)
    p = 8 / 10  # the mean of Beta(8, 2); its spread changes the votes in the second digit

    figures = simulate(TwoPlusOne(), pool, repeats=2).mean

    assert figures.votes == pytest.approx(2 + 2 * p * (1 - p), abs=0.06)
    assert figures.recall == pytest.approx(p * p * (3 - 2 * p), abs=0.04)
    assert figures.precision == 1


def test_weighing_beats_counting_when_some_only_guess() -> None:
    pool = Pool(items=600, spammers=0.3)

    bayes, two = (simulate(policy, pool, repeats=2).mean for policy in (Bayes(), TwoPlusOne()))

    assert bayes.precision > two.precision + 0.02
    assert bayes.votes < 5
    assert two.ambiguous == 0


def test_what_cannot_be_told_is_not_a_number() -> None:
    nobody_right = simulate(TwoPlusOne(), Pool(items=50, author_right=0), repeats=1)

    assert math.isnan(nobody_right.mean.recall)
    assert nobody_right.as_json()["mean"]["recall"] is None
    assert nobody_right.as_json()["deviation"]["votes"] is None


@pytest.mark.parametrize(
    "wrong", [{"spammers": 2}, {"items": 0}, {"validators": 3}, {"author_right": -1}]
)
def test_an_impossible_pool_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"'{next(iter(wrong))}' must be"):
        Pool(**wrong)  # type: ignore[arg-type]
