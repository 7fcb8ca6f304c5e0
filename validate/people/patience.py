"""What somebody passes over is bounded: whom one judges is not for the validator to choose.

Each item that is skipped, given back or let run out costs something, each answer and each hour pays
for some. It is the asking that is charged, and paid back by the answer: then it makes no difference
how an item was left. A few visits that end with items on the screen cost nobody anything.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from core.errors import Conflict, Refused
from validate.models import Reliability

ASKED: Final = 1 / 3  # an item that was asked for, until it is answered
SKIPPED: Final = 2 / 3  # on top of it: a skip costs one
UNDONE: Final = 1.0  # that an answer can be taken back tells that it was not the one that settles
PAID_AN_HOUR: Final = 0.25
FOLLOWED: Final = 2.0  # from here on more gold follows
SKIPS: Final = 6.0
MOST: Final = 12.0


def passed(row: Reliability, now: datetime) -> float:
    """What is not paid for yet."""
    if row.passes_at is None:
        return row.passes
    hours = max(0.0, (now - row.passes_at).total_seconds() / 3600)
    return max(0.0, row.passes - hours * PAID_AN_HOUR)


def charge(row: Reliability, now: datetime, cost: float) -> None:
    """Add a cost to a locked row, or take a payment (below 0) from what it owes."""
    row.passes, row.passes_at = max(0.0, passed(row, now) + cost), now


def require_patience(row: Reliability, now: datetime) -> None:
    """Refuse another item to who left too many."""
    if passed(row, now) >= MOST:
        raise Refused(
            "too_many_left",
            "You left many items without an answer, so you are not asked for now. Come back in a "
            "few hours.",
            status=403,
        )


def charge_skip(row: Reliability, now: datetime) -> None:
    """Count a skip in a locked row; Conflict when too few answers stand against it."""
    if passed(row, now) + SKIPPED > SKIPS:
        raise Conflict(
            "too_many_skips",
            "You skipped many items lately. Answer this one, or say that you can’t tell: answers "
            "make up for skips.",
        )
    charge(row, now, SKIPPED)
    row.skipped += 1


def require_undo(row: Reliability, now: datetime) -> None:
    """Refuse to take one more answer back when too few answers stand against it, as for skips.

    Whoever could do so after each would find out what the person before them said, and say that.
    """
    if passed(row, now) + UNDONE > SKIPS:
        raise Conflict(
            "too_many_skips",
            "You took many answers back lately, so this one stands. Answers make up for that.",
        )
