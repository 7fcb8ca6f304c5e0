"""Paying by files: one out that says whom to pay what, one in that says what became of it."""

from __future__ import annotations

import csv
import io
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db.models import Count, QuerySet, Sum
from django.utils import timezone

from accounts.models import User
from core.errors import Refused
from core.refused_lines import shown
from core.transactions import durable
from crowd import money, queries, services
from crowd.campaigns import record
from crowd.ledger import State, as_csv, step
from crowd.models import Campaign, Payment, Step, Visit

PAY_FILE: Final = ("payment", "WorkerId", "AssignmentId", "kind", "amount", "currency", "reason")


def send_by_file(campaign: Campaign) -> list[Path]:
    """Write all that is planned into one file and mark it as sent; returns the files to pay by.

    A file is whole, under a name that nobody pays by, before its payments are sent, and gets its
    name after. A payer who was killed between has it named by the next; it is never written again.
    """
    folder = Path(settings.DATA_DIR) / "pay" / campaign.slug
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    of_campaign = Payment.objects.filter(visit__campaign=campaign)
    batch = f"{timezone.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    with durable():
        Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
        planned = of_campaign.filter(state=State.PLANNED).select_related("visit__worker")
        rows = list(
            planned.select_for_update(no_key=True, of=("self",)).order_by("created_at", "pk")
        )
        if rows:
            again = Step.objects.filter(payment__in=rows, state=State.FAILED)
            if sent := set(map(str, again.values_list("payment", flat=True))):
                take_out_of_files(campaign, sent)  # who pays by files finds it in one
            _write(folder / f".{batch}.csv", as_csv(PAY_FILE, _pay_rows(campaign, rows)))
        for payment in rows:
            step(payment, State.SENT, f"in {batch}.csv", batch=batch)
    written = []
    for half in sorted(folder.glob(".*.csv")):
        file = folder / half.name[1:]
        if of_campaign.filter(batch=file.stem).exists():  # else its payer was killed before
            with suppress(FileNotFoundError):  # another payer was quicker
                half.rename(file)
                written.append(file)
    return written


def _pay_rows(campaign: Campaign, payments: Sequence[Payment]) -> Iterator[Sequence[object]]:
    currency = campaign.file.pay.currency
    for one in payments:
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
    """On the disk before anything is said to be in it."""
    with file.open("w", newline="", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())


def take_out_of_files(campaign: Campaign, payments: set[str]) -> None:
    """Take these payments, beside which a name stands, out of this host's files; under the lock of
    their campaign, where nobody else does."""
    for file in (Path(settings.DATA_DIR) / "pay" / campaign.slug).glob("*.csv"):
        rows = list(csv.reader(io.StringIO(file.read_text("utf-8"), newline="")))
        kept = [row for row in rows if row and row[0] not in payments]
        if kept and len(kept) < len(rows):
            half = file.with_suffix(".part")
            _write(half, as_csv(kept[0], kept[1:]))
            half.replace(file)


# --- from the campaign's page ---------------------------------------------------------------------
def _unpaid(campaign: Campaign) -> QuerySet[Payment]:
    """What is in files of which nobody has said yet that it was paid."""
    sent = Payment.objects.filter(visit__campaign=campaign, state__in=(State.SENT, State.UNKNOWN))
    return sent.exclude(batch="").order_by("created_at", "pk")


def unpaid_files(campaign: Campaign) -> list[tuple[str, int, int]]:
    """The name of each file, how many payments of it wait, and their sum; oldest first."""
    by_file = _unpaid(campaign).order_by("batch").values_list("batch")
    return list(by_file.annotate(payments=Count("pk"), sum=Sum("amount")))


def pay_file(campaign: Campaign, batch: str) -> str:
    """What of a file still waits, by the ledger: on whatever host it was written. "" when nothing
    does."""
    rows = list(_unpaid(campaign).filter(batch=batch).select_related("visit__worker"))
    return as_csv(PAY_FILE, _pay_rows(campaign, rows)) if rows else ""


