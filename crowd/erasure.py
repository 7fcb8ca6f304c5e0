"""Forgetting a person who came by links."""

from __future__ import annotations

import secrets

from django.utils import timezone

from accounts.models import Event, User, new_pseudonym
from accounts.services import close_account, erase, record_event
from annotate.models import Chat, Example
from annotate.queries import Participant
from annotate.services import retract
from core.errors import Conflict
from core.transactions import durable
from crowd import earned, queries
from crowd.by_file import take_out_of_files
from crowd.entering import name_once_forgotten, new_code
from crowd.models import FORGOTTEN, Campaign, Payment, Visit, Worker
from crowd.services import end, leave


def _may_earn(visits: list[Visit]) -> bool:
    """Whether something is owed, or may come to be: a bonus that waits, a sum that went astray."""
    if any(one.waits for one in visits):
        return True
    failed = Payment.objects.filter(visit__in=visits, state=Payment.State.FAILED)
    made = Example.objects.filter(session__visit__in=visits, fooled=True, retracted_at=None)
    waits = made.filter(status=Example.Status.OPEN, session__visit__state=Visit.State.CONFIRMED)
    return (
        failed.exists()
        or waits.exists()
        or any(_waits_for_its_votes(one) for one in visits)
        or any(earned.owed([one]) for one in visits if one.settled_at is not None)
    )


def _waits_for_its_votes(visit: Visit) -> bool:
    pays = visit.campaign.file.pay.units("per_validation")
    return bool(pays) and visit.state == Visit.State.CONFIRMED and not earned.votes_count(visit)


def forget(*, visit: Visit, gives_up: bool = False) -> bool:
    """Take a person's platform names away, and their pseudonym, so that nothing leads to them;
    returns whether all under the name is forgotten, or what this link did alone: see
    `queries.within_reach`.

    A keyed hash stays: who is kept out, or watched, would come back as somebody new.
    Their examples stay under a new pseudonym where the consent of that visit's campaign says so,
    else they are taken back, emptied, and used for nothing; so are those of a link alone, whose
    pseudonym is the others' still. Conflict while money is on its way to them, which goes by the
    name that would be forgotten, or is still to come, unless they give that up: who was forgotten
    is paid nothing more.
    """
    worker = visit.worker
    visits, all_of_it = queries.within_reach(visit)
    _require_nothing_under_way(visits)
    if not gives_up and _may_earn(visits):
        raise Conflict(
            "money_to_come",
            "Something that you earned is not paid yet, and would be lost: ask again when it is, "
            "or say that you give it up.",
        )
    for one in visits:
        leave(visit=one, state=Visit.State.RETURNED)
        if not (all_of_it and one.campaign.file.consent.keep):
            for uid in Example.objects.filter(session=one.session_id).values_list("uid", flat=True):
                retract(participant=Participant(user=worker.user), uid=uid, erases=True)
    with durable():
        # Payments are planned under the same locks: none begins its way to a name that goes.
        campaigns = Campaign.objects.filter(visits__in=visits).values("pk")
        locked = Campaign.objects.select_for_update(no_key=True).filter(pk__in=campaigns)
        list(locked.order_by("pk"))
        _require_nothing_under_way(visits)
        for one in visits:
            _forget_visit(one)
        if all_of_it:
            Chat.objects.filter(author=worker.user_id, example=None).delete()
            User.objects.filter(pk=worker.user_id).update(pseudonym=new_pseudonym())
            worker.name = _what_stays(worker, visits)
            worker.forgotten_at = timezone.now()
            worker.save(update_fields=["name", "forgotten_at"])
            record_event(actor=None, verb="forgot", subject=worker)
        else:
            record_event(actor=None, verb="forgot", subject=visit)
    if all_of_it:
        close_account(user=User.objects.get(pk=worker.user_id))
    return all_of_it


def _forget_visit(visit: Visit) -> None:
    """Take away what others have beside a name: the code and the payments of a platform's results,
    a rejection's reason, our own files to pay by."""
    locked = Visit.objects.select_for_update(no_key=True, of=("self",)).get(pk=visit.pk)
    if locked.state == Visit.State.OPEN:  # its link was opened again since it was left
        end(locked, Visit.State.RETURNED)
    spoken = Chat.objects.filter(author=visit.worker.user_id, example=None)
    spoken.filter(created_at__range=(locked.started_at, locked.finished_at)).delete()
    Visit.objects.filter(pk=visit.pk).update(
        code=new_code(), assignment="", place="", token="", signals={}, reason=""
    )
    erase(Event.objects.filter(object_type="visit", object_id=str(visit.pk)), "reason")
    payments = Payment.objects.filter(visit=visit)
    payments.update(remote="")
    take_out_of_files(visit.campaign, {str(pk) for pk in payments.values_list("pk", flat=True)})


def _what_stays(worker: Worker, visits: list[Visit]) -> str:
    """What is kept of a name: a keyed hash, by which nobody of that name is let in again.

    Of a name that nobody has vouched for it leads to nobody at all: whoever invents somebody's name
    and has it forgotten would keep them out for good. Who is kept out stays so.
    """
    known = any(
        queries.is_proven(one) or queries.is_kept_out(worker, one.campaign.task) for one in visits
    )
    if known:
        return name_once_forgotten(worker.realm, worker.name)
    return FORGOTTEN + secrets.token_hex(32)


def _require_nothing_under_way(visits: list[Visit]) -> None:
    going = Payment.objects.filter(visit__in=visits).exclude(
        state__in=(Payment.State.CONFIRMED, Payment.State.FAILED)
    )
    if going.exists():
        raise Conflict(
            "money_under_way", "A payment to you is under way: ask again when it is there."
        )
