"""What every submission reads and writes, built once: building it anew costs more than it does.

Measured on PostgreSQL: of a submission's CPU a third went into building two of the reads.
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
from annotate.models import Example
from core.sql import compiled, prepared
from core.sql.together import Together as Together  # for annotate.submissions, which writes with it

_BY_AUTHOR = "e.author_id = %(person)s"
_BY_GUEST = "e.session_id = %(person)s AND e.author_id IS NULL"

# Less than PostgreSQL waits before it looks for deadlocks: whoever else is part of one goes on.
BRIEFLY_MS = 300

# KEY SHARE is what inserting an example takes on its round. Taken here, and not only then, it makes
# one statement of two: what is read of the round stays true until the commit.
_AUTHORS_AND_ROUND = """
    SELECT u.banned_at IS NOT NULL OR EXISTS (
            SELECT 1 FROM annotate_barred b WHERE b.person_id = u.id AND b.task_id = r.task_id),
        r.status = 'open', u.id
    FROM accounts_user u CROSS JOIN annotate_round r
    WHERE u.id IN ({people}) AND u.is_active AND r.id = %s {lock}
"""
_ROUND = "SELECT FALSE, r.status = 'open' FROM annotate_round r WHERE r.id = %s {lock}"

# One pass over what somebody submitted to a task. MAX(id) written as a query of its own is planned
# as a walk down the primary key, past everybody's examples, until one of theirs comes.
_PROGRESS = """
    WITH mine AS (
        SELECT e.id, e.fooled, e.status
        FROM annotate_example e WHERE {whose} AND e.task_id = %(task)s
    ), counted AS (
        SELECT COUNT(*) AS tries, COUNT(*) FILTER (WHERE fooled) AS fooled,
            COUNT(*) FILTER (WHERE fooled AND status = 'verified') AS verified,
            COALESCE(MAX(id) FILTER (WHERE NOT fooled), 0) AS miss
        FROM mine
    )
    SELECT c.tries, c.fooled, c.verified, (SELECT COUNT(*) FROM mine WHERE id > c.miss)
    FROM counted c
"""

# The same of several people with an input's hash each; and then of each the last one of a round,
# beside those that are still there with this content.
_BEFORE_EACH = """
    WITH sent (person, input_hash) AS (VALUES {sent}
    ), mine AS (
        SELECT e.{person} AS person, e.id, e.round_id, e.fooled, e.tries, e.status, e.input_hash,
            e.retracted_at, e.client_id, e.label
        FROM annotate_example e WHERE e.{person} IN ({people}) {also} AND e.task_id = %s
    ), counted AS (
        SELECT person, COUNT(*) AS tries, COUNT(*) FILTER (WHERE fooled) AS fooled,
            COUNT(*) FILTER (WHERE fooled AND status = 'verified') AS verified,
            COALESCE(MAX(id) FILTER (WHERE NOT fooled), 0) AS miss,
            MAX(id) FILTER (WHERE round_id = %s) AS last
        FROM mine GROUP BY person
    ), streak AS (
        SELECT m.person, COUNT(*) AS length
        FROM counted c JOIN mine m ON m.person = c.person AND m.id > c.miss
        GROUP BY m.person
    )
    SELECT c.person, c.tries, c.fooled, c.verified, COALESCE(streak.length, 0),
        last.fooled, last.tries, same.id, same.client_id, same.label
    FROM counted c
        JOIN sent ON sent.person = c.person
        LEFT JOIN streak ON streak.person = c.person
        LEFT JOIN mine last ON last.id = c.last
        LEFT JOIN mine same
            ON same.person = c.person AND same.input_hash = sent.input_hash
            AND same.round_id = %s AND same.retracted_at IS NULL
