"""How far a validator is trusted: a Beta belief about how often they are right; no Django."""

from __future__ import annotations

from typing import Final

# Beta(8, 2): a new validator is believed to be right four times in five, with the weight of ten
# answers.
PRIOR_RIGHT: Final = 8.0
PRIOR_WRONG: Final = 2.0

# Who is judged rather than weighed starts with half of that: Beta(4, 1).
_FAIR_RIGHT: Final = 4.0
_FAIR_WRONG: Final = 1.0

QUARANTINE_SCORED: Final = 20
ABOVE_CHANCE: Final = 0.15
_SURE: Final = 0.95

FAST_SECONDS: Final = 3.0
_FAST_SHARE: Final = 0.2


def probability_below(alpha: float, beta: float, bound: float) -> float:
    """P(p < bound) for p ~ Beta(alpha, beta): the regularised incomplete beta function."""
    from scipy.special import betainc  # 0.2 s to import, and most processes never ask

    return float(betainc(alpha, beta, bound))


def interval(alpha: float, beta: float, mass: float = 0.95) -> tuple[float, float]:
    """The central interval that holds `mass` of Beta(alpha, beta)."""
    from scipy.special import betaincinv

    tail = (1 - mass) / 2
    return float(betaincinv(alpha, beta, tail)), float(betaincinv(alpha, beta, 1 - tail))


def is_untrustworthy(agreement: float, *, scored: int, labels: int) -> bool:
    """Whether somebody is surely hardly better than chance: P(p < 1/K + .15) > .95.

    `agreement` is how many of the `scored` answers others bear out, a sum of probabilities; asked
    from 20 on. `labels` is K; 0 stands for open answers, where chance is nil.
    """
    if scored < QUARANTINE_SCORED:
        return False
    alpha, beta = _FAIR_RIGHT + agreement, _FAIR_WRONG + scored - agreement
    bound = (1 / labels if labels else 0) + ABOVE_CHANCE
    if alpha / (alpha + beta) > bound + 0.05:
        return False  # the mean lies too far above for the tail to be that thin
    return probability_below(alpha, beta, bound) > _SURE


def is_fast(seconds: float | None, median: float | None) -> bool:
    """Whether an answer came so quickly that it deserves a mark; it counts all the same."""
    if seconds is None:
        return False
    return seconds < FAST_SECONDS or (median is not None and seconds < _FAST_SHARE * median)
