"""What owners do: load a campaign's file, pause, extend, and give out its links."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.core import signing
from django.db import IntegrityError
from django.db.models import QuerySet

from accounts.models import User
from accounts.services import record_event
from annotate.models import Task
from annotate.statements import open_round
from core import strict_yaml
from core.errors import Conflict, Refused
from core.transactions import durable
from crowd import earned, overview
from crowd.campaign_file import ANNOTATE, CampaignFile
from crowd.models import Campaign, Slot
from crowd.platforms import origin_of, platform_named

SALT: Final = "a place of a campaign"


def load_campaign(*, file: CampaignFile, actor: User | None = None) -> tuple[Campaign, bool]:
    """Create a campaign from its file, or change what may be changed while people are at it.

    Returns the campaign and whether anything changed. Refused when it pays less than its floor, by
    what its file expects or by what its visits took so far.
    """
    task = Task.objects.filter(slug=file.task).first()
    if task is None or (actor is not None and not task.is_owned_by(actor)):
        raise Refused("no_task", f"There is no task {file.task} of yours: load its file first.")
    platform_named(file.platform).require_fit(file, settings.CROWD)
    try:
        with durable():
            campaign, created = _locked().get_or_create(
                slug=file.slug, task=task, defaults={"data": {}, "created_by": actor}
            )
            if not created and campaign.file == file:
                return campaign, False
            _change(campaign, file, actor)
    except IntegrityError:  # the name is one for all tasks: it is part of a link
        raise Refused(
            "slug_taken", f"Another task has a campaign {file.slug}: choose another slug."
        ) from None
    return campaign, True


def costs_in_words(campaign: Campaign) -> str:
    """What it will cost: at most, as its file expects, and as the pilot's visits went."""
    plan, words = campaign.file.plan(), campaign.file.money
    said = (
        f"{campaign.file.places} places. At most {words(plan.at_most)}, {words(plan.expected)} as "
        f"expected; {words(plan.hourly)} an hour are sure, {words(plan.hourly_expected)} expected."
    )
    pilot = overview.pilot_of(campaign)
    if pilot is not None and (seen := overview.seen_plan(campaign, pilot)) is not None:
        said += (
            f" As the visits of {pilot.slug} went ({seen.minutes:.1f} minutes): "
            f"{words(seen.expected)}; {words(seen.hourly)} an hour sure, "
            f"{words(seen.hourly_expected)} expected."
        )
    return said


def _locked() -> QuerySet[Campaign]:
    """Locked so that nobody begins a visit meanwhile, whose row refers to this one."""
    return Campaign.objects.select_for_update()


def _change(campaign: Campaign, file: CampaignFile, actor: User | None) -> None:
    """Give a campaign this file; within a transaction that has its row locked."""
    if campaign.data:
        _require_same_terms(campaign, file)
    else:
        _require_enough_is_taken(campaign.task, file)
    campaign.data = file.model_dump(mode="json")
    campaign.__dict__.pop("file", None)
    _require_floor(campaign)
    campaign.save(update_fields=["data"])
    there = set(campaign.slots.values_list("number", flat=True))
    Slot.objects.bulk_create(
        Slot(campaign=campaign, number=number)
        for number in range(1, file.places + 1)
        if number not in there
    )
    # What was agreed to under each version stays to be read here.
    consent = file.consent.model_dump()
    record(campaign, actor, "loaded_campaign", places=file.places, consent=consent)


def _require_enough_is_taken(task: Task, file: CampaignFile) -> None:
    """Refuse to ask more of a visit than the task takes of a person, who would not be paid then."""
    if task.config is None:
        return
    round_ = open_round(task.pk)
    rules = round_.limits if round_ else task.config.file.rounds
    size, most = file.visit.examples, (rules.submissions_each, task.config.file.daily)
    taken = min((one for one in most if one is not None), default=None)
    if ANNOTATE in file.work and size and taken is not None and taken < size:
        raise Refused(
            "more_than_taken",
            f"A visit asks for {size} examples, and the task takes {taken} of a person: ask for "
            "less, or change its submissions_each or daily.",
        )


def _require_floor(campaign: Campaign) -> None:
    file = campaign.file
    floor = file.pay.units("minimum_hourly")
    for plan, whence in (
        (file.plan(), "as expected"),
        (overview.seen_plan(campaign), "as the visits so far took"),
    ):
        if plan is not None and plan.hourly < floor:
            raise Refused(
                "under_the_floor",
                f"{file.money(file.pay.units('base'))} for {plan.minutes:.1f} minutes, {whence}, "
                f"is {file.money(plan.hourly)} an hour: less than the floor of "
                f"{file.money(floor)}. Raise the base, or ask for less.",
            )


