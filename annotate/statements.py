"""The reads of every submission, written out: building them anew costs more than they do.

Measured on PostgreSQL: of a submission's CPU a third went into building these two.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from accounts.models import WorkSession
from accounts.prepared import execute

_BY_AUTHOR = "e.author_id = %(person)s"
_BY_GUEST = "e.session_id = %(person)s AND e.author_id IS NULL"

# Less than PostgreSQL waits before it looks for deadlocks: whoever else is part of one goes on.
BRIEFLY_MS = 300

# KEY SHARE is what inserting an example takes on its round. Taken here, and not only then, it makes
# one statement of two: what is read of the round stays true until the commit.
_AUTHORS_AND_ROUND = """
    SELECT u.banned_at IS NOT NULL, r.status = 'open', u.id
    FROM accounts_user u CROSS JOIN annotate_round r
    WHERE u.id IN ({people}) AND u.is_active AND r.id = %s {lock}
"""
_ROUND = "SELECT FALSE, r.status = 'open' FROM annotate_round r WHERE r.id = %s {lock}"

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


# What _BEFORE says, of several authors with an input's hash each.
_BEFORE_EACH = """
    WITH sent (author_id, input_hash) AS (VALUES {sent}
    ), mine AS (
        SELECT e.author_id, e.id, e.round_id, e.fooled, e.tries, e.status, e.input_hash,
            e.retracted_at, e.client_id, e.label
        FROM annotate_example e WHERE e.author_id IN ({people}) AND e.task_id = %s
    ), counted AS (
        SELECT author_id, COUNT(*) AS tries, COUNT(*) FILTER (WHERE fooled) AS fooled,
            COUNT(*) FILTER (WHERE fooled AND status = 'verified') AS verified,
            COALESCE(MAX(id) FILTER (WHERE NOT fooled), 0) AS miss,
            MAX(id) FILTER (WHERE round_id = %s) AS last
        FROM mine GROUP BY author_id
    ), streak AS (
        SELECT m.author_id, COUNT(*) AS length
        FROM counted c JOIN mine m ON m.author_id = c.author_id AND m.id > c.miss
        GROUP BY m.author_id
    )
    SELECT c.author_id, c.tries, c.fooled, c.verified, COALESCE(streak.length, 0),
        last.fooled, last.tries, same.id, same.client_id, same.label
    FROM counted c
        JOIN sent ON sent.author_id = c.author_id
        LEFT JOIN streak ON streak.author_id = c.author_id
        LEFT JOIN mine last ON last.id = c.last
        LEFT JOIN mine same
            ON same.author_id = c.author_id AND same.input_hash = sent.input_hash
            AND same.round_id = %s AND same.retracted_at IS NULL
"""


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
    """What a submission follows: the tries that it makes, whether it repeats another one or is
    there itself, sent again, and how its author does without it."""

    tries: int
    repeats: bool
    is_there: bool
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
    with connection.cursor() as cursor:
        if author is None:
            execute(cursor, _ROUND.format(lock=_lock("FOR KEY SHARE")), [round_id])
        else:
            lock = _lock("FOR NO KEY UPDATE OF u FOR KEY SHARE OF r")
            sql = _AUTHORS_AND_ROUND.format(people="%s", lock=lock)
            execute(cursor, sql, [author, round_id])
        row = cursor.fetchone()
    banned, is_open = (None, False) if row is None else row[:2]
    return Standing(None if banned is None else bool(banned), bool(is_open))


def wait_briefly() -> None:
    """Let this transaction give up (OperationalError) what it would have to wait long for."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{BRIEFLY_MS}ms'")


def lock_free_authors_and_round(authors: Sequence[int], round_id: int) -> set[int]:
    """Those of these authors who may submit to the round and whom nobody else has locked.

    They and the round are locked then. Waiting for none of several, one cannot be waited for by
    somebody whom one waits for.
    """
    lock = _lock("FOR NO KEY UPDATE OF u SKIP LOCKED FOR KEY SHARE OF r")
    with connection.cursor() as cursor:
        sql = _AUTHORS_AND_ROUND.format(people=_places("%s", len(authors)), lock=lock)
        execute(cursor, sql, [*authors, round_id])
        return {author for banned, is_open, author in cursor.fetchall() if is_open and not banned}


def _places(one: str, number: int) -> str:
    return ", ".join([one] * number)


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
    rows = _rows(_BEFORE, author, guest, task=task_id, round=round_id, input_hash=content[0])
    return _before(rows, content)


def _before(rows: Sequence[Any], content: tuple[str, Any, UUID | None]) -> Before:
    _, label, client_id = content
    *progress, last_fooled, last_tries, _, _, _ = rows[0]
    sent = [
        (UUID(str(sent_as)) if sent_as is not None else None, json.loads(said))
        for *_, same, sent_as, said in rows
        if same is not None
    ]
    is_there = client_id is not None and any(sent_as == client_id for sent_as, _ in sent)
    return Before(
        tries=1 if last_tries is None or last_fooled else last_tries + 1,
        repeats=any(
            said == label and (sent_as is None or sent_as != client_id) for sent_as, said in sent
        ),
        is_there=is_there,
        progress=Progress(*progress),
    )


def before_each(
    *, task_id: int, round_id: int, contents: Mapping[int, tuple[str, Any, UUID | None]]
) -> dict[int, Before]:
    """The same of several authors, each before what they send; one query."""
    if not contents:
        return {}
    authors = list(contents)
    sql = _BEFORE_EACH.format(
        sent=_places("(CAST(%s AS bigint), CAST(%s AS text))", len(authors)),
        people=_places("%s", len(authors)),
    )
    sent = [value for author, content in contents.items() for value in (author, content[0])]
    rows: defaultdict[int, list[Any]] = defaultdict(list)
    with connection.cursor() as cursor:
        execute(cursor, sql, [*sent, *authors, task_id, round_id, round_id])
        for author, *row in cursor.fetchall():
            rows[author].append(row)
    none = Before(1, repeats=False, is_there=False, progress=Progress(0, 0, 0, 0))
    return {
        author: _before(rows[author], content) if author in rows else none
        for author, content in contents.items()
    }


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
