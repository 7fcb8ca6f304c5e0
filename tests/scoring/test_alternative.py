"""Whether a judge may stand in for a person: the published test, and rates corrected for errors."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoring.alternative import LEAST_ITEMS, alternative_test, discoveries
from scoring.statistics import corrected_rate

pytestmark = pytest.mark.once

# What its authors published of the sets whose answers are one of a few: the epsilon of the set, and
# winning rate and average advantage of six judges in this order.
JUDGES = ("gemini_flash", "gemini_pro", "gpt-4o", "llama-31", "gpt-4o-mini", "mistral-v03")
PUBLISHED: dict[str, tuple[float, str]] = {
    "wax": (0.1, ".38/.69 .50/.74 .50/.73 .00/.57 .00/.59 .00/.50"),
    "lgbteen": (0.2, ".25/.71 .00/.67 .75/.77 .00/.72 .75/.76 .25/.75"),
    "mtbench": (0.2, ".00/.72 .00/.76 .00/.77 .00/.69 .00/.74 .00/.68"),
    "framing": (0.15, "1.0/.83 1.0/.91 1.0/.92 .50/.80 1.0/.87 .25/.80"),
    "cebab_aspects": (0.1, ".70/.91 .90/.94 .90/.93 .60/.89 .50/.90 .10/.81"),
}
FOLDER = Path(os.environ.get("DADC_ALT_TEST", "../shared/data/alt-test/data"))


def _people(rng: np.random.Generator, items: int, right: list[float]) -> Any:
    """What people say who are right so often, of items that are yes or no, and what is true."""
    truth = rng.integers(0, 2, items)
    said = [np.where(rng.random(items) < p, truth, 1 - truth) for p in right]
    return {f"p{n}": dict(enumerate(one.tolist())) for n, one in enumerate(said)}, truth


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_verdicts_are_reproduced(name: str) -> None:
    if not (FOLDER / name).exists():
        pytest.skip(f"{FOLDER / name} is not here: DADC_ALT_TEST names the authors' data folder")
    people, judges = (
        json.loads((FOLDER / name / f"{who}_annotations.json").read_text())
        for who in ("human", "llm")
    )
    epsilon, published = PUBLISHED[name]
    for judge, numbers in zip(JUDGES, published.split(), strict=True):
        rate, advantage = map(float, numbers.split("/"))
        found = alternative_test(people, judges[judge], epsilon=epsilon)
        assert found is not None
        assert found.passed == (rate >= 0.5), judge
        assert found.winning_rate == pytest.approx(rate, abs=0.0051), judge
        assert found.advantage == pytest.approx(advantage, abs=0.0051), judge


def test_each_person_is_left_out_once_and_the_libraries_agree() -> None:
    """As scipy computes it: a t test of each, and the bounds of Benjamini and Yekutieli."""
    from scipy.stats import false_discovery_control, ttest_1samp

    people, truth = _people(np.random.default_rng(5), 120, [0.9, 0.8, 0.95, 0.6])
    judge: dict[Any, Any] = dict(enumerate(truth.tolist()))
    found = alternative_test(people, judge)
    assert found is not None
    chances = []
    for name, answers in people.items():
        others = [one for other, one in people.items() if other != name]
        gaps = []
        for item, answer in answers.items():
            share = sum(one[item] for one in others) / 3
            mine, its = ((share if said else 1 - share) for said in (answer, judge[item]))
            gaps.append((mine > its) - (mine < its))
        chances.append(ttest_1samp(gaps, 0.1, alternative="less").pvalue)
        one = found.people[len(chances) - 1]
        assert (one.person, one.items) == (name, 120)
        assert one.p == pytest.approx(chances[-1], abs=1e-12)
        assert one.advantage == np.mean(np.array(gaps) <= 0)
    adjusted = false_discovery_control(chances, method="by")
    assert [one.won for one in found.people] == (adjusted <= 0.05).tolist()
    assert found.passed
    assert discoveries([0.04, 0.3, 0.9]) == set()
    assert discoveries([0.3, 0.001, 0.02, 0.002]) == {1, 3}


def test_who_guesses_does_not_pass_and_too_little_is_no_test() -> None:
    rng = np.random.default_rng(6)
    people, _ = _people(rng, 100, [0.9, 0.9, 0.9])
    coin: dict[Any, Any] = dict(enumerate(rng.integers(0, 2, 100).tolist()))
    found = alternative_test(people, coin)
    assert found is not None
    assert (found.winning_rate, found.passed) == (0, False)
    # Whom all others copy leaves no doubt, and no division by nothing.
    same = {name: dict(people["p0"]) for name in people}
    assert (alone := alternative_test(same, people["p0"])) is not None
    assert {one.p for one in alone.people} == {0.0}

    few = {name: dict(list(one.items())[: LEAST_ITEMS - 1]) for name, one in people.items()}
    assert alternative_test(few, coin) is None
    # Who has too few is left out, what they say still counts among the others.
    some = alternative_test({**people, "p2": few["p2"]}, coin)
    assert some is not None
    assert ([one.person for one in some.people], some.left_out) == (["p0", "p1"], ("p2",))
    assert alternative_test(people, {0: 1}) is None, "it has answered nothing else"


# --- rates that a judge reports -------------------------------------------------------------------
def test_a_reported_rate_is_corrected_for_errors() -> None:
    """(p + q0 - 1) / (q1 + q0 - 1), the published vector."""
    found = corrected_rate((700, 1000), (90, 100), (85, 100))
    assert found is not None
    assert found.value == pytest.approx(0.7333, abs=5e-5)
    assert found.interval.low < found.value < found.interval.high
    # Known from ten times as many, it is narrower: the calibration's error is in it.
    better = corrected_rate((700, 1000), (900, 1000), (850, 1000))
    assert better is not None
    width, narrow = (one.interval.high - one.interval.low for one in (found, better))
    assert narrow < 0.75 * width
    assert corrected_rate((0, 0), (9, 10), (9, 10)) is None
    assert corrected_rate((5, 10), (0, 0), (9, 10)) is None
    assert corrected_rate((5, 10), (5, 10), (5, 10)) is None, "a coin tells nothing"
    assert corrected_rate((1, 100), (90, 100), (85, 100)).value == 0  # type: ignore[union-attr]
    assert corrected_rate((1, 2), (1, 1), (1, 2)).interval.high == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(("rate", "calibration"), [(0.3, 40), (0.7, 100), (0.9, 60)])
def test_its_interval_holds_the_truth(rate: float, calibration: int) -> None:
    rng = np.random.default_rng(7)
    runs, held, yes, no = 1500, 0, 0.9, 0.8
    said = rng.binomial(200, rate * yes + (1 - rate) * (1 - no), runs)
    upheld, refused = rng.binomial(calibration, yes, runs), rng.binomial(calibration, no, runs)
    for one in zip(said.tolist(), upheld.tolist(), refused.tolist(), strict=True):
        counts = zip(one, (200, calibration, calibration), strict=True)
        found = corrected_rate(*counts)
        assert found is not None
        held += found.interval.low <= rate <= found.interval.high
    assert held / runs > 0.935
