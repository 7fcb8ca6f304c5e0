"""Forgetting a person who came by links."""

from __future__ import annotations

from django.utils import timezone

from accounts.models import User, new_pseudonym
from accounts.services import close_account, record_event
from annotate.models import Example
from annotate.queries import Participant
from annotate.services import retract
from core.errors import Conflict
from core.transactions import durable
from crowd import queries
from crowd.models import Payment, Visit, Worker
from crowd.services import leave


def _may_earn(visit: Visit) -> bool:
    finished = visit.state == Visit.State.FINISHED
    return bool((finished and visit.campaign.file.plan().visit_at_most) or queries.owed(visit))


def forget(*, worker: Worker, gives_up: bool = False) -> None:
    """Take a person's platform names away, and their pseudonym, so that nothing leads to them.

    Their examples stay under a new pseudonym where the consent of that visit's campaign says so,
    else they are taken back and used for nothing. Conflict while money is on its way to them, which
    goes by the name that would be forgotten, or is still to come, unless they give that up.
    """
    visits = list(queries.visits().filter(worker=worker))
    going = Payment.objects.filter(visit__in=visits).exclude(
        state__in=(Payment.State.CONFIRMED, Payment.State.FAILED)
    )
    if going.exists():
        raise Conflict(
            "money_under_way", "A payment to you is under way: ask again when it is there."
        )
    if not gives_up and any(_may_earn(one) for one in visits):
        raise Conflict(
            "money_to_come",
            "Something that you earned is not paid yet, and would be lost: ask again when it is, "
            "or say that you give it up.",
        )
    for visit in visits:
        leave(visit=visit, state=Visit.State.RETURNED)
        if not visit.campaign.file.consent.keep:
            made = Example.objects.filter(session=visit.session_id, retracted_at=None)
            for uid in made.values_list("uid", flat=True):
                retract(participant=Participant(user=worker.user), uid=uid)
    with durable():
        User.objects.filter(pk=worker.user_id).update(pseudonym=new_pseudonym())
        worker.name, worker.forgotten_at = "", timezone.now()
        worker.save(update_fields=["name", "forgotten_at"])
        Visit.objects.filter(worker=worker).update(
            assignment="", place="", token="", signals={}, reason=""
        )
        record_event(actor=None, verb="forgot", subject=worker)
    close_account(user=User.objects.get(pk=worker.user_id))
