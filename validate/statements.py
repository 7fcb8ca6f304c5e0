"""The reads that every answer waits for, written out: building them anew costs more than they do.

A validator's next item and their progress were two thirds ORM. What waits for somebody is said once
more, for all tasks together, by `validate.queries.waiting_by_task`; a test compares the two.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.utils import timezone

from annotate.models import Example
from core.sql import prepared
from core.sql.compiled import Compiled, Given, adapted

VALIDATES_WITHIN = timedelta(days=7)
MAX_WAITING = 100  # counting on would cost more than the next item itself (1,000: 2.5 ms)

# What this person could be asked about: not their own, not answered, claimed or skipped by them.
# OFFSET keeps PostgreSQL from making joins of these: it would join with all that the person ever
# answered, where a look into an index for each of a few items is all it takes.
_WAITING = """
    q.task_id = %(task)s AND NOT q.withdrawn AND q.author_id <> %(validator)s
    AND NOT EXISTS (
        SELECT 1 FROM validate_vote v
        WHERE v.example_id = q.example_id AND v.validator_id = %(validator)s LIMIT 1 OFFSET 0)
    AND NOT EXISTS (
        SELECT 1 FROM validate_lease l
        WHERE l.example_id = q.example_id AND l.validator_id = %(validator)s
        AND (l.ended_at IS NULL OR l."end" = 'skipped') LIMIT 1 OFFSET 0)
"""

CAP_FROM_VOTES = 20

# Of whose votes this person gave as many as one person may. Where few people validate, each may
# give twice an even share, or the queue would stand still.
_AT_CAP = f"""
    SELECT s.author_id FROM validate_authorshare s
    WHERE s.task_id = %(task)s AND s.validator_id = %(validator)s AND s.votes >= %(least)s AND (
        SELECT SUM(o.votes) >= {CAP_FROM_VOTES}
            AND s.votes + 1 > CAST(%(cap)s AS double precision) * (SUM(o.votes) + 1)
            AND 2 * (SUM(o.votes) + 1) < (s.votes + 1) * (
                SELECT COUNT(*) FROM validate_reliability r
                WHERE r.task_id = %(task)s AND r.quarantined_at IS NULL
                    AND r.answered_at >= %(since)s)
        FROM validate_authorshare o
        WHERE o.task_id = %(task)s AND o.author_id = s.author_id)
"""  # noqa: S608

_FREE = f"""
    SELECT q.example_id FROM validate_queueitem q
    WHERE {_WAITING} AND q.votes_wanted > q.leases_active AND q.author_id NOT IN ({_AT_CAP})
    ORDER BY q.priority, q.urgency DESC, q.example_id LIMIT 1 {{lock}}
"""  # noqa: S608 (nobody's text)

_PROGRESS = f"""
    SELECT COALESCE(r.answered, 0),
        CASE WHEN r.answered_at >= %(midnight)s THEN r.answered_today ELSE 0 END,
        claimed.skipped, waiting.items,
        COALESCE(r.recent_gold, 0) + claimed.held_gold + claimed.skipped_gold
    FROM (
        SELECT COUNT(*) FILTER (WHERE l.ended_at IS NULL AND l.gold) AS held_gold,
            COUNT(DISTINCT CASE WHEN l.ended_at IS NOT NULL AND l.gold
                THEN l.example_id END) AS skipped_gold,
            COUNT(DISTINCT CASE WHEN l.ended_at IS NOT NULL AND (l.gold OR NOT q.withdrawn)
                THEN l.example_id END) AS skipped
        FROM validate_lease l JOIN annotate_example e ON e.id = l.example_id
            LEFT JOIN validate_queueitem q ON q.example_id = l.example_id
        WHERE l.validator_id = %(validator)s AND e.task_id = %(task)s
            AND (l.ended_at IS NULL OR l."end" = 'skipped')
    ) claimed CROSS JOIN (
        SELECT COUNT(*) AS items FROM (
            SELECT 1 FROM validate_queueitem q WHERE {_WAITING} LIMIT {MAX_WAITING}) some_items
    ) waiting
    LEFT JOIN validate_reliability r
        ON r.task_id = %(task)s AND r.validator_id = %(validator)s
