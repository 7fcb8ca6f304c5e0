"""What owners and workers do: load, pause, extend; begin, be checked, finish, be confirmed."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.core import signing
from django.db import IntegrityError, connection
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import Role, User, WorkSession
from accounts.services import record_event
from annotate.models import Example, Task
from annotate.services import confirm as confirm_example
from annotate.services import lock_example
from core.errors import Conflict, Refused
from core.transactions import durable
from crowd import queries
from crowd.campaign_file import CampaignFile
from crowd.models import Campaign, Slot, Visit, Worker
from crowd.platforms import Arrival
from validate.acts.lease import give_up
from validate.models import Apart

ATTEMPTS: Final = 2  # at the comprehension check
IDLE: Final = 120.0  # seconds without a sign of life that still count as work, for everybody alike
SHARED: Final = 4  # people at one address; where more are, it is a lab's and says nothing
SALT: Final = "a place of a campaign"
_LETTERS: Final = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"


# --- owners ---------------------------------------------------------------------------------------
def load_campaign(*, file: CampaignFile, actor: User | None = None) -> tuple[Campaign, bool]:
    """Create a campaign from its file, or change what may be changed while people are at it.

    Returns the campaign and whether anything changed. Refused when it pays less than its floor, by
    what its file expects or by what its visits took so far.
    """
    task = Task.objects.filter(slug=file.task).first()
    if task is None or (actor is not None and not task.is_owned_by(actor)):
        raise Refused("no_task", f"There is no task {file.task} of yours: load its file first.")
    _require_floor(file, Campaign.objects.filter(slug=file.slug).first())
    data = file.model_dump(mode="json")
    with durable():
        campaign, created = Campaign.objects.select_for_update(no_key=True).get_or_create(
            slug=file.slug, defaults={"task": task, "data": data, "created_by": actor}
        )
        if not created and campaign.file == file:
            return campaign, False
        if not created:
            _require_same_terms(campaign, file)
            campaign.data = data
            campaign.__dict__.pop("file", None)
            campaign.save(update_fields=["data"])
        there = set(campaign.slots.values_list("number", flat=True))
        Slot.objects.bulk_create(
            Slot(campaign=campaign, number=number)
            for number in range(1, file.places + 1)
            if number not in there
        )
        _record(campaign, actor, "loaded_campaign", places=file.places)
    return campaign, True


def _require_floor(file: CampaignFile, campaign: Campaign | None) -> None:
    floor = file.pay.units("minimum_hourly")
    seen = queries.overview(campaign).pilot if campaign is not None else None
    for plan, whence in ((file.plan(), "as expected"), (seen, "as the visits so far took")):
        if plan is not None and plan.hourly < floor:
            raise Refused(
                "under_the_floor",
                f"{file.money(file.pay.units('base'))} for {plan.minutes:.1f} minutes, {whence}, "
                f"is {file.money(plan.hourly)} an hour: less than the floor of "
                f"{file.money(floor)}. Raise the base, or ask for less.",
            )


_TERMS: Final = ("task", "platform", "work", "visit", "pay", "people", "signed")


def _require_same_terms(campaign: Campaign, file: CampaignFile) -> None:
    """People began under these terms, and links are out."""
    before = campaign.file
    if file.places < before.places:
        raise Refused("fewer_places", "Places are only added: end the campaign to stop it.")
    if campaign.visits.exists():
        budget = {"budget": None}
        for name in _TERMS:
            old, new = getattr(before, name), getattr(file, name)
            if name == "pay":
                old, new = old.model_copy(update=budget), new.model_copy(update=budget)
            if old != new and name != "people":
                raise Refused(
                    "terms_fixed",
                    f"People have begun under the {name} of {campaign.slug}: make a new campaign.",
                    status=409,
                )


def set_state(*, campaign: Campaign, state: str, actor: User | None) -> None:
    """Pause, resume or end; who is at work finishes."""
    with durable():
        locked = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
        if locked.state == Campaign.State.ENDED and state != Campaign.State.ENDED:
            raise Conflict("ended", "An ended campaign stays ended: load a new one.")
        Campaign.objects.filter(pk=campaign.pk).update(state=state)
        _record(campaign, actor, f"campaign_{state}")
    campaign.state = state


def extend(*, campaign: Campaign, places: int, actor: User | None) -> Campaign:
    """Add places, and what they may cost to the budget."""
    file = campaign.file
    if not 0 < places <= 1_000 or file.people:
        raise Refused(
            "bad_places", "Add 1 to 1,000 places; a panel's people are named in its file."
        )
    wider = file.model_copy(update={"places": file.places + places})
    wider = CampaignFile.model_validate(
        {**wider.model_dump(), "pay": {**wider.pay.model_dump(), "budget": None}}
    )
    return load_campaign(file=wider, actor=actor)[0]


def links_of(campaign: Campaign, base: str = "") -> list[str]:
    """The addresses to give out: one a place where it is signed, else one for all."""
    file = campaign.file
    path = f"{base}{settings.BASE_PATH}/hit/{campaign.slug}/"
    filled = "&".join(f"{name}={text}" for name, text in campaign.platform.placeholders.items())
    if not file.is_signed:
        return [f"{path}?{filled}" if filled and file.platform != "hit" else path]
    more = f"&{filled}" if filled and file.platform != "hit" else ""
    return [f"{path}?k={sign(campaign, number)}{more}" for number in range(1, file.places + 1)]


def sign(campaign: Campaign, number: int) -> str:
    """A place's capability. It cannot say who may use it: whoever opens it first has it."""
    return signing.dumps([campaign.slug, number], salt=SALT)


