"""A visit: begin, be checked, finish, return, run out, be confirmed or rejected."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import IntegrityError
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.models import Role, User, WorkSession
from annotate.models import Example
from annotate.services import confirm as confirm_example
from annotate.services import lock_example
from core.errors import Conflict, Refused
from core.transactions import durable
from crowd import earned, queries, statements
from crowd.campaigns import record
from crowd.models import FORGOTTEN, Campaign, Slot, Visit, Worker
from crowd.platforms import Arrival
from validate.acts.lease import give_up
from validate.models import Apart

ATTEMPTS: Final = 2  # at the comprehension check
# A place that was taken and let go of between a look and its lock looks free: the next look knows.
TRIES: Final = 20
IDLE: Final = 120.0  # seconds without a sign of life that still count as work, for everybody alike
SHARED: Final = 4  # people at one address; where more are, it is a lab's and says nothing
_LETTERS: Final = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"


# --- workers --------------------------------------------------------------------------------------
def visit_for(campaign: Campaign, arrival: Arrival) -> Visit | None:
    """The latest visit that began by this very link (one query).

    Its worker's name alone says little: it is known to others, and stands in no signature.
    """
    if not arrival.worker:
        return None
    mine = statements.by_link(campaign.pk, arrival.realm, arrival.worker, arrival.assignment)
    return next((one for one in mine if _is_by_link(one, arrival)), None)


def _of_worker(arrival: Arrival) -> QuerySet[Visit]:
    return queries.visits().filter(_who(arrival))


def _who(arrival: Arrival) -> Q:
    return Q(worker__realm=arrival.realm, worker__name=arrival.worker)


def require_entry(campaign: Campaign, arrival: Arrival) -> None:
    """Refuse whom the campaign does not let in now."""
    if campaign.state == Campaign.State.ENDED:
        raise Refused("ended", "This has ended. Nothing that you did is lost.", status=410)
    if campaign.state == Campaign.State.PAUSED:
        raise Refused("paused", "This is paused: try the same link again later.", status=409)
    if arrival.signed_until is not None and arrival.signed_until < time.time():
        raise Refused("link_too_old", "This link was for a while: open it from its own page anew.")
    rules = campaign.file.let_in
    if rules.only and arrival.worker not in rules.only:
        raise Refused("not_invited", "This is for people who were asked by name.", status=403)
    if rules.not_in and _of_worker(arrival).filter(campaign__slug__in=rules.not_in).exists():
        raise Refused("took_part", "You took part in one like it: this is for others.", status=403)


def require_room(campaign: Campaign, arrival: Arrival) -> None:
    """Refuse where there is no place now; at the start it is asked again."""
    held = campaign.visits.filter(state__in=Visit.HOLDS).select_related("worker", "slot")
    if arrival.slot is not None:
        there = list(held.filter(slot__number=arrival.slot))
        free, replaces = all(_is_returned(one, arrival) for one in there), bool(there)
    else:
        theirs = held.filter(_who(arrival) | Q(assignment=arrival.assignment))
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
    require_entry(campaign, arrival)
    if consent != campaign.file.consent.version:
        raise _changed()
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
                visit = _returned_by(arrival, earlier) or Visit(
                    campaign=campaign,
                    worker=worker,
                    assignment=arrival.assignment,
                    code=new_code(),
                    place=_place(campaign, address),
                )
                visit.slot, visit.consent = _take(campaign, arrival.slot), consent
                token, visit.token = queries.new_token(visit.id)
                _remember_check(visit, earlier)
                _put_to_work(visit)
                # Now that a row refers to it nobody changes it: is it what was agreed to?
                now = Campaign.objects.values_list("data", "state").get(pk=campaign.pk)
                if now != (campaign.data, campaign.state):
                    raise _changed()
                _keep_apart(visit)
                record(campaign, worker.user, "began_visit", subject=visit, consent=consent)
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


def _changed() -> Refused:
    return Refused("consent", "What you agree to has changed meanwhile: read it again.")


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
        user.save()
        worker = Worker(realm=arrival.realm, name=arrival.worker, user=user)
        statements.insert(worker)
        return worker
    if worker.forgotten_at is not None:
        raise Refused(
            "forgotten",
            "You asked to be forgotten here, and that is for good: return it, please.",
            status=403,
        )
    if queries.is_kept_out(worker, campaign.task):
        raise Refused("banned", "You are kept out of this: return it, please.", status=403)
    return worker


def name_once_forgotten(realm: str, name: str, secret: str | None = None) -> str:
    """What is kept of a name, so that nobody comes back as somebody new; leads to nobody without
    the server's secret, the present one or one before."""
    said = f"{realm}\0{name}"
    return FORGOTTEN + salted_hmac("crowd.worker", said, secret, algorithm="sha256").hexdigest()


