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
HASTY_SECONDS: Final = 1.0  # nobody sees an item and decides within a second
_FAST_SHARE: Final = 0.2

GOLD_JUDGED: Final = 8
GOLD_PROVES: Final = 3
FEW_OF_STANDING: Final = 3
_AGREED_SCORED: Final = 10
_GOLD_SHARE: Final = 0.7
_AGREED_SHARE: Final = 0.5


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


def fails_gold(right: int, seen: int, *, labels: int) -> bool:
    """Whether known answers alone say so, whatever others do; asked from 8 of them on.

    Looked at after each of 60 known answers it takes 3 in 10,000 of those who are right with .85 of
    two labels, and fewer with more labels.
    """
    if seen < GOLD_JUDGED or right >= (_line(labels) + 0.1) * seen:
        return False
    return doubt([1.0] * right + [0.0] * (seen - right), labels=labels) > _SURE


def is_proven(gold_right: int, gold_seen: int) -> bool:
    """Whether somebody has shown on known answers that they look before they answer."""
    return gold_right >= GOLD_PROVES and gold_right >= _GOLD_SHARE * gold_seen


def has_standing(
    gold_right: int, gold_seen: int, agreement: float, scored: int, *, has_gold: bool
) -> bool:
    """Whether enough is known about somebody to judge those of whom nothing is known.

    Known answers come before agreement: with three of them, these alone say it. With fewer,
    agreement does, but where the task `has_gold` one of these must be right: friends can send what
    they settle, and who answers nothing else meets none.
    """
    if gold_seen >= GOLD_PROVES:
        return is_proven(gold_right, gold_seen)
    agrees = scored >= _AGREED_SCORED and agreement >= _AGREED_SHARE * scored
    return agrees and (gold_right > 0 or not has_gold)


def is_known(gold_seen: int, scored: int, *, has_gold: bool) -> bool:
    """Whether enough is known about somebody to say whether they have standing."""
    few = scored < _AGREED_SCORED or (has_gold and gold_seen == 0)
    return gold_seen >= GOLD_PROVES or not few


def may_begin(gold_seen: int) -> bool:
    """Whether somebody of no standing gives new authors' examples their first vote: until they are
    judged, so that one known answer missed of three leaves nobody without work."""
    return gold_seen < GOLD_JUDGED


def is_new_crowd(standing: int, known: int) -> bool:
    """Whether so few are of standing that all count as such, or the queue would stand still.

    Of those of whom nothing is `known` there may be any number: accounts cost nothing.
    """
    return standing < FEW_OF_STANDING or FEW_OF_STANDING * standing < known


# The same in SQL, of a row `r` of validators in the task `%(task)s`; a test compares the two.
# Whether a task has gold asks of no row: databases look once a statement.
HAS_GOLD: Final = f"""
    {GOLD_PROVES} = (SELECT COUNT(*) FROM (
        SELECT 1 FROM validate_gold g WHERE g.task_id = %(task)s AND g.retired_at IS NULL
        LIMIT {GOLD_PROVES}) some_gold)
"""  # noqa: S608
HAS_STANDING: Final = f"""
    CASE WHEN r.gold_seen >= {GOLD_PROVES}
    THEN r.gold_right >= {GOLD_PROVES} AND r.gold_right >= {_GOLD_SHARE} * r.gold_seen
    ELSE r.scored >= {_AGREED_SCORED} AND r.agreement >= {_AGREED_SHARE} * r.scored
        AND (r.gold_right > 0 OR NOT ({HAS_GOLD})) END
"""
IS_KNOWN: Final = f"""
    r.gold_seen >= {GOLD_PROVES} OR r.scored >= {_AGREED_SCORED}
        AND (r.gold_seen > 0 OR NOT ({HAS_GOLD}))
"""


def _line(labels: int) -> float:
    return (1 / labels if labels else 0) + ABOVE_CHANCE


def is_hasty(seconds: float | None) -> bool:
    """Whether an answer came before anybody can have looked."""
    return seconds is not None and seconds < HASTY_SECONDS


def is_fast(seconds: float | None, median: float | None) -> bool:
    """Whether an answer came so quickly that it deserves a mark; it counts all the same."""
    if seconds is None:
        return False
    return seconds < FAST_SECONDS or (median is not None and seconds < _FAST_SHARE * median)
