"""What owners do: load a campaign's file, pause, extend, and give out its links."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.core import signing

from accounts.models import User
from accounts.services import record_event
from annotate.models import Task
from core.errors import Conflict, Refused
from core.transactions import durable
from crowd import queries
from crowd.campaign_file import CampaignFile
from crowd.models import Campaign, Slot

SALT: Final = "a place of a campaign"


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
        record(campaign, actor, "loaded_campaign", places=file.places)
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
        record(campaign, actor, f"campaign_{state}")
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