def slot_in(campaign: Campaign, query: Mapping[str, str]) -> int | None:
    """The place that a link is for; Refused when it is forged, or missing where there must be."""
    text = query.get("k", "")
    if not text and not campaign.file.is_signed:
        return None
    try:
        slug, number = signing.loads(text, salt=SALT)
    except (signing.BadSignature, ValueError, TypeError):
        slug, number = "", 0
    if slug != campaign.slug or not isinstance(number, int):
        raise Refused("bad_link", "This link is not whole: open the one that you were given.")
    return number


# --- workers --------------------------------------------------------------------------------------
def visit_for(campaign: Campaign, arrival: Arrival) -> Visit | None:
    """The latest visit of whoever comes (one query)."""
    mine = queries.visits().filter(
        campaign=campaign, worker__realm=arrival.realm, worker__name=arrival.worker
    )
    return mine.order_by("-started_at").first() if arrival.worker else None


def require_entry(campaign: Campaign, arrival: Arrival) -> None:
    """Refuse whom the campaign does not let in now."""
    if campaign.state == Campaign.State.ENDED:
        raise Refused("ended", "This has ended. Nothing that you did is lost.", status=410)
    if campaign.state == Campaign.State.PAUSED:
        raise Refused("paused", "This is paused: try the same link again later.", status=409)
    rules = campaign.file.let_in
    if rules.only and arrival.worker not in rules.only:
        raise Refused("not_invited", "This is for people who were asked by name.", status=403)
    if rules.not_in:
        before = Visit.objects.filter(
            worker__realm=arrival.realm,
            worker__name=arrival.worker,
            campaign__slug__in=rules.not_in,
        )
        if before.exists():
            raise Refused(
                "took_part", "You took part in one like it: this is for others.", status=403
            )


def require_room(campaign: Campaign, arrival: Arrival, slot: int | None) -> None:
    """Refuse where there is no place now; at the start it is asked again.

    A visit whose assignment comes to somebody else now was returned, and is in nobody's way.
    """
    returned = Q(state=Visit.State.OPEN, assignment=arrival.assignment)
    held = campaign.visits.filter(state__in=Visit.HOLDS).exclude(returned)
    if slot is not None:
        held = held.filter(slot__number=slot)
    if held.count() >= (campaign.file.places if slot is None else 1):
        raise _taken(slot)


def begin(
    *, campaign: Campaign, arrival: Arrival, slot: int | None, consent: str, address: str = ""
) -> tuple[Visit, str]:
    """Take a place for whoever has agreed; returns the visit and the token of its page.

    Of two who open one place's link at the same moment one gets it: the database says which.
    """
    require_entry(campaign, arrival)
    if consent != campaign.file.consent.version:
        raise Refused("consent", "What you agree to has changed meanwhile: read it again.")
    worker = worker_of(arrival)
    supersede(campaign, arrival)
    visit = Visit(
        campaign=campaign,
        worker=worker,
        assignment=arrival.assignment,
        consent=consent,
        code=new_code(),
        place=_place(campaign, address),
    )
    token, visit.token = queries.new_token(visit.id)
    try:
        with durable():
            visit.slot = _take(campaign, slot)
            visit.session = WorkSession.objects.create(user=worker.user, kind=WorkSession.Kind.LINK)
            visit.save(force_insert=True)
            _keep_apart(visit)
            _record(campaign, worker.user, "began_visit", subject=visit, consent=consent)
    except IntegrityError:  # this place, or this person's visit, is there since a moment
        if (mine := visit_for(campaign, arrival)) is not None and mine.state in Visit.ONCE:
            return reopen(mine)
        raise _taken(slot) from None
    return queries.visits().get(pk=visit.pk), token


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
    free = queries.free_slots(campaign)
    if connection.features.has_select_for_update_skip_locked:
        free = free.select_for_update(skip_locked=True, of=("self",))
    slot = free.first()
    if slot is None:
        raise _taken(None)
    return slot


