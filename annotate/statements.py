"""The reads of every submission, written out: building them anew costs more than they do.

Measured on PostgreSQL: of a submission's CPU a third went into building these two.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.models import WorkSession

_BY_AUTHOR = "e.author_id = %(person)s"
_BY_GUEST = "e.session_id = %(person)s AND e.author_id IS NULL"

# The last one of a round, and those that are still there with the same content.
_BEFORE = """
    SELECT e.fooled, e.tries, e.input_hash, e.retracted_at, e.client_id, e.label
    FROM annotate_example e
    WHERE {whose} AND e.round_id = %(round)s AND (
        e.id = (SELECT MAX(e.id) FROM annotate_example e WHERE {whose} AND e.round_id = %(round)s)
        OR e.input_hash = %(input_hash)s)
    ORDER BY e.id DESC
"""

_PROGRESS = """
    SELECT COUNT(*), COUNT(*) FILTER (WHERE e.fooled),
        COUNT(*) FILTER (WHERE e.fooled AND e.status = 'verified'),
        COUNT(*) FILTER (WHERE e.id > COALESCE((
            SELECT MAX(e.id) FROM annotate_example e
            WHERE {whose} AND e.task_id = %(task)s AND NOT e.fooled), 0))
    FROM annotate_example e WHERE {whose} AND e.task_id = %(task)s
"""


@dataclass(frozen=True)
class Before:
    """What a submission follows: the tries that it makes, and whether it repeats another one."""

    tries: int
    repeats: bool


def before(
    *, author: int | None, guest: UUID | None, round_id: int, content: tuple[str, Any, UUID | None]
) -> Before:
    """What somebody submitted in a round before `content`: an input's hash, a label, a client id.

    One with the same client id is that very submission, and no repetition.
    """
    input_hash, label, client_id = content
    rows = _rows(_BEFORE, author, guest, round=round_id, input_hash=input_hash)
    last = rows[0] if rows else None
    return Before(
        tries=1 if last is None or last[0] else last[1] + 1,
        repeats=any(
            hashed == input_hash
            and retracted_at is None
            and (sent_as is None or UUID(str(sent_as)) != client_id)
            and json.loads(said) == label
            for _, _, hashed, retracted_at, sent_as, said in rows
        ),
    )


def progress(*, author: int | None, guest: UUID | None, task_id: int) -> tuple[int, int, int, int]:
    """How many somebody submitted to a task, fooled with, had verified, and fooled with since the
    last miss."""
    (row,) = _rows(_PROGRESS, author, guest, task=task_id)
    tries, fooled, verified, streak = row
    return tries, fooled, verified, streak


def _rows(statement: str, author: int | None, guest: UUID | None, **values: int | str) -> list[Any]:
    whose = _BY_GUEST if author is None else _BY_AUTHOR
    person = WorkSession._meta.pk.get_db_prep_value(guest, connection) if author is None else author
    with connection.cursor() as cursor:
        cursor.execute(statement.format(whose=whose), {"person": person, **values})
        return list(cursor.fetchall())