def say_paid(campaign: Campaign, batch: str, actor: User) -> int:
    """Confirm by an owner's word all that still waits of a file; returns how many payments."""
    with durable():
        waiting = list(_unpaid(campaign).filter(batch=batch))
        if waiting:
            record(campaign, actor, "paid_file", file=batch)
        return sum(step(one, State.CONFIRMED, "an owner says: paid") for one in waiting)


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

    A line with `payment` and `state` is about money; one with `AssignmentStatus` or `status` about
    a visit: see `_visit_of`.
    """
    done = Results()
    for number, row in enumerate(_rows(text), start=2):
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
            done.refused.append(shown(f"line {number}: {refused.message}"))
    return done


def _rows(text: str) -> list[dict[str, str]]:
    """All rows of a file; Refused where it is none, before anything of it is followed."""
    try:
        if "\0" not in text:
            return list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error:
        pass
    raise Refused("no_csv", "This is no CSV file: save the platform's results as CSV, in UTF-8.")


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
    visit = _visit_of(campaign, fields)
    if visit.state == Visit.State.SCREENED_OUT and outcome == Visit.State.RETURNED:
        outcome = "confirmed"  # they were asked to return it: the platform knows them
    paid_out = (
        visit.state == Visit.State.SCREENED_OUT and visit.settled_at and outcome == "confirmed"
    )
    if visit.state == outcome or paid_out:
        done.unchanged += 1
        return
    if outcome == Visit.State.RETURNED:
        services.leave(visit=visit, state=Visit.State.RETURNED)
    else:
        reason = fields.get("requesterfeedback") or fields.get("reason") or "The platform says so."
        services.settle(visit=visit, confirmed=outcome == "confirmed", actor=actor, reason=reason)
    setattr(done, outcome, getattr(done, outcome) + 1)


def _visit_of(campaign: Campaign, fields: Mapping[str, str]) -> Visit:
    """The visit that a line is about: who, on which assignment, and when, as far as it says so.

    One name alone says little: a worker may have had several assignments, and an assignment
    several workers. Where the platform names no assignments a visit's own code stands for both.
    """
    names = {
        "assignment": fields.get("assignmentid") or fields.get("assignment"),
        "worker__name": fields.get("workerid") or fields.get("worker"),
        "code": fields.get("code"),
    }
    if names["code"] in campaign.file.codes.values():  # the study's, which is everybody's
        del names["code"]
    asked = {name: value for name, value in names.items() if value}
    by_code = not campaign.platform.names_assignments
    if not (asked.keys() >= {"assignment", "worker__name"} or (by_code and "code" in asked)):
        raise Refused(
            "not_named",
            f"name {'the code, or ' if by_code else ''}both AssignmentId and WorkerId: one alone "
            "does not say whose work it was.",
        )
    visit = queries.visits().filter(campaign=campaign, **asked).order_by("-started_at").first()
    if visit is None:
        also = " of this code" if "code" in asked else ""
        raise Refused("no_visit", f"no visit here is of this worker, on this assignment{also}.")
    _require_its_time(visit, fields)
    return visit


SKEW: Final = timedelta(minutes=5)  # between a platform's clock and ours
_ZONES: Final = {"PST": "-0800", "PDT": "-0700", "UTC": "+0000", "GMT": "+0000"}


def _require_its_time(visit: Visit, fields: Mapping[str, str]) -> None:
    """Refuse work that was at no time between these: one that was returned and accepted anew goes
    on, and began before."""
    accepted, submitted = (_time_in(fields, name) for name in ("AcceptTime", "SubmitTime"))
    why = ""
    if accepted and visit.finished_at and visit.finished_at + SKEW < accepted:
        why = "it was over before it was accepted"
    elif submitted and visit.started_at - SKEW > submitted:
        why = "it began after it was sent"
    if why:
        raise Refused("other_time", f"{why}: decide about this visit on the campaign's page.")


def _time_in(fields: Mapping[str, str], name: str) -> datetime | None:
    """A time with its zone, by ISO 8601 or as Mechanical Turk's form of results writes it."""
    if not (text := fields.get(name.lower(), "")):
        return None
    for zone, offset in _ZONES.items():
        with suppress(ValueError):
            return datetime.strptime(
                text.replace(f" {zone} ", f" {offset} "), "%a %b %d %H:%M:%S %z %Y"
            )
    with suppress(ValueError):
        if (at := datetime.fromisoformat(text)).tzinfo is not None:
            return at
    raise Refused(
        "bad_time", f"{name} is no time such as 2026-12-15T12:00:00Z: write it so, or leave it out."
    )