def worker_of(arrival: Arrival) -> Worker:
    """The person behind a platform's name, who is made at their first visit, with no account that
    anybody could sign in to."""
    known = Worker.objects.select_related("user").filter(realm=arrival.realm, name=arrival.worker)
    if (worker := known.first()) is not None:
        return worker
    try:
        with durable():
            user = User(role=Role.ANNOTATOR)
            user.username = user.pseudonym
            user.set_unusable_password()
            user.save()
            return Worker.objects.create(realm=arrival.realm, name=arrival.worker, user=user)
    except IntegrityError:
        return known.get()


def supersede(campaign: Campaign, arrival: Arrival) -> None:
    """An assignment that comes to a second worker was returned by the first."""
    older = Visit.objects.filter(
        campaign=campaign, assignment=arrival.assignment, state=Visit.State.OPEN
    ).exclude(worker__name=arrival.worker, worker__realm=arrival.realm)
    for visit in older.select_related("campaign__task", "worker__user"):
        leave(visit=visit, state=Visit.State.RETURNED)


def reopen(visit: Visit) -> tuple[Visit, str]:
    """Take the work to where its link was opened; whoever had it open before is told so."""
    token, kept = queries.new_token(visit.id)
    Visit.objects.filter(pk=visit.pk).update(token=kept)
    return queries.visits().get(pk=visit.pk), token


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
        if not right and visit.attempts >= ATTEMPTS:
            _end(visit, Visit.State.SCREENED_OUT)
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
    """End a visit whose work is done; where who it is is known anyhow it counts at once."""
    if visit.state == Visit.State.OPEN and not queries.progress(visit).may_finish:
        raise Refused("not_done", "There is something left: finish it, or return it.", status=409)
    with durable():
        locked = Visit.objects.select_for_update(no_key=True, of=("self",)).get(pk=visit.pk)
        if locked.state == Visit.State.OPEN:
            _end(locked, Visit.State.FINISHED)
    give_up(validator=visit.worker.user, task=visit.campaign.task)
    if visit.campaign.platform.confirms_itself:
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
    _record(visit.campaign, None, f"visit_{state}", subject=visit)


def time_out(now: datetime | None = None) -> int:
    """Let visits run out whose time is over; returns how many."""
    now = now or timezone.now()
    done = 0
    for campaign in Campaign.objects.filter(visits__state=Visit.State.OPEN).distinct():
        begun_before = now - timedelta(minutes=campaign.file.time_limit)
        late = queries.visits().filter(
            campaign=campaign, state=Visit.State.OPEN, started_at__lt=begun_before
        )
        for visit in late:
            leave(visit=visit, state=Visit.State.TIMED_OUT)
            done += 1
    return done


# --- the platform's word --------------------------------------------------------------------------
def settle(*, visit: Visit, confirmed: bool, actor: User | None, reason: str = "") -> None:
    """Confirm a visit, or reject it by an owner's word; never a machine's.

    Confirmed, all that it made counts at once. One that timed out here may be confirmed still, as
    long as nobody else has its place.
    """
    least = visit.campaign.platform.reason_length
    if not confirmed and len(reason.strip()) < least:
        raise Refused(
            "reason_missing", f"Say why, in {least} characters or more: the worker is told."
        )
    state = Visit.State.CONFIRMED if confirmed else Visit.State.REJECTED
    with durable():
        locked = Visit.objects.select_for_update(no_key=True, of=("self",)).get(pk=visit.pk)
        if locked.state == state:
            return
        if locked.state not in (Visit.State.FINISHED, Visit.State.TIMED_OUT):
            raise Conflict(
                "not_finished", f"It is {locked.get_state_display()}: nothing is to be decided."
            )
        locked.state, locked.settled_at, locked.reason = state, timezone.now(), reason.strip()
        try:
            locked.save(update_fields=["state", "settled_at", "reason"])
        except IntegrityError:
            raise Conflict("slot_taken", "Somebody else has its place: add one first.") from None
        _record(visit.campaign, actor, f"visit_{state}", subject=locked, reason=reason.strip())
    visit.state = state
    if confirmed:
        let_count(Q(session=visit.session_id))


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


def _place(campaign: Campaign, address: str) -> str:
    """A keyed hash, of this task alone: it says whether two addresses are one, and nothing else."""
    if not address:
        return ""
    key = f"{settings.SECRET_KEY}:{campaign.task_id}".encode()
    return hmac.new(key, address.encode(), hashlib.sha256).hexdigest()[:32]


def new_code() -> str:
    """A completion code: 12 characters that nobody mistakes (59 bits)."""
    return "".join(secrets.choice(_LETTERS) for _ in range(12))


def _record(
    campaign: Campaign, actor: User | None, verb: str, *, subject: Any = None, **data: Any
) -> None:
    record_event(
        actor=actor,
        verb=verb,
        subject=subject or campaign,
        scope=campaign.task.slug,
        data={"campaign": campaign.slug, **data},
    )