def _require_same_terms(campaign: Campaign, file: CampaignFile) -> None:
    """What people were told when they began holds, and their links go on meaning them."""
    before, platform = campaign.file, campaign.platform
    if file.places < before.places:
        raise Refused("fewer_places", "Places are only added: end the campaign to stop it.")
    if not campaign.visits.exists():
        return
    pay = before.pay.model_copy(update={"budget": file.pay.budget})
    same = {
        **{name: getattr(before, name) == getattr(file, name) for name in _TERMS},
        "pay": pay == file.pay,
        "people": file.people[: len(before.people)] == before.people,
        "hosts of return_to": platform.realm(before) == platform.realm(file)
        and {*map(origin_of, before.return_to)} <= {*map(origin_of, file.return_to)},
        "frame": {*platform.ancestors(before)} <= {*platform.ancestors(file)},
        "study": before.study in (None, file.study),
        "check (its questions may be others)": bool(before.check) == bool(file.check),
        "time_limit": file.time_limit >= before.time_limit,
        "consent's keep": before.consent.keep == file.consent.keep,
        "consent (give another text another version)": before.consent.text == file.consent.text
        or before.consent.version != file.consent.version,
    }
    changed = ", ".join(name for name, holds in same.items() if not holds)
    if changed:
        raise Refused(
            "terms_fixed",
            f"People have begun under the {changed} of {campaign.slug}: make a new campaign.",
            status=409,
        )
    if file.budget < before.budget and (owed := earned.may_be_owed(campaign)) > file.budget:
        raise Refused(
            "over_budget",
            f"{file.money(owed)} may be owed by now to those who came: a budget holds them all.",
            status=409,
        )


_TERMS: Final = ("platform", "work", "visit", "signed", "secured", "parameters")


def set_state(*, campaign: Campaign, state: str, actor: User | None) -> None:
    """Pause, resume or end; who is at work finishes."""
    with durable():
        locked = _locked().get(pk=campaign.pk)
        if locked.state == Campaign.State.ENDED and state != Campaign.State.ENDED:
            raise ended()
        Campaign.objects.filter(pk=campaign.pk).update(state=state)
        record(campaign, actor, f"campaign_{state}")
    campaign.state = state


def ended() -> Conflict:
    return Conflict("ended", "An ended campaign stays ended: load a new one.")


def extend(*, campaign: Campaign, places: int, actor: User | None) -> Campaign:
    """Add places, as many as the budget holds."""
    with durable():
        locked = _locked().get(pk=campaign.pk)
        if not 0 < places <= 1_000 or locked.file.people:
            raise Refused(
                "bad_places", "Add 1 to 1,000 places; a panel's people are named in its file."
            )
        if locked.state == Campaign.State.ENDED:
            raise ended()
        wider = {**locked.file.model_dump(), "places": locked.file.places + places}
        try:
            file = strict_yaml.parse(CampaignFile, wider, what="campaign")
        except strict_yaml.NotYaml as error:
            raise Refused("bad_places", f"{error}.") from error
        _change(locked, file, actor)
    return locked


def links_of(campaign: Campaign, base: str = "") -> list[str]:
    """The addresses to give out: one a place where it is signed, else one for all."""
    file = campaign.file
    path = f"{base}{settings.BASE_PATH}/hit/{campaign.slug}/"
    filled = "&".join(f"{name}={text}" for name, text in campaign.platform.placeholders.items())
    if not file.is_signed:
        return [f"{path}?{filled}" if filled and file.platform != "hit" else path]
    more = f"&{filled}" if filled and file.platform != "hit" else ""
    return [f"{path}?k={sign(campaign, number)}{more}" for number in range(1, file.places + 1)]


class Capability(NamedTuple):
    """What a place's link is signed for; one of before this had two entries says nothing of pay.

    It cannot say who may use it: whoever opens it first has it.
    """

    campaign: str
    number: int
    promise: str = ""
    until: float | None = None  # seconds since 1970: by when to begin, whatever is said later


def sign(campaign: Campaign, number: int) -> str:
    file = campaign.file
    until = file.until.timestamp() if file.until else math.inf
    promised = Capability(campaign.slug, number, file.promise(number), until)
    return signing.dumps(promised, salt=SALT)


def capability_in(campaign: Campaign, query: Mapping[str, str]) -> Capability | None:
    """What a link is for; Refused when it is forged, missing where there must be one, or promises
    what is no longer so."""
    text, file = query.get("k", ""), campaign.file
    if not text and not file.is_signed:
        return None
    try:
        held = Capability(*signing.loads(text, salt=SALT))
    except (signing.BadSignature, ValueError, TypeError):
        held = Capability("", 0)
    if held.campaign != campaign.slug:
        raise Refused("bad_link", "This link is not whole: open the one that you were given.")
    if held.promise not in ("", file.promise(held.number)):
        raise Refused(
            "other_terms",
            "What is asked for or paid has changed since this link was made: ask for a new one.",
            status=409,
        )
    return held


def record(
    campaign: Campaign, actor: User | None, verb: str, *, subject: Any = None, **data: Any
) -> None:
    record_event(
        actor=actor,
        verb=verb,
        subject=subject or campaign,
        scope=campaign.task.slug,
        data={"campaign": campaign.slug, **data},
    )
