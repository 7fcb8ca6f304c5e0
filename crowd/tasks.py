"""Jobs of the background worker: what a platform with an API says of visits and payments."""

from __future__ import annotations

from django.db.models import Q
from django_tasks import task

from crowd import queries
from crowd.by_api import follow_visit, remote_of, send
from crowd.models import Campaign, Payment


@task()
def follow_campaign(campaign_id: int) -> None:
    """Ask about what waits, and send what an owner has planned; again it sends nothing twice."""
    campaign = Campaign.objects.select_related("task").get(pk=campaign_id)
    if remote_of(campaign) is not None:
        send(campaign)


@task()
def follow_assignment(realm: str, assignment: str) -> None:
    """Ask about one visit, since an event said that it changed.

    Events repeat and come out of order: none is believed, the platform is asked what is true now.
    """
    for visit in queries.visits().filter(worker__realm=realm, assignment=assignment):
        if (remote := remote_of(visit.campaign)) is not None:
            follow_visit(visit, remote)


def enqueue_due() -> None:
    """Add a job for each campaign of which something waits for its platform's word, or to be sent:
    whoever was to send it may have been killed, or found another payer at it."""
    planned = Q(state=Payment.State.PLANNED)
    paid = Payment.objects.filter(queries.is_followed() | planned)
    waiting = Q(visits__in=queries.unsettled()) | Q(visits__payments__in=paid)
    for campaign in Campaign.objects.filter(waiting).distinct():
        if remote_of(campaign) is not None:
            follow_campaign.enqueue(campaign.pk)
