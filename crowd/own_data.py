"""All that is stored about somebody who came by a link, for themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from asgiref.sync import async_to_sync

from annotate.own_work import own_data
from crowd import queries
from crowd.models import Visit


def lines_about(visit: Visit) -> Iterator[str]:
    """Their work, then their visits, as JSON lines; where nobody vouches that more under the name
    is theirs, what was done by this link (`queries.within_reach`)."""
    visits, all_of_it = queries.within_reach(visit)

    async def lines() -> list[str]:
        return [line async for line in own_data(visit.worker.user)]

    for line in async_to_sync(lines)():
        if all_of_it or any(_is_of(one, json.loads(line)) for one in visits):
            yield line
    for one in visits:
        yield json.dumps(_row(one), ensure_ascii=False) + "\n"


def _is_of(visit: Visit, row: dict[str, Any]) -> bool:
    """Whether this was done in a visit's time: nobody is on two at once."""
    if "created_at" not in row:  # the person
        return False
    at = datetime.fromisoformat(row["created_at"])
    return visit.started_at <= at and (visit.finished_at is None or at <= visit.finished_at)


def _row(visit: Visit) -> dict[str, Any]:
    money = visit.campaign.file.money
    paid = visit.payments.prefetch_related("dues__example")
    return {
        "kind": "visit",
        "campaign": visit.campaign.slug,
        "platform": visit.worker.realm,
        "name": visit.worker.name,
        "assignment": visit.assignment,
        # Before the end it would be paid for what is not done.
        "code": visit.code if visit.state in ("finished", "confirmed") else None,
        "state": visit.state,
        "reason": visit.reason,
        "consent": visit.consent,
        "attempts": visit.attempts,
        "place": visit.place,
        **{
            name: at and at.isoformat()
            for name in ("started_at", "checked_at", "seen_at", "finished_at", "settled_at")
            for at in (getattr(visit, name),)
        },
        "minutes": round(visit.seconds / 60, 1),
        "signals": visit.signals,
        "payments": [
            {
                "kind": one.kind,
                "amount": money(one.amount),
                "state": one.state,
                "planned_at": one.created_at.isoformat(),
                "for": [
                    {
                        "earned_by": due.earned_by,
                        "amount": money(due.amount),
                        "example": due.example and str(due.example.uid),
                        "vote": due.vote_id,
                    }
                    for due in one.dues.all()
                ],
            }
            for one in paid
        ],
    }
