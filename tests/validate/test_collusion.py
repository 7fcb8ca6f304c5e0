"""The attack of benchmarks/collusion.py in small, with its control."""

import pytest

from benchmarks.collusion import LEARNED_FROM, OFF, play


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize(("league", "seed"), [(4, 4000)])
def test_a_few_in_league_do_not_rewrite_a_class_and_are_named(league: int, seed: int) -> None:
    played = play(league, seed)
    assert played.confirmed < LEARNED_FROM
    assert (played.named, played.stopped) == (1, 0)


@pytest.mark.once
@pytest.mark.slow
def test_without_the_rules_they_do() -> None:
    played = play(2, 2000, OFF)
    assert played.rewritten
    assert played.named == 0
