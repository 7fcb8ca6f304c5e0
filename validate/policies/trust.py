"""How far a validator is trusted: a Beta belief about how often they are right; no Django."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

# Beta(8, 2): a new validator is believed to be right four times in five, with the weight of ten
# answers.
PRIOR_RIGHT: Final = 8.0
PRIOR_WRONG: Final = 2.0

# One newcomer in five is taken to guess: what is believed of people before they are judged.
_GUESSERS: Final = 0.2

QUARANTINE_SCORED: Final = 20
JUDGED_ANSWERS: Final = 200  # the latest: who begins to guess after thousands is noticed as well
ABOVE_CHANCE: Final = 0.15
_SURE: Final = 0.95

FAST_SECONDS: Final = 3.0
_FAST_SHARE: Final = 0.2


def interval(alpha: float, beta: float, mass: float = 0.95) -> tuple[float, float]:
    """The central interval that holds `mass` of Beta(alpha, beta)."""
    from scipy.special import betaincinv

    tail = (1 - mass) / 2
    return float(betaincinv(alpha, beta, tail)), float(betaincinv(alpha, beta, 1 - tail))


def may_be_untrustworthy(agreement: float, *, scored: int, labels: int) -> bool:
    """Whether it is worth reading somebody's answers to judge them: most people's mean is too good.

    `agreement` is the sum of the `scored` answers' probabilities (see `doubt`).
    """
    return scored >= QUARANTINE_SCORED and agreement / scored < _line(labels) + 0.1


def is_untrustworthy(agreements: Sequence[float], *, labels: int) -> bool:
    """Whether somebody is surely hardly better than chance; asked from 20 scored answers on."""
    return (
        may_be_untrustworthy(sum(agreements), scored=len(agreements), labels=labels)
        and doubt(agreements, labels=labels) > _SURE
    )


def doubt(agreements: Sequence[float], *, labels: int) -> float:
    """P(p < 1/K + .15): how sure it is that somebody is hardly better than chance.

    `agreements` holds for each answer the probability that it is right by what others say, `labels`
    is K; 0 stands for open answers, where chance is nil. Who is right with probability p gives an
    answer of agreement a with a likelihood in proportion to p a + (1 - p)(1 - a)/(K - 1), so that a
    truth nobody is sure of says little. Before any answer one in five guesses, at 1/K, and the
    others are Beta(8, 2) above that.
    """
    chance = 1 / labels if labels else 0.01
    p = np.linspace(chance, 0.99, 50)
    belief = p ** (PRIOR_RIGHT - 1) * (1 - p) ** (PRIOR_WRONG - 1)
    belief *= (1 - _GUESSERS) / belief.sum()
    belief[0] += _GUESSERS
    a = np.asarray(agreements, dtype=float)[:, None]
    log_likelihood = np.log(p * a + (1 - p) * (1 - a) / max(labels - 1, 1)).sum(axis=0)
    belief *= np.exp(log_likelihood - log_likelihood.max())
    return float(belief[p < _line(labels)].sum() / belief.sum())


def _line(labels: int) -> float:
    return (1 / labels if labels else 0) + ABOVE_CHANCE


def is_fast(seconds: float | None, median: float | None) -> bool:
    """Whether an answer came so quickly that it deserves a mark; it counts all the same."""
    if seconds is None:
        return False
    return seconds < FAST_SECONDS or (median is not None and seconds < _FAST_SHARE * median)
