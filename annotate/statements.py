"""The reads of every submission, written out: building them anew costs more than they do.

Measured on PostgreSQL: of a submission's CPU a third went into building these two.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from accounts.models import WorkSession
from accounts.prepared import execute

_BY_AUTHOR = "e.author_id = %(person)s"
_BY_GUEST = "e.session_id = %(person)s AND e.author_id IS NULL"

# KEY SHARE is what inserting an example takes on its round. Taken here, and not only then, it makes
# one statement of two: what is read of the round stays true until the commit.
_AUTHOR_AND_ROUND = """
    SELECT u.banned_at IS NOT NULL, r.status = 'open'
    FROM accounts_user u CROSS JOIN annotate_round r
    WHERE u.id = %(person)s AND u.is_active AND r.id = %(round)s {lock}
"""
_ROUND = "SELECT FALSE, r.status = 'open' FROM annotate_round r WHERE r.id = %(round)s {lock}"

# One pass over what somebody submitted to a task. MAX(id) written as a query of its own is planned
# as a walk down the primary key, past everybody's examples, until one of theirs comes.
_MINE = """
    WITH mine AS (
        SELECT e.id, e.round_id, e.fooled, e.tries, e.status, e.input_hash, e.retracted_at,
            e.client_id, e.label
        FROM annotate_example e WHERE {whose} AND e.task_id = %(task)s
    ), counted AS (
        SELECT COUNT(*) AS tries, COUNT(*) FILTER (WHERE fooled) AS fooled,
            COUNT(*) FILTER (WHERE fooled AND status = 'verified') AS verified,
            COALESCE(MAX(id) FILTER (WHERE NOT fooled), 0) AS miss
        FROM mine
    )
"""

# How they do, and then the last one of a round, beside each that is still there with this content.
_BEFORE = f"""{_MINE}
    SELECT c.tries, c.fooled, c.verified, (SELECT COUNT(*) FROM mine WHERE id > c.miss),
        last.fooled, last.tries, same.id, same.client_id, same.label
    FROM counted c
        LEFT JOIN mine last
            ON last.id = (SELECT MAX(id) FROM mine WHERE round_id = %(round)s)
        LEFT JOIN mine same
            ON same.round_id = %(round)s AND same.input_hash = %(input_hash)s
            AND same.retracted_at IS NULL
"""  # noqa: S608 (nobody's text)

_PROGRESS = f"""{_MINE}
    SELECT c.tries, c.fooled, c.verified, (SELECT COUNT(*) FROM mine WHERE id > c.miss)
    FROM counted c
"""  # noqa: S608


class Progress(NamedTuple):
    """How many somebody submitted to a task, fooled with, had verified, and fooled with since the
    last miss."""

    tries: int
    fooled: int
    verified: int
    streak: int

    def after(self, *, fooled: bool) -> Progress:
        """The same with one more submission, which nobody has validated yet."""
        return Progress(
            self.tries + 1, self.fooled + fooled, self.verified, self.streak + 1 if fooled else 0
        )


@dataclass(frozen=True)
class Before:
    """What a submission follows: the tries that it makes, whether it repeats another one, and how
    its author does without it."""

    tries: int
    repeats: bool
    progress: Progress


class Standing(NamedTuple):
    """What may have changed since a submission was sent; `banned` is None when the account is
    closed."""

    banned: bool | None
    open: bool


def lock_author_and_round(*, author: int | None, round_id: int) -> Standing:
    """Take somebody's submissions one by one and keep the round as it is; locks both.

    Guests are locked nowhere, and nobody bans them.
    """
    if author is None:
        sql = _ROUND.format(lock=_lock("FOR KEY SHARE"))
    else:
        sql = _AUTHOR_AND_ROUND.format(lock=_lock("FOR NO KEY UPDATE OF u FOR KEY SHARE OF r"))
    with connection.cursor() as cursor:
        execute(cursor, sql, {"person": author, "round": round_id})
        row = cursor.fetchone()
    banned, is_open = row or (None, False)
    return Standing(None if banned is None else bool(banned), bool(is_open))


def _lock(words: str) -> str:
    return words if connection.features.has_select_for_update else ""  # SQLite has one writer


def before(
    *,
    author: int | None,
    guest: UUID | None,
    task_id: int,
    round_id: int,
    content: tuple[str, Any, UUID | None],
) -> Before:
    """What somebody submitted before `content`: an input's hash, a label, a client id.

    One with the same client id is that very submission, and no repetition.
    """
    input_hash, label, client_id = content
    rows = _rows(_BEFORE, author, guest, task=task_id, round=round_id, input_hash=input_hash)
    *progress, last_fooled, last_tries, _, _, _ = rows[0]
    return Before(
        tries=1 if last_tries is None or last_fooled else last_tries + 1,
        repeats=any(
            same is not None
            and (sent_as is None or UUID(str(sent_as)) != client_id)
            and json.loads(said) == label
            for *_, same, sent_as, said in rows
        ),
        progress=Progress(*progress),
    )


def progress(*, author: int | None, guest: UUID | None, task_id: int) -> Progress:
    """How somebody does in a task; one query."""
    (row,) = _rows(_PROGRESS, author, guest, task=task_id)
    return Progress(*row)


def _rows(statement: str, author: int | None, guest: UUID | None, **values: int | str) -> list[Any]:
    whose = _BY_GUEST if author is None else _BY_AUTHOR
    person = WorkSession._meta.pk.get_db_prep_value(guest, connection) if author is None else author
    with connection.cursor() as cursor:
        execute(cursor, statement.format(whose=whose), {"person": person, **values})
        return list(cursor.fetchall())