"""  # noqa: S608


class Held(NamedTuple):
    """A lease that somebody holds."""

    id: UUID
    example_id: int


class Counts(NamedTuple):
    """What `counts` counts; `waiting` stops at MAX_WAITING.

    `gold` is what came in place of an item that still waits: held, skipped, or answered lately
    (`Reliability.recent_gold`).
    """

    votes: int
    today: int
    skipped: int
    waiting: int
    gold: int


# The leases this person holds: not run out, and their vote still wanted, or on gold. And, in a row
# of its own, whether there are any at all that ran out: these may have to be ended first.
_HELD = """
    SELECT l.id, l.example_id, l.created_at
    FROM validate_lease l JOIN annotate_example e ON e.id = l.example_id
        LEFT JOIN validate_queueitem q ON q.example_id = l.example_id
    WHERE l.validator_id = %(validator)s AND e.task_id = %(task)s
        AND l.ended_at IS NULL AND l.expires_at > %(now)s
        AND (NOT q.withdrawn OR l.gold AND e.hidden_at IS NULL AND e.retracted_at IS NULL)
    UNION ALL
    SELECT NULL, NULL, NULL
    WHERE EXISTS (
        SELECT 1 FROM validate_lease l WHERE l.ended_at IS NULL AND l.expires_at <= %(now)s)
    ORDER BY 3
"""

_ADD_TO_SHARE = """
    INSERT INTO validate_authorshare AS s (task_id, author_id, validator_id, votes, agreed)
    VALUES (%(task)s, %(author)s, %(validator)s, %(votes)s, %(agreed)s)
    ON CONFLICT (task_id, validator_id, author_id)
    DO UPDATE SET votes = s.votes + %(votes)s, agreed = s.agreed + %(agreed)s
"""
_TAKE_FROM_SHARE = """
    UPDATE validate_authorshare SET votes = votes + %(votes)s, agreed = agreed + %(agreed)s
    WHERE task_id = %(task)s AND author_id = %(author)s AND validator_id = %(validator)s
"""


def free_item(task_id: int, validator_id: int, *, cap: float) -> int | None:
    """The example that this person is asked about next, its queue entry locked; None: none is free.

    Claimed foolings first, then what is nearest to a verdict, then the oldest. An author of whose
    votes this person has given the share `cap` is left out, from 20 votes on; people known from a
    log, or who stayed away for a week, are not among those who share.
    """
    sql = _FREE.format(lock=_lock(skip_locked=False))
    found = prepared.rows(sql, _asked(task_id, validator_id, cap))
    return int(found[0][0]) if found else None


def free_example(task_id: int, validator_id: int, *, cap: float) -> Example | None:
    """The same with all that is shown of it, past what somebody else has locked; one statement."""
    return _FREE_EXAMPLE.first(**_asked(task_id, validator_id, cap))


def _asked(task_id: int, validator_id: int, cap: float) -> dict[str, Any]:
    return {
        "task": task_id,
        "validator": validator_id,
        "cap": cap,
        "least": int(cap * CAP_FROM_VOTES),
        "since": adapted(timezone.now() - VALIDATES_WITHIN),
    }


def shown() -> QuerySet[Example]:
    """Examples with what validators see of them, but for their configuration."""
    return Example.objects.select_related("context")


def _free_examples() -> QuerySet[Example]:
    sql = _FREE.format(lock=_lock(skip_locked=True))
    names = re.findall(r"%\((\w+)\)s", sql)
    free = RawSQL(re.sub(r"%\(\w+\)s", "%s", sql), [Given(name) for name in names])  # noqa: S611
    return shown().filter(pk=free)


_FREE_EXAMPLE = Compiled(_free_examples)


def _lock(*, skip_locked: bool) -> str:
    if not connection.features.has_select_for_update:
        return ""  # SQLite has one writer at a time
    return "FOR NO KEY UPDATE OF q" + (" SKIP LOCKED" if skip_locked else "")


def counts(task_id: int, validator_id: int, *, midnight: datetime) -> Counts:
    """How far this person is in a task, and what waits for them."""
    given = {"task": task_id, "validator": validator_id, "midnight": adapted(midnight)}
    (row,) = prepared.rows(_PROGRESS, given)
    return Counts(*row)


def held(task_id: int, validator_id: int, *, now: datetime) -> tuple[list[Held], bool]:
    """The leases that this person holds in the task, oldest first, and whether any lease of
    anybody's, in whatever task, has run out and was not ended."""
    given = {"task": task_id, "validator": validator_id, "now": adapted(now)}
    rows = prepared.rows(_HELD, given)
    leases = [Held(id if isinstance(id, UUID) else UUID(id), one) for id, one, _ in rows if id]
    return leases, len(leases) < len(rows)


def count_share(
    *, task_id: int, author_id: int, validator_id: int, votes: int, agreed: int
) -> None:
    """Add to a validator's share of an author's votes, or take from it what was added."""
    key = {"task": task_id, "author": author_id, "validator": validator_id}
    sql = _ADD_TO_SHARE if votes > 0 else _TAKE_FROM_SHARE
    prepared.changed(sql, {**key, "votes": votes, "agreed": agreed})
