"""Who comes by a link: whether they are let in, the place they take, the work they go on with."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import IntegrityError
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.models import Role, User, WorkSession
from annotate.quotas import refusal
from core.errors import Conflict, Refused
from core.looks import name_seen_as
from core.transactions import durable
from crowd import earned, queries, statements
from crowd.campaign_file import ANNOTATE
from crowd.campaigns import record
from crowd.models import FORGOTTEN, Campaign, Slot, Visit, Worker
from crowd.platforms import Arrival
from crowd.services import end
from validate.acts.lease import give_up
from validate.models import Apart

# A place that was taken and let go of between a look and its lock looks free: the next look knows.
TRIES: Final = 20
SHARED: Final = 4  # people at one address; where more are, it is a lab's and says nothing
_LETTERS: Final = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"


def visit_for(campaign: Campaign, arrival: Arrival) -> Visit | None:
    """The latest visit that began by this very link (one query).

    Its worker's name alone says little: it is known to others, and stands in no signature.
    """
    if not arrival.worker:
        return None
    mine = statements.by_link(campaign.pk, arrival.realm, arrival.worker, arrival.assignment)
    return next((one for one in mine if _is_by_link(one, arrival)), None)


def begins_until(campaign: Campaign, arrival: Arrival) -> datetime | None:
    """By when one must have begun: what the file says, or a place's own link where that is later;
    None where there is no end."""
    until, promised = campaign.file.until, arrival.until
    if until is None or promised is None or promised <= until.timestamp():
        return until
    return None if promised == math.inf else datetime.fromtimestamp(promised, UTC)


def in_utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%-d %B %Y at %H:%M} UTC"


def _of_worker(arrival: Arrival) -> QuerySet[Visit]:
    return queries.visits().filter(worker__realm=arrival.realm, worker__name=arrival.worker)


def require_open(campaign: Campaign, arrival: Arrival) -> None:
    """Refuse where nobody is let in now."""
    if campaign.state == Campaign.State.ENDED:
        raise Refused("ended", "This has ended. Nothing that you did is lost.", status=410)
    if campaign.state == Campaign.State.PAUSED:
        raise Refused("paused", "This is paused: try the same link again later.", status=409)
    if (until := begins_until(campaign, arrival)) and until < timezone.now():
        raise Refused(
            "too_late",
            f"One could begin until {in_utc(until)}: thank you for coming. Return it, please.",
            status=410,
        )


def require_entry(campaign: Campaign, arrival: Arrival) -> None:
    """Refuse whom the campaign does not let in now."""
    require_open(campaign, arrival)
    if arrival.signed_until is not None and arrival.signed_until < time.time():
        raise Refused("link_too_old", "This link was for a while: open it from its own page anew.")
    rules = campaign.file.let_in
    if rules.only and arrival.worker not in rules.only:
        raise Refused("not_invited", "This is for people who were asked by name.", status=403)
    if rules.not_in and _of_worker(arrival).filter(campaign__slug__in=rules.not_in).exists():
        raise Refused("took_part", "You took part in one like it: this is for others.", status=403)


def require_room(campaign: Campaign, arrival: Arrival) -> None:
    """Refuse where there is no place now; at the start it is asked again."""
    if arrival.slot is not None:
        there = statements.held_at(campaign.pk, arrival.slot)
        free, replaces = all(_is_returned(one, arrival) for one in there), bool(there)
    else:
        theirs = statements.held_near(
            campaign.pk, arrival.realm, arrival.worker, arrival.assignment
        )
        replaces = any(_is_returned(one, arrival) for one in theirs)
        free = replaces or statements.free_slot(campaign.pk) is not None
    if not free:
        raise _taken(arrival.slot)
    if not replaces:
        _require_budget(campaign)


def _require_budget(campaign: Campaign) -> None:
    """Refuse one more where it may cost more than the budget: all who are let in can be paid."""
    if not earned.holds_one_more(campaign):
        raise _taken(None)


def _is_returned(visit: Visit, arrival: Arrival) -> bool:
    """Whether a visit was returned, as it seems from who comes now: a platform does not tell.

    An assignment that comes to a second worker was returned by the first, and a worker who comes
    with another one has returned theirs. A place's own link says this of its place alone.
    """
    if visit.state != Visit.State.OPEN:
        return False
    same = visit.assignment == arrival.assignment
    mine = (visit.worker.realm, visit.worker.name) == (arrival.realm, arrival.worker)
    if arrival.slot is not None:
        return same and not mine and visit.slot.number == arrival.slot
    return same != mine


def begin(
    *, campaign: Campaign, arrival: Arrival, consent: str, address: str = ""
) -> tuple[Visit, str]:
    """Take a place for whoever has agreed; returns the visit and the token of its page.

    Of two who open one place's link at the same moment one gets it: the database says which. Who
    gets none leaves no account either: names in a link may be made up.
    """
    if consent != campaign.file.agreement:
        raise _changed()
    version = campaign.file.consent.version
    for _ in range(TRIES):
        try:
            with durable():
                worker = _worker_of(campaign, arrival)
                if not earned.holds_all_places(campaign):  # then who comes is let in one by one
                    Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
                earlier = statements.near(
                    campaign.pk, arrival.realm, arrival.worker, arrival.assignment
                )
                returned = _supersede(earlier, arrival)
                _require_budget(campaign)
                going_on = _returned_by(arrival, earlier)
                if going_on is None:
                    require_entry(campaign, arrival)
                    _require_work(campaign, worker)
                visit = going_on or Visit(
                    campaign=campaign,
                    worker=worker,
                    assignment=arrival.assignment,
                    code=new_code(),
                    place=_place(campaign, address),
                )
                visit.slot, visit.consent = _take(campaign, arrival.slot), version
                token, visit.token = queries.new_token(visit.id)
                _remember_check(visit, earlier)
                _put_to_work(visit)
                # Now that a row refers to it nobody changes it: is it what was agreed to?
                if statements.as_it_is(campaign.pk) != (campaign.data, campaign.state):
                    raise _changed()
                _keep_apart(visit)
                record(campaign, worker.user, "began_visit", subject=visit, consent=version)
        except IntegrityError:  # this place, person or person's visit is there since a moment
            mine = visit_for(campaign, arrival)
            if mine is not None and mine.state in Visit.ONCE:
                return reopen(mine)
            _require_free(campaign, arrival)
            require_room(campaign, arrival)
        else:
            for one in returned:
                give_up(validator=one.worker.user, task=campaign.task)
            return visit, token
    raise _taken(arrival.slot)


def _require_work(campaign: Campaign, worker: Worker) -> None:
    """Let nobody begin what they could not do, and not be paid then (one query, and more where
    rounds have quotas)."""
    if ANNOTATE in campaign.file.work and (refused := refusal(worker.user_id, campaign.task_id)):
        raise refused


def _changed() -> Refused:
    return Refused(
        "consent", "What you agree to has changed meanwhile: open your link again to read it."
    )


def _require_free(campaign: Campaign, arrival: Arrival) -> None:
    """Refuse whoever was here before by another link, or is at work elsewhere: time is paid once,
    and a vote is one visit's."""
    if _of_worker(arrival).filter(campaign=campaign, state__in=Visit.ONCE).exists():
        raise Conflict("took_part", "You took part in this already: open the link of that time.")
    if _of_worker(arrival).filter(state=Visit.State.OPEN).exists():
        raise Conflict(
            "at_work", "You are at work on another one here: finish or return it, then come back."
        )


