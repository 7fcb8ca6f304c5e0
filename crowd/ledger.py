"""What is owed becomes payments, payments are sent once, and the platform's word ends them.

`planned` and `sent` are committed before anything leaves: whoever is killed between leaves a
payment of which it is not known whether it went out. Such a one is never sent again: it is
`unknown` until the platform says what became of it, by its API or by a file of results.
"""

from __future__ import annotations

import csv
import io
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db.models import Max, QuerySet, Sum
from django.utils import timezone

from accounts.models import User
from core.errors import Refused
from core.transactions import durable
from crowd import money, queries, services
from crowd.models import Campaign, Due, Payment, Step, Visit

State = Payment.State
_NEXT: Final[Mapping[str, tuple[str, ...]]] = {
    State.PLANNED: (State.SENT,),
    State.SENT: (State.CONFIRMED, State.FAILED, State.UNKNOWN),
    State.UNKNOWN: (State.CONFIRMED, State.FAILED),
    State.FAILED: (State.PLANNED,),  # the platform said that it was not paid
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
    payment.state = state
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
    for visit in queries.payable(campaign).prefetch_related("dues"):
        owed = queries.owed(visit)
        for kind, part in (
            (Payment.Kind.REWARD, [due for due in owed if not (due.example or due.vote)]),
            (Payment.Kind.BONUS, [due for due in owed if due.example or due.vote]),
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


# --- sending by a file ----------------------------------------------------------------------------
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")


def cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULAS) else text


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()


PAY_FILE: Final = ("payment", "WorkerId", "AssignmentId", "kind", "amount", "currency", "reason")


def send_by_file(campaign: Campaign) -> list[Path]:
    """Mark all that is planned as sent in one file, and write the files that are not there.

    The rows say what is in a file, so that one whose writer was killed is written again, the same.
    """
    planned = Payment.objects.filter(visit__campaign=campaign, state=State.PLANNED)
    if planned.exists():
        batch = f"{timezone.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        with durable():
            for payment in planned.select_for_update(no_key=True).order_by("created_at", "pk"):
                step(payment, State.SENT, f"in {batch}.csv", batch=batch)
    folder = Path(settings.DATA_DIR) / "pay" / campaign.slug
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sent = Payment.objects.filter(visit__campaign=campaign).exclude(batch="")
    written = []
    for batch in sent.order_by("batch").values_list("batch", flat=True).distinct():
        file = folder / f"{batch}.csv"
        if not file.exists():
            _write(file, as_csv(PAY_FILE, _pay_rows(campaign, sent.filter(batch=batch))))
            written.append(file)
    return written


def _pay_rows(campaign: Campaign, payments: QuerySet[Payment]) -> Iterator[Sequence[object]]:
    currency = campaign.file.pay.currency
    for one in payments.select_related("visit__worker").order_by("created_at", "pk"):
        yield (
            one.pk,
            one.visit.worker.name,
            one.visit.assignment,
            one.kind,
            money.plain(one.amount, currency),
            currency,
            f"{campaign.slug}: {one.get_kind_display()}",
        )


def _write(file: Path, text: str) -> None:
    """All of it or nothing, and on the disk before anybody is told of it."""
    half = file.with_name(f"{file.name}.{secrets.token_hex(4)}")  # two payers may write the same
    with half.open("w", newline="", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    half.rename(file)


# --- results --------------------------------------------------------------------------------------
_PAID: Final = {
    **dict.fromkeys(("confirmed", "paid", "yes", "success"), State.CONFIRMED),
    **dict.fromkeys(("failed", "not paid", "no", "rejected"), State.FAILED),
    **dict.fromkeys(("unknown", "pending"), State.UNKNOWN),
}
_WORK: Final = {
    **dict.fromkeys(("approved", "accepted", "confirmed", "paid"), "confirmed"),
    **dict.fromkeys(("returned", "abandoned"), "returned"),
    "rejected": "rejected",
}


@dataclass
class Results:
    """What a file of results changed, and each line that could not be followed."""

    confirmed: int = 0
    rejected: int = 0
    returned: int = 0
    payments: int = 0
    unchanged: int = 0
    refused: list[str] = field(default_factory=list)


def read_results(campaign: Campaign, text: str, actor: User | None = None) -> Results:
    """Follow a platform's file: what became of visits and of payments. Again, it changes nothing.

    A line with `payment` and `state` is about money; one with `AssignmentId`, `WorkerId` or `code`
    and `AssignmentStatus` or `status` about a visit.
    """
    done = Results()
    for number, row in enumerate(csv.DictReader(io.StringIO(text)), start=2):
        fields = {
            (name or "").strip().lower(): value.strip().removeprefix("'")
            for name, value in row.items()
            if isinstance(value, str)
        }
        try:
            if fields.get("payment"):
                _follow_payment(campaign, fields, done)
            else:
                _follow_visit(campaign, fields, actor, done)
        except Refused as refused:
            done.refused.append(f"line {number}: {refused.message}")
    return done


def _follow_payment(campaign: Campaign, fields: Mapping[str, str], done: Results) -> None:
    said = fields.get("state", "").lower()
    if said not in _PAID:
        raise Refused("bad_state", "state must be confirmed, failed or unknown.")
    try:
        payment = Payment.objects.filter(
            pk=UUID(fields["payment"]), visit__campaign=campaign
        ).first()
    except ValueError:
        payment = None
    if payment is None:
        raise Refused("no_payment", f"there is no payment {fields['payment']}.")
    if payment.state == _PAID[said]:
        done.unchanged += 1
        return
    with durable():
        if not step(payment, _PAID[said], "by a file of results"):
            raise Refused("no_such_step", f"a {payment.state} payment cannot become {said}.")
    done.payments += 1


def _follow_visit(
    campaign: Campaign, fields: Mapping[str, str], actor: User | None, done: Results
) -> None:
    said = fields.get("assignmentstatus") or fields.get("status") or ""
    outcome = _WORK.get(said.lower())
    if outcome is None:
        if said.lower() in ("submitted", "awaiting review", "active"):
            return
        raise Refused("bad_status", "status must be approved, rejected or returned.")
    names = {
        "assignment": fields.get("assignmentid") or fields.get("assignment"),
        "worker__name": fields.get("workerid") or fields.get("worker"),
        "code": fields.get("code"),
    }
    asked = {name: value for name, value in names.items() if value}
    visit = queries.visits().filter(campaign=campaign, **asked).order_by("-started_at").first()
    if visit is None or not asked:
        raise Refused("no_visit", "there is no such visit.")
    if visit.state == outcome:
        done.unchanged += 1
        return
    if outcome == Visit.State.RETURNED:
        services.leave(visit=visit, state=Visit.State.RETURNED)
    else:
        reason = fields.get("requesterfeedback") or fields.get("reason") or "The platform says so."
        services.settle(visit=visit, confirmed=outcome == "confirmed", actor=actor, reason=reason)
    setattr(done, outcome, getattr(done, outcome) + 1)


def plan_failed_again(campaign: Campaign) -> int:
    """Plan again what the platform said it did not pay; returns how many."""
    done = 0
    for payment in Payment.objects.filter(visit__campaign=campaign, state=State.FAILED):
        with durable():
            done += step(payment, State.PLANNED, "again", batch="")
    return done


# --- statements -----------------------------------------------------------------------------------
STATEMENT: Final = (
    "payment", "person", "code", "for", "earned by", "amount", "currency", "state", "planned at",
)  # fmt: skip


def statement(campaign: Campaign) -> str:
    """Every amount with the example or vote that earned it, as CSV; people by their pseudonyms."""
    currency = campaign.file.pay.currency
    dues = Due.objects.filter(visit__campaign=campaign).select_related(
        "payment", "visit__worker__user", "example", "vote"
    )

    def rows() -> Iterator[Sequence[object]]:
        for due in dues.order_by("payment__created_at", "payment", "pk").iterator(500):
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
                money.plain(due.amount, currency),
                currency,
                due.payment.state,
                due.payment.created_at.isoformat(timespec="seconds"),
            )

    return as_csv(STATEMENT, rows())


def sums(campaign: Campaign) -> dict[str, int]:
    """The campaign's payments by their state, in smallest units; every state is there."""
    found = dict.fromkeys(State.values, 0)
    rows = Payment.objects.filter(visit__campaign=campaign).values_list("state")
    return {**found, **dict(rows.annotate(sum=Sum("amount")).order_by())}


# --- whichever way --------------------------------------------------------------------------------
def send(campaign: Campaign) -> list[Path]:
    """Send what is planned, in the way of the campaign's platform; returns the files to pay by."""
    return send_by_file(campaign)
