"""What every page of a visit reads, built once: building it anew was half of what a page costs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from annotate.models import Example
from core.sql import compiled
from core.sql.compiled import Compiled, Given
from crowd.models import Campaign, Slot, Visit, Worker

insert = compiled.insert


def visits() -> QuerySet[Visit]:
    """Visits with all that their pages look at."""
    return Visit.objects.select_related("campaign__task__config", "worker__user", "slot", "session")


def free_slots(campaign: Any) -> QuerySet[Slot]:
    """The places of a campaign that nobody holds."""
    free = Slot.objects.filter(campaign=campaign).exclude(visits__state__in=Visit.HOLDS)
    return free.order_by("number")


def _of(worker: str = "worker__") -> Q:
    return Q(**{f"{worker}realm": Given("realm"), f"{worker}name": Given("worker")})


_CAMPAIGN = Compiled(
    lambda: Campaign.objects.select_related("task__config").filter(slug=Given("slug"))
)
_VISIT = Compiled(lambda: visits().filter(pk=Given("visit")))
_BY_LINK = Compiled(
    lambda: (
        visits()
        .filter(_of(), campaign=Given("campaign"), assignment=Given("assignment"))
        .order_by("-started_at")
    )
)
_NEAR = Compiled(
    lambda: (
        visits()
        .filter(_of() | Q(assignment=Given("assignment")), campaign=Given("campaign"))
        .order_by("started_at", "pk")
        .select_for_update(no_key=True, of=("self",))
    )
)
_HELD_NEAR = Compiled(
    lambda: visits().filter(
        _of() | Q(assignment=Given("assignment")),
        campaign=Given("campaign"),
        state__in=Visit.HOLDS,
    )
)
_HELD_AT = Compiled(
    lambda: visits().filter(
        campaign=Given("campaign"), slot__number=Given("number"), state__in=Visit.HOLDS
    )
)
_OTHERS_NEAR = Compiled(
    lambda: (
        Visit.objects.filter(
            Q(slot=Given("slot")) | Q(assignment=Given("assignment")), campaign=Given("campaign")
        )
        .exclude(worker=Given("worker"))
        .values_list("worker__user", flat=True)
    )
)
_AS_IT_IS = Compiled(
    lambda: Campaign.objects.filter(pk=Given("campaign")).values_list("data", "state")
)
_MADE_ON = Compiled(
    lambda: (
        Example.objects.filter(session=Given("session"), retracted_at=None)
        .defer("input", "probabilities")
        .order_by("id")
    )
)
_WORKER = Compiled(
    lambda: Worker.objects.select_related("user").filter(
        _of("") | Q(realm=Given("realm"), name=Given("once"))
    )
)
_FREE = Compiled(lambda: free_slots(Given("campaign"))[:1])
# A place whose taker has not committed yet is passed by, not waited for.
_FREE_LOCKED = Compiled(
    lambda: free_slots(Given("campaign")).select_for_update(skip_locked=True, of=("self",))[:1]
)


def campaign(slug: str) -> Campaign | None:
    return _CAMPAIGN.first(slug=slug)


def visit(visit_id: UUID) -> Visit | None:
    return _VISIT.first(visit=visit_id)


def by_link(campaign: int, realm: str, worker: str, assignment: str) -> list[Visit]:
    """What this worker did under this assignment, newest first."""
    return _BY_LINK.all(campaign=campaign, realm=realm, worker=worker, assignment=assignment)


def near(campaign: int, realm: str, worker: str, assignment: str) -> list[Visit]:
    """All visits of this worker or under this assignment, oldest first, locked."""
    return _NEAR.all(campaign=campaign, realm=realm, worker=worker, assignment=assignment)


def held_near(campaign: int, realm: str, worker: str, assignment: str) -> list[Visit]:
    """Those of them that hold a place."""
    return _HELD_NEAR.all(campaign=campaign, realm=realm, worker=worker, assignment=assignment)


def held_at(campaign: int, number: int) -> list[Visit]:
    """What holds this place: one visit, or none."""
    return _HELD_AT.all(campaign=campaign, number=number)


def others_near(visit: Visit) -> set[int]:
    """Who else had a visit's place or assignment: their accounts."""
    return set(
        _OTHERS_NEAR.all(
            slot=visit.slot_id,
            assignment=visit.assignment,
            campaign=visit.campaign_id,
            worker=visit.worker_id,
        )
    )


def as_it_is(campaign: int) -> tuple[Any, str] | None:
    """A campaign's file and state now."""
    return _AS_IT_IS.first(campaign=campaign)


def made_on(session: UUID) -> list[Example]:
    """What was made in a session and not taken back, oldest first, without the inputs."""
    return _MADE_ON.all(session=session)


def worker(realm: str, name: str, once: str) -> Worker | None:
    """The person of this name, or who had it and was forgotten: `once` is what is kept of it."""
    return _WORKER.first(realm=realm, worker=name, once=once)


def free_slot(campaign: int, *, lock: bool = False) -> Slot | None:
    return (_FREE_LOCKED if lock else _FREE).first(campaign=campaign)