def _supersede(earlier: list[Visit], arrival: Arrival) -> list[Visit]:
    """Take it that these were returned, within the transaction that takes a place."""
    found = [one for one in earlier if _is_returned(one, arrival)]
    for visit in found:
        _end(visit, Visit.State.RETURNED)
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


def check(*, visit: Visit, answers: Mapping[str, str]) -> bool:
    """Whether somebody has understood; at the second miss the visit ends, and is paid for."""
    questions = visit.campaign.file.check
    right = all(answers.get(str(place)) == one.answer for place, one in enumerate(questions))
    with durable():
        visit = Visit.objects.select_for_update(no_key=True, of=("self",)).get(pk=visit.pk)
        if visit.state != Visit.State.OPEN or visit.checked_at is not None:
            return visit.checked_at is not None
        visit.attempts += 1
        visit.checked_at = timezone.now() if right else None
        visit.save(update_fields=["attempts", "checked_at"])
        screened_out = not right and visit.attempts >= ATTEMPTS
        if screened_out:
            _end(visit, Visit.State.SCREENED_OUT)
    by_itself = visit.campaign.platform.confirms_itself
    if screened_out and by_itself and not queries.is_kept_out(visit.worker, visit.campaign.task):
        settle(visit=visit, confirmed=True, actor=None)
    return right


def notice(*, visit: Visit, signals: Mapping[str, int]) -> None:
    """Count time at work by the server's clock, and signs that decide nothing.

    Compare and set: of two pages of a visit one counts the time that both were open.
    """
    now = timezone.now()
    gap = min((now - visit.seen_at).total_seconds(), IDLE)
    seen = {name: visit.signals.get(name, 0) + count for name, count in signals.items()}
    changed = Visit.objects.filter(pk=visit.pk, state=Visit.State.OPEN, seen_at=visit.seen_at)
    if changed.update(
        seen_at=now, seconds=F("seconds") + max(0.0, gap), signals={**visit.signals, **seen}
    ):
        visit.seconds += max(0.0, gap)


def finish(*, visit: Visit) -> Visit:
    """End a visit whose work is done; where it is known who it is it counts at once.

    One that ends without all that was asked, since nothing was left or they are kept out, waits for
    an owner's word.
    """
    may_end = visit.state != Visit.State.OPEN or earned.progress(visit).may_finish
    if not may_end and not queries.is_kept_out(visit.worker, visit.campaign.task):
        raise Refused("not_done", "There is something left: finish it, or return it.", status=409)
    with durable():
        locked = Visit.objects.select_for_update(no_key=True, of=("self",)).get(pk=visit.pk)
        if locked.state == Visit.State.OPEN:
            _end(locked, Visit.State.FINISHED)
    give_up(validator=visit.worker.user, task=visit.campaign.task)
    visit = queries.visits().get(pk=visit.pk)
    if visit.campaign.platform.confirms_itself and earned.is_whole(visit):
        settle(visit=visit, confirmed=True, actor=None)
    return queries.visits().get(pk=visit.pk)


def leave(*, visit: Visit, state: str) -> None:
    """Return a visit, or let it run out: its place and what it holds are free; examples stay."""
    with durable():
        locked = Visit.objects.select_for_update(no_key=True, of=("self",)).get(pk=visit.pk)
        if locked.state not in (Visit.State.OPEN, Visit.State.FINISHED):
            return
        _end(locked, state)
    give_up(validator=visit.worker.user, task=visit.campaign.task)


def _end(visit: Visit, state: str) -> None:
    visit.state, visit.finished_at = state, visit.finished_at or timezone.now()
    visit.save(update_fields=["state", "finished_at"])
    record(visit.campaign, None, f"visit_{state}", subject=visit)


