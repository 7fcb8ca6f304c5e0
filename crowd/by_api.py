"""Paying by a platform's API, and asking it what is true."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog
from django.conf import settings
from django.db.models import Max, QuerySet
from django.utils import timezone

from core.errors import Refused
from core.transactions import durable
from crowd import earned, money, queries, services
from crowd.by_file import send_by_file
from crowd.ledger import State, step
from crowd.models import Campaign, Payment, Visit
from crowd.platforms import Declined, Remote, Standing, Unsure

log = structlog.get_logger(__name__)

_APPROVED: Final = ("approved", "partly")
LATE: Final = timedelta(minutes=5)  # after which a payment that nothing is heard of is unknown


def remote_of(campaign: Campaign) -> Remote | None:
    return campaign.platform.remote(settings.CROWD)


def require_fit(campaign: Campaign) -> None:
    """Refuse to plan what the platform would pay otherwise: its terms may have changed there."""
    if remote_of(campaign) is not None:
        campaign.platform.require_fit(campaign.file, settings.CROWD)


def send(campaign: Campaign) -> list[Path]:
    """Send what is planned, in the way of the campaign's platform; returns the files to pay by."""
    remote = remote_of(campaign)
    if remote is None:
        return send_by_file(campaign)
    follow(campaign, remote)
    planned = Payment.objects.filter(visit__campaign=campaign, state=State.PLANNED)
    for payment in planned.select_related("visit__campaign").order_by("created_at", "pk"):
        if _came_after_all(payment, remote):
            continue
        prepared = _prepare(payment, remote)
        if prepared is None:
            continue  # it keeps no other waiting
        if not _claim(payment, prepared):
            break
        _send(payment, remote)
    return []


def _came_after_all(payment: Payment, remote: Remote) -> bool:
    """Whether a bonus that was said to have failed, and is to be sent again, is there by now, or
    nobody knows: it waits then, since it would be paid twice."""
    if not payment.remote:
        return False
    try:
        said = remote.standing(payment.visit.assignment)
    except (Declined, Unsure) as error:
        log.warning("platform_not_asked", payment=str(payment.pk), reason=str(error))
        return True
    return _book(payment, said, "it was sent before")


def _prepare(payment: Payment, remote: Remote) -> str | None:
    """Set up what there is to set up, which pays nothing; None when that did not work."""
    if payment.kind == Payment.Kind.REWARD:
        return ""
    file, assignment = payment.visit.campaign.file, payment.visit.assignment
    try:
        study = file.study or remote.standing(assignment).study
        return remote.prepare_bonus(
            study, assignment, money.plain(payment.amount, file.pay.currency)
        )
    except Declined as declined:
        with durable():
            step(payment, State.FAILED, f"it could not be set up: {declined}")
    except Unsure as unsure:  # it is planned still
        log.warning("bonus_not_set_up", payment=str(payment.pk), reason=str(unsure))
    return None


def _claim(payment: Payment, prepared: str) -> bool:
    """Mark a payment as sent before anything that pays is asked; False when somebody else pays.

    While one is under way nobody takes another of the platform's, whose account all campaigns
    share: bonuses may not be asked for at the same time, and of one whose payer was killed the
    platform must have spoken first.
    """
    with durable():
        locked = _of_platform(payment.visit.campaign).select_for_update(no_key=True)
        list(locked.order_by("pk").values_list("pk"))
        if _under_way(payment.visit.campaign).exists():
            return False
        return step(payment, State.SENT, "by the API", remote=prepared)


def _of_platform(campaign: Campaign) -> QuerySet[Campaign]:
    return Campaign.objects.filter(data__platform=campaign.file.platform)


def _under_way(campaign: Campaign) -> QuerySet[Payment]:
    """What was asked of the platform by its API, and not heard of since."""
    mine = Payment.objects.filter(visit__campaign__in=_of_platform(campaign))
    return mine.filter(state=State.SENT, batch="")


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
        if _ask(payment, remote) != State.SENT:  # somebody approved it by hand, or in part
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
    for visit in queries.unsettled().filter(campaign=campaign):
        follow_visit(visit, remote)
    here = Payment.objects.filter(visit__campaign=campaign, visit__worker__forgotten_at=None)
    waiting = here.filter(queries.is_followed()) | _under_way(campaign)
    for payment in waiting.select_related("visit__worker"):
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
    with suppress(Refused):  # its place went to somebody else: an owner decides
        _follow(visit, said.state)


def _follow(visit: Visit, said: str) -> None:
    if visit.state == Visit.State.REJECTED:  # by an owner: only approving it says otherwise
        if said in _APPROVED and not visit.was_screened_out:
            services.settle(visit=visit, confirmed=True, actor=None)
    elif visit.state == Visit.State.SCREENED_OUT:
        # Not what the platform itself has paid, in part or in full.
        kept_out = queries.is_kept_out(visit.worker, visit.campaign.task)
        if said in ("done", "returned") and not kept_out:
            services.settle(visit=visit, confirmed=True, actor=None)
    elif said in ("returned", "timed_out"):
        services.leave(visit=visit, state=said)
    elif visit.state != Visit.State.OPEN and (
        said in _APPROVED or (said == "done" and earned.is_whole(visit))
    ):
        services.settle(visit=visit, confirmed=True, actor=None)
    if said == "rejected" and visit.state != Visit.State.OPEN:
        reason = f"Rejected by the owner on {visit.campaign.platform.title}, who gave the reason."
        services.settle(visit=visit, confirmed=False, actor=None, reason=reason.ljust(100, "."))


def _ask(payment: Payment, remote: Remote) -> str:
    """Confirm a payment that the platform has made; one that nothing is heard of becomes unknown.

    An approval that is not done after a while is known as such, and still looked at: the platform
    may have been slow. A bonus that is not there may be on its way still: only a file of results,
    which an owner vouches for, says that it failed.
    """
    try:
        said = remote.standing(payment.visit.assignment)
    except (Declined, Unsure) as error:
        log.warning("platform_not_asked", payment=str(payment.pk), reason=str(error))
        said = Standing("", "", "", [])
    note, state = f"the platform says: {said.state or 'nothing'}", ""
    if _book(payment, said, note):
        return payment.state
    if said.state == "partly" and payment.kind == Payment.Kind.REWARD:
        state = State.UNKNOWN  # how much that was an owner says
    elif timezone.now() - payment.steps.aggregate(last=Max("at"))["last"] >= LATE:
        if payment.state == State.SENT:
            state = State.UNKNOWN
        elif said.state == "done" and payment.kind == Payment.Kind.REWARD:
            state = State.FAILED
    if state:
        with durable():
            step(payment, state, note)
    return payment.state


def _book(payment: Payment, said: Standing, note: str) -> bool:
    """Confirm a payment that the platform shows; whether it does.

    Of two bonuses of one sum for one visit one may be there: they are looked at in turn.
    """
    if not _is_paid(payment, said):
        return False
    with durable():
        Visit.objects.select_for_update(no_key=True, of=("self",)).get(pk=payment.visit_id)
        if not _is_paid(payment, said):
            return False
        if payment.state == State.PLANNED:
            step(payment, State.SENT, note)
        step(payment, State.CONFIRMED, note)
    return True


def _is_paid(payment: Payment, said: Standing) -> bool:
    if payment.kind == Payment.Kind.REWARD:
        return said.state == "approved"
    ours = Payment.objects.filter(
        visit=payment.visit_id, kind=Payment.Kind.BONUS, state=State.CONFIRMED
    )
    left = Counter(said.bonuses)
    left.subtract(ours.values_list("amount", flat=True))
    return left[payment.amount] > 0
