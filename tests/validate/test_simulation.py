"""The simulation of policies: the recipe's people, what is learnt about them, and the command."""

import json
from dataclasses import replace
from io import StringIO
from statistics import fmean

import pytest
from django.core.management import CommandError, call_command

from annotate.models import Task
from validate.policies import Bayes, KOfN, TwoPlusOne
from validate.simulation import Pool, simulate

NOISY = Pool(items=600, spammers=0.2)


def test_the_same_seed_gives_the_same_result() -> None:
    pool = Pool(items=50)
    assert simulate(TwoPlusOne(), pool, seed=3) == simulate(TwoPlusOne(), pool, seed=3)
    assert simulate(TwoPlusOne(), pool, seed=3) != simulate(TwoPlusOne(), pool, seed=4)


def test_two_plus_one_costs_what_the_formula_says() -> None:
    """2 + 2pq votes; Beta(8, 2) cut at one half has mean .81 and E[2pq] .29."""
    found = simulate(TwoPlusOne(), Pool(items=2_000, gold_first=0, gold_later=0), seed=1)
    assert found.votes_per_item == pytest.approx(2.29, abs=0.06)


def test_weighed_votes_are_nearly_as_precise_as_five_for_two_thirds_of_the_cost() -> None:
    """Of five votes a guesser's is often one: then all wait for their owner without it."""
    weighed, counted = (
        [simulate(policy, NOISY, seed=seed) for seed in range(3)] for policy in (Bayes(), KOfN())
    )

    def gained(name: str, times: float = 1) -> float:
        return fmean(getattr(one, name) for one in weighed) - times * fmean(
            getattr(one, name) for one in counted
        )

    assert gained("votes_per_item", 0.65) <= 0
    assert gained("precision") >= -0.03
    assert gained("recall") > 0


def test_who_guesses_is_found_out() -> None:
    found = simulate(Bayes(), Pool(items=1_500, spammers=0.2), seed=1)
    assert found.spammers_caught == 1
    assert found.honest_caught < 0.15  # some of them are no better than the rule asks for


def test_the_command_prints_a_summary(task: Task) -> None:
    out = StringIO()
    call_command("simulate", task.slug, "--items=20", "--repetitions=1", "--json", stdout=out)
    summary = json.loads(out.getvalue().splitlines()[-1])
    assert summary.keys() == {"two_plus_one", "three_of_five"}
    assert summary["three_of_five"]["votes_per_item"] == 5
    with pytest.raises(CommandError):
        call_command("simulate", task.slug, "--spammers=2")


def test_colluding_pairs_change_no_verdict_worth_speaking_of() -> None:
    """A fifth of the people confirm a partner's wrong labels: three of a thousand votes more."""
    pool = Pool(items=500, labels=10, close_look=1)
    honest = simulate(Bayes(), pool, seed=0)
    found = simulate(Bayes(), replace(pool, colluding=0.2), seed=0)
    assert found.precision >= 0.95
    assert found.votes_per_item <= 1.15 * honest.votes_per_item
    assert found.honest_named <= 0.01
    assert honest.colluding_named is None


def test_at_two_labels_it_takes_a_closer_look_to_be_as_precise() -> None:
    """Anybody is right half of the time there: without that look the pairs have their way."""
    league = Pool(items=500, colluding=0.2, close_look=1)
    found = [simulate(TwoPlusOne(), league, seed=seed) for seed in range(4)]
    honest = simulate(TwoPlusOne(), replace(league, colluding=0), seed=0)
    control = simulate(TwoPlusOne(), replace(league, close_look=0), seed=0)
    assert control.precision < 0.9
    assert fmean(one.precision for one in found) >= 0.95
    assert fmean(one.votes_per_item for one in found) <= 1.15 * honest.votes_per_item
