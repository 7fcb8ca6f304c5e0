"""Reads: how a campaign goes, and what it costs by what was seen of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db.models import (
    Count,
    Exists,
    F,
    Func,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)
from django.db.models.functions import Coalesce

from annotate.models import Barred, Example, Task
from crowd import statements
from crowd.campaign_file import CostPlan
from crowd.earned import owed, payable
from crowd.models import Campaign, Slot, Visit
from crowd.queries import visits
from scoring.queries import Rate, wilson_rate


def campaigns_of(task: Task) -> QuerySet[Campaign]:
    """A task's campaigns with how full and how fruitful they are, newest first."""
    holding = Visit.objects.filter(campaign=OuterRef("pk"), state__in=Visit.HOLDS)
    return (
        Campaign.objects.filter(task=task)
        .annotate(
            free=_count(Slot.objects.filter(campaign=OuterRef("pk"))) - _count(holding),
            foolings=_count(_foolings(OuterRef("pk"))),
            verified=_count(_foolings(OuterRef("pk")).filter(status=Example.Status.VERIFIED)),
        )
        .order_by("-created_at")
    )


def _foolings(campaign: Any) -> QuerySet[Example]:
    return Example.objects.filter(session__visit__campaign=campaign, retracted_at=None, fooled=True)


def _count(rows: QuerySet[Any]) -> Any:
    return Coalesce(
        Subquery(rows.order_by().values(n=Func("pk", function="COUNT")), IntegerField()), 0
    )


@dataclass(frozen=True)
class Overview:
    """How a campaign goes, in the order of a visit's life."""

    states: list[tuple[str, int]]
    places: int
    free: int
    minutes: float | None  # median of those that finished
    foolings: int
    provisional: int
    verified: int
    owed: int
    plan: CostPlan
    pilot: CostPlan | None  # the same by what was seen so far


def overview(campaign: Campaign) -> Overview:
    counts = Counter(dict(campaign.visits.values_list("state").annotate(n=Count("pk")).order_by()))
    foolings = _foolings(campaign)
    return Overview(
        [(state.label, counts[state.value]) for state in Visit.State],
        campaign.file.places,
        statements.free_slots(campaign).count(),
        _minutes(campaign),
        foolings.count(),
        foolings.filter(provisional=True).count(),
        foolings.filter(status=Example.Status.VERIFIED).count(),
        sum(due.amount for _, dues in owed(payable(campaign)) for due in dues),
        campaign.file.plan(),
        seen_plan(campaign),
    )


def seen_plan(campaign: Campaign, pilot: Campaign | None = None) -> CostPlan | None:
    """What its file costs by the minutes and the rate of the visits so far, its own or a pilot's;
    None before any."""
    seen = pilot or campaign
    if (minutes := _minutes(seen)) is None:
        return None
    made = Example.objects.filter(session__visit__campaign=seen, retracted_at=None).count()
    verified = _foolings(seen).filter(status=Example.Status.VERIFIED).count()
    return campaign.file.plan(minutes, verified / made if made else None)


def pilot_of(campaign: Campaign) -> Campaign | None:
    """The newest campaign of the task, this one included, that asked for the same and whose visits
    say what that takes."""
    for one in Campaign.objects.filter(task=campaign.task_id).order_by("-pk"):
        same = one.file.work == campaign.file.work and one.file.visit == campaign.file.visit
        if same and _minutes(one) is not None:
            return one
    return None


def _minutes(campaign: Campaign) -> float | None:
    over = campaign.visits.filter(state__in=("finished", "confirmed"), seconds__gt=0)
    seconds = sorted(over.values_list("seconds", flat=True))
    return seconds[len(seconds) // 2] / 60 if seconds else None


def visit_rows(campaign: Campaign) -> QuerySet[Visit]:
    """Every visit with its counts, newest first."""
    fooled = Q(session__examples__fooled=True, session__examples__retracted_at=None)
    return (
        visits()
        .filter(campaign=campaign)
        .annotate(
            made=Count("session__examples", distinct=True),
            fooled=Count("session__examples", filter=fooled, distinct=True),
            verified=Count(
                "session__examples",
                filter=fooled & Q(session__examples__status=Example.Status.VERIFIED),
                distinct=True,
            ),
            minutes=F("seconds") / 60,
            barred=Exists(
                Barred.objects.filter(task=campaign.task_id, person=OuterRef("worker__user"))
            ),
        )
        .order_by("-started_at", "pk")
    )


# --- how much signals say -------------------------------------------------------------------------
SIGNALS: Final = {"paste": "Pastes", "away": "Absences", "burst": "Bursts"}


class Said(NamedTuple):
    """On how many visits a signal stands whose foolings validators have confirmed, all of them
    (where it would be a false alarm) or none."""

    title: str
    confirmed: Rate
    not_confirmed: Rate


def said_by_signals(task: Task) -> list[Said]:
    """Each signal's error on a task's visits that are over, of all campaigns (one query); empty
    where nothing is known. Validators see no signals, so that their verdicts are not made by them.
    """
    over = Visit.objects.filter(campaign__task=task, worker__forgotten_at=None)
    fooled = Q(session__examples__fooled=True, session__examples__retracted_at=None)
    status, wrong = Example.Status, (Example.Status.REJECTED, Example.Status.RELABELLED)
    rows = (
        over.exclude(state=Visit.State.OPEN)
        .annotate(
            fooled=Count("session__examples", filter=fooled),
            right=Count(
                "session__examples", filter=fooled & Q(session__examples__status=status.VERIFIED)
            ),
            wrong=Count(
                "session__examples", filter=fooled & Q(session__examples__status__in=wrong)
            ),
        )
        .filter(fooled__gt=0)
        .filter(Q(right=F("fooled"), state=Visit.State.CONFIRMED) | Q(wrong=F("fooled")))
    )
    seen: dict[bool, list[dict[str, int]]] = {True: [], False: []}
    for signals, right in rows.values_list("signals", "right"):
        seen[right > 0].append(signals)
    if not any(seen.values()):
        return []

    def rate(name: str, of: list[dict[str, int]]) -> Rate:
        return wilson_rate(sum(bool(signals.get(name)) for signals in of), len(of))

    return [
        Said(title, rate(name, seen[True]), rate(name, seen[False]))
        for name, title in SIGNALS.items()
    ]
