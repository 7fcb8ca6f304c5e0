"""What may be concluded from two rounds' verified rates; imports no Django.

Rounds differ in their models, but also in who took part and in what was written about. Published
warning: between ANLI's rounds 2 and 3 the rate rose by 0.53 points, while among the contexts of the
source that both had it fell by 1.15.
"""

from __future__ import annotations

from typing import Final

from scoring.statistics import Difference, Stratified

MUCH_PENDING: Final = 0.1  # of a round's claims
_MOVED: Final = {1: "rose", -1: "fell"}


def conclusion(
    raw: Difference, within: Stratified | None, strata: str, pending: float | None
) -> str:
    """One sentence, and a second one while many claims are undecided.

    `within` is the difference among equal `strata` ("sources", "labels", or "" where there are
    none); `pending` the larger share of claims that wait.
    """
    words = _of_both(raw, within, strata)
    if pending is not None and pending > MUCH_PENDING:
        words += f" {100 * pending:.0f} % of the claims are undecided, so this may change."
    return words


def _of_both(raw: Difference, within: Stratified | None, strata: str) -> str:
    inside = within.difference.sign if within is not None else 0
    if not raw.sign and not inside:
        return (
            "No difference can be told: chance, and people who differ, may explain what there is."
        )
    if not strata:
        return f"The verified rate {_MOVED[raw.sign]}; the people may be others, too."
    if within is None:
        return (
            f"The verified rate {_MOVED[raw.sign]}, but the rounds share too little of the "
            f"same {strata}: it may be these that differ."
        )
    if not raw.sign:
        return f"Among the same {strata} the rate {_MOVED[inside]}; overall another mix hides it."
    if inside == raw.sign:
        return f"The verified rate {_MOVED[raw.sign]}, also among the same {strata}."
    if not inside:
        return (
            f"The verified rate {_MOVED[raw.sign]}, but among the same {strata} no difference can "
            "be told: the mix may explain it."
        )
    return (
        f"The verified rate {_MOVED[raw.sign]}, but among the same {strata} it {_MOVED[inside]}: "
        "the mix changed, and the raw rates must not be compared."
    )