def _taken(slot: int | None) -> Conflict:
    if slot is None:
        return Conflict("full", "All places are taken: thank you for coming. Return it, please.")
    return Conflict("slot_taken", "Somebody else has this place: ask for a link of your own.")


def _take(campaign: Campaign, number: int | None) -> Slot:
    """The place of a link, or the first that is free, locked where rows can be."""
    if number is not None:
        slot = campaign.slots.filter(number=number).first()
        if slot is None:
            raise Refused("bad_link", "There is no such place: open the link you were given.")
        return slot
    slot = statements.free_slot(campaign.pk, lock=True)
    if slot is None:
        raise _taken(None)
    return slot


def _worker_of(campaign: Campaign, arrival: Arrival) -> Worker:
    """The person behind a platform's name, who is made at their first visit, with no account that
    anybody could sign in to, within the transaction that takes a place; Refused when they had
    themselves forgotten, or are kept out."""
    worker = None
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        once = name_once_forgotten(arrival.realm, arrival.worker, secret)
        worker = worker or statements.worker(arrival.realm, arrival.worker, once)
    if worker is None:
        user = User(role=Role.ANNOTATOR)
        user.username = user.pseudonym
        user.set_unusable_password()
        user.looks = name_seen_as(user.username)
        statements.insert(user)
        worker = Worker(realm=arrival.realm, name=arrival.worker, user=user)
        statements.insert(worker)
        return worker
    if worker.forgotten_at is not None:
        raise Refused(
            "forgotten",
            "You asked to be forgotten here, and that is for good: return it, please.",
            status=403,
        )
    if campaign.platform.names_assignments:
        here = Visit.objects.filter(worker=worker, assignment=arrival.assignment)
        if here.filter(state__in=Visit.ONCE).exclude(campaign=campaign).exists():
            raise Conflict(
                "took_part",
                "This assignment brought you to another one here, and is paid there: open the link "
                "of that time.",
            )
    if queries.is_kept_out(worker, campaign.task):
        raise Refused("banned", "You are kept out of this: return it, please.", status=403)
    return worker