"""


def insert(examples: Sequence[Example]) -> None:
    """Insert new examples, which get their keys; one statement."""
    compiled.insert_all(examples)


def update(example: Example, *names: str) -> None:
    """Write these fields of a locked example."""
    compiled.update(example, *names)


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
    if author is None:
        found = prepared.rows(_ROUND.format(lock=_lock("FOR KEY SHARE")), [round_id])
    else:
        lock = _lock("FOR NO KEY UPDATE OF u FOR KEY SHARE OF r")
        sql = _AUTHORS_AND_ROUND.format(people="%s", lock=lock)
        found = prepared.rows(sql, [author, round_id])
    banned, is_open = found[0][:2] if found else (None, False)
    return Standing(None if banned is None else bool(banned), bool(is_open))


def wait_briefly() -> None:
    """Let this transaction give up (OperationalError) what it would have to wait long for."""
    if connection.vendor == "postgresql":
        prepared.rows("SELECT set_config('lock_timeout', %s, true)", [f"{BRIEFLY_MS}ms"])


def lock_free_authors_and_round(authors: Sequence[int], round_id: int) -> set[int]:
    """Those of these authors who may submit to the round and whom nobody else has locked.

    They and the round are locked then. Waiting for none of several, one cannot be waited for by
    somebody whom one waits for.
    """
    lock = _lock("FOR NO KEY UPDATE OF u SKIP LOCKED FOR KEY SHARE OF r")
    sql = _AUTHORS_AND_ROUND.format(people=_places("%s", len(authors)), lock=lock)
    found = prepared.rows(sql, [*authors, round_id])
    return {author for banned, is_open, author in found if is_open and not banned}


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
    person = _person(author, guest)
    contents = {person: content}
    found = before_each(
        task_id=task_id, round_id=round_id, contents=contents, guests=author is None
    )
    return found[person]


def before_each(
    *,
    task_id: int,
    round_id: int,
    contents: Mapping[Any, tuple[str, Any, UUID | None]],
    guests: bool = False,
) -> dict[Any, Before]:
    """The same of several authors, or guests, each before what they send; one query."""
    if not contents:
        return {}
    people = list(contents)
    key = WorkSession._meta.pk.db_type(connection) if guests else "bigint"
    sql = _BEFORE_EACH.format(
        person="session_id" if guests else "author_id",
        also="AND e.author_id IS NULL" if guests else "",
        sent=_places(f"(CAST(%s AS {key}), CAST(%s AS text))", len(people)),
        people=_places("%s", len(people)),
    )
    sent = [value for person, content in contents.items() for value in (person, content[0])]
    rows: defaultdict[Any, list[Any]] = defaultdict(list)
    for person, *row in prepared.rows(sql, [*sent, *people, task_id, round_id, round_id]):
        rows[person].append(row)
    none = Before(1, repeats=False, is_there=False, progress=Progress(0, 0, 0, 0))
    return {
        person: _before(rows[person], content) if person in rows else none
        for person, content in contents.items()
    }


def _before(rows: Sequence[Any], content: tuple[str, Any, UUID | None]) -> Before:
    _, label, client_id = content
    *progress, last_fooled, last_tries, _, _, _ = rows[0]
    sent = [
        (UUID(str(sent_as)) if sent_as is not None else None, json.loads(said))
        for *_, same, sent_as, said in rows
        if same is not None
    ]
    return Before(
        tries=1 if last_tries is None or last_fooled else last_tries + 1,
        repeats=any(
            said == label and (sent_as is None or sent_as != client_id) for sent_as, said in sent
        ),
        is_there=client_id is not None and any(sent_as == client_id for sent_as, _ in sent),
        progress=Progress(*progress),
    )


def progress(*, author: int | None, guest: UUID | None, task_id: int) -> Progress:
    """How somebody does in a task; one query."""
    sql = _PROGRESS.format(whose=_BY_GUEST if author is None else _BY_AUTHOR)
    (row,) = prepared.rows(sql, {"person": _person(author, guest), "task": task_id})
    return Progress(*row)


def _person(author: int | None, guest: UUID | None) -> Any:
    """An author's key, or a guest's as the database compares it."""
    return WorkSession._meta.pk.get_db_prep_value(guest, connection) if author is None else author
