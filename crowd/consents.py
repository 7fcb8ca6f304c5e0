"""What people agreed to before they worked, for a release's card."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from datetime import UTC, datetime

from accounts.models import Event
from annotate.models import Task
from crowd.models import Campaign, Visit, Worker

NEVER = "9999"  # after every time that is written so


Terms = tuple[str, str, str, bool]


def agreed_to(task: Task) -> tuple[dict[str, list[tuple[str, str, Terms]]], int]:
    """The visits of a task's people by pseudonym, oldest first, and how many had themselves
    forgotten; four queries.

    Of each visit from when to when, and what was agreed to: the platform, the text's version and
    SHA-256, and whether what was made may stay once somebody is forgotten.
    """
    campaigns = {one.pk: one for one in Campaign.objects.filter(task=task)}
    texts = _texts(campaigns)
    rows = Visit.objects.filter(campaign__in=campaigns).order_by("started_at")
    visits: defaultdict[str, list[tuple[str, str, Terms]]] = defaultdict(list)
    for name, campaign, version, begun, over in rows.values_list(
        "worker__user__pseudonym", "campaign", "consent", "started_at", "finished_at"
    ):
        file = campaigns[campaign].file
        text = texts.get((campaigns[campaign].slug, version), "")
        terms = (file.platform, version, text, file.consent.keep)
        visits[name].append((_iso(begun), _iso(over) if over else NEVER, terms))
    gone = Worker.objects.filter(visits__campaign__in=campaigns, forgotten_at__isnull=False)
    return visits, gone.distinct().count()


def _texts(campaigns: dict[int, Campaign]) -> dict[tuple[str, str], str]:
    """The SHA-256 of each version's text, which a campaign's events keep."""
    loaded = Event.objects.filter(
        object_type="campaign", object_id__in=map(str, campaigns), verb="loaded_campaign"
    ).order_by("id")
    told = loaded.values_list("data", flat=True)
    said = [(data["campaign"], data["consent"]) for data in told if "consent" in data]
    said += [(one.slug, one.file.consent.model_dump()) for one in campaigns.values()]
    return {
        (slug, consent["version"]): hashlib.sha256(consent["text"].encode()).hexdigest()
        for slug, consent in said
    }


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