def name_once_forgotten(realm: str, name: str, secret: str | bytes | None = None) -> str:
    """What is kept of a name, so that nobody comes back as somebody new; leads to nobody without
    the server's secret, the present one or one before."""
    said = f"{realm}\0{name}"
    return FORGOTTEN + salted_hmac("crowd.worker", said, secret, algorithm="sha256").hexdigest()


def _supersede(earlier: list[Visit], arrival: Arrival) -> list[Visit]:
    """Take it that these were returned, within the transaction that takes a place."""
    found = [one for one in earlier if _is_returned(one, arrival)]
    for visit in found:
        end(visit, Visit.State.RETURNED)
    return found


def _returned_by(arrival: Arrival, earlier: list[Visit]) -> Visit | None:
    """What this very link began and was returned, as it seemed, while its time lasts: it goes on.

    Whoever comes under a worker's name with an assignment of their own ends nobody's work so.
    """
    visit = next((one for one in reversed(earlier) if _is_by_link(one, arrival)), None)
    if visit is None or not may_go_on(visit):
        return None
    visit.state, visit.finished_at, visit.seen_at = Visit.State.OPEN, None, timezone.now()
    return visit


def may_go_on(visit: Visit) -> bool:
    """Whether a visit that was returned, as it seemed, goes on when its link is opened again."""
    lasts = timedelta(minutes=visit.campaign.file.time_limit)
    return visit.state == Visit.State.RETURNED and visit.started_at + lasts > timezone.now()


def _is_by_link(visit: Visit, arrival: Arrival) -> bool:
    return (
        visit.worker.realm == arrival.realm
        and visit.worker.name == arrival.worker
        and visit.assignment == arrival.assignment
        and arrival.slot in (None, visit.slot.number)
    )


def _remember_check(visit: Visit, earlier: list[Visit]) -> None:
    """A worker has two attempts in a campaign, on however many visits, and understands it once."""
    theirs = [one for one in earlier if one.worker_id == visit.worker_id]
    visit.attempts = max((one.attempts for one in theirs), default=0)
    visit.checked_at = max((one.checked_at for one in theirs if one.checked_at), default=None)


def _put_to_work(visit: Visit) -> None:
    if visit._state.adding:
        visit.session = WorkSession(user=visit.worker.user, kind=WorkSession.Kind.LINK)
        statements.insert(visit.session)
        statements.insert(visit)
    else:
        visit.save()


def reopen(visit: Visit) -> tuple[Visit, str]:
    """Take the work to where its link was opened; whoever had it open before is told so."""
    token, visit.token = queries.new_token(visit.id)
    Visit.objects.filter(pk=visit.pk).update(token=visit.token)
    return visit, token


# --- one person, several names --------------------------------------------------------------------
def _keep_apart(visit: Visit) -> None:
    """Let nobody validate who may be the same person: who held the same place before, or comes from
    the same address at the same time, as long as few do."""
    others = statements.others_near(visit)
    if visit.place:
        there = Visit.objects.filter(
            place=visit.place,
            campaign__task=visit.campaign.task_id,
            started_at__gt=timezone.now() - timedelta(days=1),
        ).exclude(worker=visit.worker_id)
        neighbours = set(there.values_list("worker__user", flat=True))
        others |= neighbours if len(neighbours) < SHARED else set()
    for other in others:
        apart(visit.worker.user_id, other, "their visits share a place or an address")


def apart(one: int, other: int, why: str) -> None:
    """Two who may be one are not asked about each other; within a transaction."""
    pairs = [(one, other), (other, one)]
    Apart.objects.bulk_create(
        [Apart(validator_id=a, author_id=b, why=why) for a, b in pairs], ignore_conflicts=True
    )


def _is_public(address: str) -> bool:
    """Whether an address is one of the internet: of one's own network nothing follows."""
    try:
        return ipaddress.ip_network(address).is_global
    except ValueError:
        return False


def _place(campaign: Campaign, address: str) -> str:
    """A keyed hash, of this task alone: it says whether two addresses are one, and nothing else.

    Empty for addresses of this machine or network: a proxy, a lab, somebody who tries it out.
    """
    if not _is_public(address):
        return ""
    key = f"{settings.SECRET_KEY}:{campaign.task_id}".encode()
    return hmac.new(key, address.encode(), hashlib.sha256).hexdigest()[:32]


def new_code() -> str:
    """A completion code: 12 characters that nobody mistakes (59 bits)."""
    return "".join(secrets.choice(_LETTERS) for _ in range(12))