def time_out(now: datetime | None = None) -> int:
    """Let visits run out whose time is over, or finish where all is done; returns how many."""
    now = now or timezone.now()
    done = 0
    for campaign in Campaign.objects.filter(visits__state=Visit.State.OPEN).distinct():
        begun_before = now - timedelta(minutes=campaign.file.time_limit)
        late = queries.visits().filter(
            campaign=campaign, state=Visit.State.OPEN, started_at__lt=begun_before
        )
        for visit in late:
            visit.campaign = campaign  # whose file is read once
            with suppress(Refused):  # one that is in a state of its own stops no other
                if earned.is_whole(visit):  # all is done but for the button
                    finish(visit=visit)
                else:
                    leave(visit=visit, state=Visit.State.TIMED_OUT)
                done += 1
    return done


# --- the platform's word --------------------------------------------------------------------------
def settle(*, visit: Visit, confirmed: bool, actor: User | None, reason: str = "") -> None:
    """Confirm a visit, or reject it by an owner's word; never a machine's.

    Confirmed, all that it made counts at once; one that was screened out is paid for that. One that
    ran out or was returned, as we think, may be confirmed still, while there is a place; and so may
    one that was rejected.
    """
    least = visit.campaign.platform.reason_length
    if not confirmed and len(reason.strip()) < least:
        raise Refused(
            "reason_missing", f"Say why, in {least} characters or more: the worker is told."
        )
    with durable():
        locked = Visit.objects.select_for_update(no_key=True, of=("self",)).get(pk=visit.pk)
        state = Visit.State.CONFIRMED if confirmed else Visit.State.REJECTED
        if confirmed and locked.was_screened_out:
            state = Visit.State.SCREENED_OUT
        if locked.settled_at is not None and locked.state == state:
            return
        # A rejection may be turned over: by the platform, or by an owner who was wrong.
        if not locked.waits and not (confirmed and locked.state == Visit.State.REJECTED):
            raise Conflict(
                "not_finished", f"It is {locked.get_state_display()}: nothing is to be decided."
            )
        if state == Visit.State.CONFIRMED and not locked.campaign.file.is_signed:
            _find_place(locked)
        if confirmed and locked.state not in (*Visit.HOLDS, state):
            _require_budget(locked.campaign)
        locked.state, locked.settled_at, locked.reason = state, timezone.now(), reason.strip()
        try:
            locked.save(update_fields=["state", "settled_at", "reason", "slot"])
        except IntegrityError:
            raise Conflict(
                "slot_taken",
                "Its place is somebody else's since, or this person came again: pay one of them "
                "outside of the campaign.",
            ) from None
        record(visit.campaign, actor, f"visit_{state}", subject=locked, reason=reason.strip())
    visit.state = state
    if confirmed:
        let_count(Q(session=visit.session_id))


def _find_place(visit: Visit) -> None:
    """Another place for one whose own was given away; Conflict when there is none."""
    others = Visit.objects.filter(slot=visit.slot_id, state__in=Visit.HOLDS).exclude(pk=visit.pk)
    if others.exists():
        free = statements.free_slot(visit.campaign_id)
        if free is None:
            raise Conflict("full", "All places are taken since: add one first.")
        visit.slot = free


def let_count(which: Q | None = None) -> int:
    """Let what confirmed visits made count; returns how many examples.

    Done again it does nothing more; a submission that was under way meanwhile is found later.
    """
    confirmed = Q(session__visit__state=Visit.State.CONFIRMED)
    waiting = Example.objects.filter(which or Q(), confirmed, provisional=True).order_by("pk")
    done = 0
    for pk in list(waiting.values_list("pk", flat=True)):
        with durable():
            example = lock_example(pk)
            if example.provisional:
                confirm_example(example)
                done += 1
    return done


def look_after() -> None:
    """What the worker does every few minutes."""
    time_out()
    let_count()


# --- one person, several names --------------------------------------------------------------------
def _keep_apart(visit: Visit) -> None:
    """Let nobody validate who may be the same person: who held the same place before, or comes from
    the same address at the same time, as long as few do."""
    near = Q(slot=visit.slot_id) | Q(assignment=visit.assignment)
    others = set(
        Visit.objects.filter(near, campaign=visit.campaign)
        .exclude(worker=visit.worker_id)
        .values_list("worker__user", flat=True)
    )
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
