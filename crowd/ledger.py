"""What is owed becomes payments, and payments go from step to step.

`planned` and `sent` are committed before anything leaves: whoever is killed between leaves a
payment of which it is not known whether it went out. Such a one is never sent again: it is
`unknown` until the platform says what became of it, by its API or by a file of results.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Max, QuerySet, Sum

from core.errors import Refused
from core.spreadsheets import cell
from core.transactions import durable
from crowd import earned, money
from crowd.models import Campaign, Due, Payment, Step

State = Payment.State
_NEXT: Final[Mapping[str, tuple[str, ...]]] = {
    State.PLANNED: (State.SENT, State.FAILED),
    State.SENT: (State.CONFIRMED, State.FAILED, State.UNKNOWN),
    State.UNKNOWN: (State.CONFIRMED, State.FAILED),
    # The platform said that it was not paid, and may say later that it was.
    State.FAILED: (State.PLANNED, State.CONFIRMED),
    State.CONFIRMED: (),
}


# --- steps ----------------------------------------------------------------------------------------
def step(payment: Payment, state: str, note: str = "", **changes: Any) -> bool:
    """Take a payment one step further; False when somebody else took it elsewhere (compare and
    set). Within a transaction."""
    if state not in _NEXT[payment.state]:
        return False
    here = Payment.objects.filter(pk=payment.pk, state=payment.state)
    if not here.update(state=state, **changes):
        return False
    last = payment.steps.aggregate(last=Max("number"))["last"] or 0
    Step.objects.create(payment=payment, number=last + 1, state=state, note=note[:1000])
    for name, value in {"state": state, **changes}.items():
        setattr(payment, name, value)
    return True


# --- planning -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Planned:
    """A payment as it would be, and what earned it."""

    payment: Payment
    dues: list[Due]


def plan(campaign: Campaign, *, write: bool = True) -> list[Planned]:
    """A payment for each visit and kind of what is owed; without `write` it only says which.

    Refused, and nothing is planned, when the budget does not hold it. Two at once plan nothing
    twice: they take turns, and the database lets each example, vote and visit earn once.
    """
    if not write:
        return _planned(campaign)
    with durable():
        Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
        found = _planned(campaign)
        for one in found:
            one.payment.save(force_insert=True)
            Step.objects.create(payment=one.payment, number=1, state=State.PLANNED)
            Due.objects.bulk_create(one.dues)
    return found


def _planned(campaign: Campaign) -> list[Planned]:
    found = []
    for visit, owed in earned.owed(earned.payable(campaign)):
        # A platform has one reward, and it is for the whole: all else is a bonus.
        for kind, part in (
            (Payment.Kind.REWARD, [due for due in owed if due.earned_by == Due.For.BASE]),
            (Payment.Kind.BONUS, [due for due in owed if due.earned_by != Due.For.BASE]),
        ):
            if part:
                amount = sum(due.amount for due in part)
                payment = Payment(visit=visit, kind=kind, amount=amount)
                for due in part:
                    due.payment = payment
                found.append(Planned(payment, part))
    there = (
        Payment.objects.filter(visit__campaign=campaign).aggregate(sum=Sum("amount"))["sum"] or 0
    )
    if there + sum(one.payment.amount for one in found) > campaign.file.budget:
        raise Refused(
            "over_budget",
            f"That would be more than the budget of {campaign.file.money(campaign.file.budget)}: "
            "raise it in the campaign's file.",
            status=409,
        )
    return found


def failed(campaign: Campaign) -> QuerySet[Payment]:
    """What the platform said it did not pay, to people whom it knows still."""
    there = Payment.objects.filter(visit__campaign=campaign, state=State.FAILED)
    return there.filter(visit__worker__forgotten_at=None)


def plan_failed_again(campaign: Campaign) -> int:
    """Plan that again; returns how many."""
    with durable():
        Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
        again = failed(campaign)
        return sum(step(payment, State.PLANNED, "again", batch="") for payment in again)


# --- statements -----------------------------------------------------------------------------------
def as_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()


STATEMENT: Final = (
    "payment", "person", "code", "for", "earned by", "amount", "currency", "state", "planned at",
)  # fmt: skip


def statement(campaign: Campaign) -> str:
    """Every amount with the example or vote that earned it, as CSV; people by their pseudonyms.

    Of who was forgotten nothing leads from a payment that somebody has elsewhere beside their name
    to what they made.
    """
    currency = campaign.file.pay.currency
    dues = Due.objects.filter(visit__campaign=campaign).select_related(
        "payment", "visit__worker__user", "example", "vote"
    )

    def rows() -> Iterator[Sequence[object]]:
        for due in dues.order_by("payment__created_at", "payment", "pk").iterator(500):
            if due.visit.worker.forgotten_at is not None:
                ids = ("", "forgotten", "", due.get_earned_by_display(), "")
                yield (*ids, *_sum_of(due, currency))
                continue
            what = due.visit.code
            if due.example is not None:
                what = f"example {due.example.uid}"
            elif due.vote is not None:
                what = f"vote {due.vote.pk}"
            yield (
                due.payment_id,
                due.visit.worker.user.pseudonym,
                due.visit.code,
                due.get_earned_by_display(),
                what,
                *_sum_of(due, currency),
            )

    return as_csv(STATEMENT, rows())


def _sum_of(due: Due, currency: str) -> tuple[str, str, str, str]:
    planned_at = due.payment.created_at.isoformat(timespec="seconds")
    return money.plain(due.amount, currency), currency, due.payment.state, planned_at


def sums(campaign: Campaign) -> dict[str, int]:
    """The campaign's payments by their state, in smallest units; every state is there."""
    found = dict.fromkeys(State.values, 0)
    rows = Payment.objects.filter(visit__campaign=campaign).values_list("state")
    return {**found, **dict(rows.annotate(sum=Sum("amount")).order_by())}
