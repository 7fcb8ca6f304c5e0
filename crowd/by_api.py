"""Paying by a platform's API, and asking it what is true."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog
from django.conf import settings
from django.db.models import Max
from django.utils import timezone

from core.errors import Refused
from core.transactions import durable
from crowd import money, queries, services
from crowd.by_file import send_by_file
from crowd.ledger import State, step
from crowd.models import Campaign, Payment, Visit
from crowd.platforms import Declined, Remote, Standing, Unsure

log = structlog.get_logger(__name__)

LATE: Final = timedelta(minutes=5)  # after which a payment that nothing is heard of is unknown


def remote_of(campaign: Campaign) -> Remote | None:
    return campaign.platform.remote(settings.CROWD)


def send(campaign: Campaign) -> list[Path]:
    """Send what is planned, in the way of the campaign's platform; returns the files to pay by."""
    remote = remote_of(campaign)
    if remote is None:
        return send_by_file(campaign)
    follow(campaign, remote)
    while (payment := _claim(campaign, remote)) is not None:
        _send(payment, remote)
    return []


def _claim(campaign: Campaign, remote: Remote) -> Payment | None:
    """Take one planned payment to send, marked as sent before anything that pays is asked.

    While one is under way nobody takes another: bonuses may not be asked for at the same time, and
    of one whose payer was killed the platform must have spoken first.
    """
    of_campaign = Payment.objects.filter(visit__campaign=campaign)
    planned = of_campaign.filter(state=State.PLANNED).select_related("visit__campaign")
    payment = planned.order_by("created_at", "pk").first()
    if payment is None:
        return None
    remote_name = ""
    if payment.kind == Payment.Kind.BONUS:
        amount = money.plain(payment.amount, campaign.file.pay.currency)
        try:
            study = campaign.file.study or remote.standing(payment.visit.assignment).study
            remote_name = remote.prepare_bonus(study, payment.visit.assignment, amount)
        except (Declined, Unsure) as error:  # it is planned still, and nothing was paid
            log.warning("bonus_not_set_up", payment=str(payment.pk), reason=str(error))
            return None
    with durable():
        Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
        if of_campaign.filter(state=State.SENT).exists():
            return None
        return payment if step(payment, State.SENT, "by the API", remote=remote_name) else None


def _send(payment: Payment, remote: Remote) -> None:
    """Ask the platform to pay, once, and ask it then whether it has."""
    note = "it was taken"
    try:
        if payment.kind == Payment.Kind.REWARD:
            remote.approve(payment.visit.assignment)
        else:
            remote.pay_bonus(payment.remote)
    except Declined as declined:
        note = str(declined)
        if _ask(payment, remote) == State.CONFIRMED:  # somebody approved it by hand
            return
        with durable():
            step(payment, State.FAILED, note)
        return
    except Unsure as unsure:
        note = str(unsure)
    with durable():
        step(payment, State.UNKNOWN, note)
    _ask(payment, remote)


def follow(campaign: Campaign, remote: Remote) -> None:
    """Ask the platform about every visit and payment that waits for its word."""
    for visit in queries.visits().filter(
        campaign=campaign, state__in=(Visit.State.OPEN, Visit.State.FINISHED, Visit.State.TIMED_OUT)
    ):
        follow_visit(visit, remote)
    waiting = Payment.objects.filter(
        visit__campaign=campaign, state__in=(State.SENT, State.UNKNOWN)
    ).select_related("visit__worker")
    for payment in waiting:
        _ask(payment, remote)


def follow_visit(visit: Visit, remote: Remote) -> None:
    """Bring a visit to what the platform says of it; what it does not say is left as it is."""
    try:
        said = remote.standing(visit.assignment)
    except (Declined, Unsure) as error:
        log.warning("platform_not_asked", visit=str(visit.pk), reason=str(error))
        return
    study = visit.campaign.file.study
    if said.worker != visit.worker.name or (study and said.study != study):
        log.warning("platform_knows_another", visit=str(visit.pk))
        return
    if said.state in ("returned", "timed_out"):
        services.leave(visit=visit, state=said.state)
    elif visit.state == Visit.State.OPEN:
        return
    elif said.state in ("done", "approved"):
        with suppress(Refused):  # its place went to somebody else: an owner decides
            services.settle(visit=visit, confirmed=True, actor=None)
    elif said.state == "rejected":
        reason = f"Rejected by the owner on {visit.campaign.platform.title}, who gave the reason."
        services.settle(visit=visit, confirmed=False, actor=None, reason=reason.ljust(100, "."))


def _ask(payment: Payment, remote: Remote) -> str:
    """Confirm a payment that the platform has made; one that nothing is heard of becomes unknown.

    An approval that was not done is known as such. A bonus that is not there may be on its way
    still: only a file of results, which an owner vouches for, says that it failed.
    """
    try:
        said = remote.standing(payment.visit.assignment)
    except (Declined, Unsure) as error:
        log.warning("platform_not_asked", payment=str(payment.pk), reason=str(error))
        said = Standing("", "", "", [])
    state = ""
    if _is_paid(payment, said):
        state = State.CONFIRMED
    elif payment.state == State.UNKNOWN:
        if said.state == "done" and payment.kind == Payment.Kind.REWARD:
            state = State.FAILED
    elif timezone.now() - payment.steps.aggregate(last=Max("at"))["last"] >= LATE:
        state = State.UNKNOWN
    if state:
        with durable():
            step(payment, state, f"the platform says: {said.state or 'nothing'}")
    return payment.state


def _is_paid(payment: Payment, said: Standing) -> bool:
    if payment.kind == Payment.Kind.REWARD:
        return said.state == "approved"
    ours = Payment.objects.filter(
        visit=payment.visit_id, kind=Payment.Kind.BONUS, state=State.CONFIRMED
    )
    left = Counter(said.bonuses)
    left.subtract(ours.values_list("amount", flat=True))
    return left[payment.amount] > 0
