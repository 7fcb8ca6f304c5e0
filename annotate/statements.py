"""What every submission reads and writes, built once: building it anew costs more than it does.

Measured on PostgreSQL: of a submission's CPU a third went into building two of the reads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.db.models import QuerySet

from accounts.models import User, WorkSession
from annotate.models import (
    Barred,
    ContextLease,
    Example,
    ModelVersion,
    Round,
    Task,
    Viewer,
    role_of,
)
from core.sql import compiled, prepared
from core.sql.compiled import Compiled, Given, adapted
from core.sql.together import Together as Together  # for annotate.submissions, which writes with it

_BY_AUTHOR = "e.author_id = %(person)s"
_BY_GUEST = "e.session_id = %(person)s AND e.author_id IS NULL"

# Less than PostgreSQL waits before it looks for deadlocks: whoever else is in one goes on. As a
# condition of what locks, and so before it, it costs no statement of its own.
BRIEFLY_MS = 300
_BRIEFLY = f"AND set_config('lock_timeout', '{BRIEFLY_MS}ms', true) <> ''"

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

# The same of several people with a client's id each; and then of each the last one of a round, and
# whether one is there under that id.
_BEFORE_EACH = """
    WITH sent (person, client_id) AS (VALUES {sent}
    ), mine AS (
        SELECT e.{person} AS person, e.id, e.round_id, e.fooled, e.tries, e.status, e.client_id
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
        last.fooled, last.tries, same.id IS NOT NULL
    FROM counted c
        JOIN sent ON sent.person = c.person
        LEFT JOIN streak ON streak.person = c.person
        LEFT JOIN mine last ON last.id = c.last
        LEFT JOIN mine same ON same.person = c.person AND same.client_id = sent.client_id
"""

# One array for all: a list of values would be another statement for each number of them.
_UNDER_KEYS = {
    "postgresql": """
        SELECT k.key, k.example_id, k.name FROM annotate_contentkey k
        WHERE k.task_id = %(task)s AND k.key = ANY(CAST(%(keys)s AS bigint[]))
    """,
    "sqlite": """
        SELECT k.key, k.example_id, k.name FROM annotate_contentkey k
        WHERE k.task_id = %(task)s AND k.key IN (SELECT value FROM json_each(%(keys)s))
    """,
}
_INSERT_KEYS = {
    "postgresql": """
        INSERT INTO annotate_contentkey (task_id, example_id, key, name)
        SELECT %(task)s, new.example_id, new.key, new.name FROM unnest(
            CAST(%(examples)s AS bigint[]), CAST(%(keys)s AS bigint[]), CAST(%(names)s AS bigint[])
        ) AS new (example_id, key, name)
    """,
    "sqlite": """
        INSERT INTO annotate_contentkey (task_id, example_id, key, name)
        SELECT %(task)s, e.value, k.value, n.value FROM json_each(%(examples)s) e
            JOIN json_each(%(keys)s) k ON k.key = e.key JOIN json_each(%(names)s) n ON n.key = e.key
    """,
}
# A context's uses: who wrote about it, or holds it still. Guests count among themselves.
_USED = """
    l.{other} IS NULL AND (l.tries > 0 OR NOT l.skipped AND l.expires_at > %(now)s)
"""
_FREE_CONTEXT = f"""
    WITH used AS (
        SELECT c.id, COUNT(l.id) AS uses,
            SUM(COUNT(l.id)) OVER (PARTITION BY c.source) AS of_source
        FROM annotate_context c
            LEFT JOIN annotate_contextlease l ON l.context_id = c.id AND {_USED}
        WHERE c.task_id = %(task)s AND c.offered
        GROUP BY c.id, c.source
    )
    SELECT u.id FROM used u
    WHERE NOT EXISTS (
        SELECT 1 FROM annotate_contextlease m
        WHERE m.context_id = u.id AND m.{{whose}} = %(person)s)
    ORDER BY {{order}}RANDOM() LIMIT 1
"""  # noqa: S608
_ORDERS: Final = {
    "least_used": "u.uses, ",
    "uniform": "",
    "least_fooled": """(
        SELECT COUNT(*) FROM annotate_example e
        WHERE e.context_id = u.id AND e.fooled AND NOT e.sandbox AND NOT e.provisional),
        u.uses, """,
    "stratified": "u.of_source, u.uses, ",
}
_GOALS = f"""
    SELECT l.goal, COUNT(*)
    FROM annotate_contextlease l JOIN annotate_context c ON c.id = l.context_id
    WHERE c.task_id = %(task)s AND {_USED} GROUP BY l.goal
"""  # noqa: S608
_HOLD_ON = """
    UPDATE annotate_contextlease SET expires_at = %(until)s
    WHERE id = (
        SELECT l.id FROM annotate_contextlease l JOIN annotate_context c ON c.id = l.context_id
        WHERE c.task_id = %(task)s AND c.offered AND l.{whose} = %(person)s
            AND l.tries = 0 AND NOT l.skipped
        ORDER BY l.id LIMIT 1)
    RETURNING context_id, goal
"""
# One statement, so that of two at once both count, and a guest, whom nothing locks, has no more
# tries than others. Also somebody who was not given it may write about it, where no goal is set.
_COUNT_TRY = """
    INSERT INTO annotate_contextlease AS l (context_id, {whose}, goal, tries, skipped, expires_at)
    SELECT c.id, {person}, '', 1, FALSE, %(now)s FROM annotate_context c
    WHERE c.id = %(context)s AND (%(unasked)s OR EXISTS (
        SELECT 1 FROM annotate_contextlease g WHERE g.context_id = c.id AND g.{whose} = {person}))
    ON CONFLICT (context_id, {whose}) DO UPDATE SET tries = l.tries + 1
    WHERE l.tries < %(most)s AND l.goal IN ('', %(label)s)
    RETURNING tries
"""


_OPEN_ROUND = Compiled(
    lambda: Round.objects.select_related("task__config").filter(
        task=Given("task"), status=Round.Status.OPEN
    )
)
_BY_LINK: Final = "by link"  # no role of a person's
_TARGETS = Compiled(lambda: ModelVersion.objects.filter(rounds=Given("round")).order_by("number"))


@cache
def _visible(role: str) -> Compiled[Task]:
    by_link = role == _BY_LINK

    def build() -> QuerySet[Task, Task]:
        named = Task.objects.select_related("config").filter(slug=Given("slug"))
        return named.filter(pk=Given("task")) if by_link else named.visible_as(role, Given("user"))

    return Compiled(build)


def is_barred(person_id: int, task_id: int) -> bool:
    """Whether the owners of a task keep this person out of it."""
    return _BARRED.first(person=person_id, task=task_id) is not None


_BARRED = Compiled(
    lambda: Barred.objects.filter(person=Given("person"), task=Given("task")).values_list(
        "pk", flat=True
    )
)


def visible_task(user: Viewer, slug: str) -> Task | None:
    """The task if this person may see it (`TaskQuerySet.visible_to`): every request begins here."""
    if isinstance(user, User) and user.by_link is not None:
        return _visible(_BY_LINK).first(slug=slug, task=user.by_link.task_id)
    return _visible(role_of(user)).first(slug=slug, user=user.pk)


def open_round(task_id: int) -> Round | None:
    return _OPEN_ROUND.first(task=task_id)


def targets(round_id: int) -> list[ModelVersion]:
    return _TARGETS.all(round=round_id)


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
    """What a submission follows: the tries that it makes, whether it is there itself, sent again,
    and how its author does without it."""

    tries: int
    is_there: bool
    progress: Progress


class Standing(NamedTuple):
    """What may have changed since a submission was sent; `banned` is None when the account is
    closed."""

    banned: bool | None
    open: bool


def lock_author_and_round(*, author: int | None, round_id: int, in_turn: bool = False) -> Standing:
    """Take somebody's submissions one by one and keep the round as it is; locks both.

    With `in_turn` the round's, too: taken at once, for who locks a row more firmly while somebody
    waits to close it waits for them. Guests are locked nowhere, and nobody bans them.
    """
    if author is None:
        found = prepared.rows(_ROUND.format(lock=_lock("FOR KEY SHARE")), [round_id])
    else:
        of_round = "NO KEY UPDATE" if in_turn else "KEY SHARE"
        lock = _lock(f"FOR NO KEY UPDATE OF u FOR {of_round} OF r")
        sql = _AUTHORS_AND_ROUND.format(people="%s", lock=lock)
        found = prepared.rows(sql, [author, round_id])
    banned, is_open = found[0][:2] if found else (None, False)
    return Standing(None if banned is None else bool(banned), bool(is_open))


def lock_free_authors_and_round(authors: Sequence[int], round_id: int) -> set[int]:
    """Those of these authors who may submit to the round and whom nobody else has locked.

    They and the round are locked then. Waiting for none of several, one cannot be waited for by
    somebody whom one waits for. What else this transaction would have to wait long for it gives up
    (OperationalError): all others of this process wait for it.
    """
    lock = _lock(f"{_BRIEFLY} FOR NO KEY UPDATE OF u SKIP LOCKED FOR KEY SHARE OF r")
    sql = _AUTHORS_AND_ROUND.format(people=_places("%s", len(authors)), lock=lock)
    found = prepared.rows(sql, [*authors, round_id])
    return {author for banned, is_open, author in found if is_open and not banned}


def _places(one: str, number: int) -> str:
    return ", ".join([one] * number)


def _lock(words: str) -> str:
    return words if connection.features.has_select_for_update else ""  # SQLite has one writer


def before(
    *, author: int | None, guest: UUID | None, task_id: int, round_id: int, client_id: UUID | None
) -> Before:
    """What somebody submitted before what they now send under this id."""
    person = _person(author, guest)
    found = before_each(
        task_id=task_id, round_id=round_id, sent={person: client_id}, guests=author is None
    )
    return found[person]


def before_each(
    *, task_id: int, round_id: int, sent: Mapping[Any, UUID | None], guests: bool = False
) -> dict[Any, Before]:
    """The same of several authors, or guests, by the ids under which they send; one query."""
    if not sent:
        return {}
    people = list(sent)
    key = WorkSession._meta.pk.db_type(connection) if guests else "bigint"
    client_id = Example._meta.get_field("client_id")
    sql = _BEFORE_EACH.format(
        person="session_id" if guests else "author_id",
        # An owner's known answers are no tries.
        also="AND e.author_id IS NULL" if guests else "AND NOT e.sandbox",
        sent=_places(
            f"(CAST(%s AS {key}), CAST(%s AS {client_id.db_type(connection)}))", len(people)
        ),
        people=_places("%s", len(people)),
    )
    values = [
        value
        for person, its_id in sent.items()
        for value in (person, client_id.get_db_prep_value(its_id, connection))
    ]
    rows = prepared.rows(sql, [*values, *people, task_id, round_id])
    none = Before(1, is_there=False, progress=Progress(0, 0, 0, 0))
    return dict.fromkeys(people, none) | {person: _before(*row) for person, *row in rows}


def _before(*row: Any) -> Before:
    *progress, last_fooled, last_tries, is_there = row
    return Before(
        tries=1 if last_tries is None or last_fooled else last_tries + 1,
        is_there=bool(is_there),
        progress=Progress(*progress),
    )


def under_keys(task_id: int, keys: Collection[int]) -> list[tuple[int, int, int | None]]:
    """The keys of these that examples of the task are found under, each with an example, and with
    the name of its content where that row has it."""
    given = {"task": task_id, "keys": _array(keys)}
    return prepared.rows(_UNDER_KEYS[connection.vendor], given)


def insert_keys(task_id: int, rows: Sequence[tuple[int, int, int | None]]) -> None:
    """Let examples be found: each with a key, and perhaps with its content's name.

    IntegrityError where another one has the name.
    """
    if rows:
        examples, keys, names = map(_array, zip(*rows, strict=True))
        given = {"task": task_id, "examples": examples, "keys": keys, "names": names}
        with transaction.mark_for_rollback_on_error(DEFAULT_DB_ALIAS):
            prepared.changed(_INSERT_KEYS[connection.vendor], given)


def _array(numbers: Iterable[int | None]) -> str:
    """Numbers in one value, as the database takes it."""
    null, brackets = ("NULL", "{%s}") if connection.vendor == "postgresql" else ("null", "[%s]")
    return brackets % ",".join(null if one is None else str(one) for one in numbers)


def progress(*, author: int | None, guest: UUID | None, task_id: int) -> Progress:
    """How somebody does in a task; one query."""
    sql = _PROGRESS.format(whose=_BY_GUEST if author is None else _BY_AUTHOR)
    (row,) = prepared.rows(sql, {"person": _person(author, guest), "task": task_id})
    return Progress(*row)


def _person(author: int | None, guest: UUID | None) -> Any:
    """An author's key, or a guest's as the database compares it."""
    return WorkSession._meta.pk.get_db_prep_value(guest, connection) if author is None else author


# --- contexts -------------------------------------------------------------------------------------
def lock_contexts(task_id: int) -> None:
    """Give a task's contexts one by one: what is counted for one is there for the next.

    Past locked contexts (SKIP LOCKED) some would be given twice while others are given for the
    first time; and who waits for one finds it used when it is free.
    """
    prepared.rows(_LOCK_TASK.format(lock=_lock("FOR NO KEY UPDATE")), [task_id])


_LOCK_TASK = "SELECT id FROM annotate_task WHERE id = %s {lock}"


def held_context(
    *, author: int | None, guest: UUID | None, task_id: int, until: datetime
) -> tuple[int, str] | None:
    """The context that this person holds and has not written about, and its goal; held on."""
    given = {"task": task_id, "person": _person(author, guest), "until": adapted(until)}
    found = prepared.rows(_HOLD_ON.format(whose=_whose(author)), given)
    return (found[0][0], found[0][1]) if found else None


def free_context(
    *, author: int | None, guest: UUID | None, task_id: int, policy: str, now: datetime
) -> int | None:
    """The context that this person is given next, under `lock_contexts`; None when none is left."""
    sql = _FREE_CONTEXT.format(whose=_whose(author), other=_other(author), order=_ORDERS[policy])
    given = {"task": task_id, "person": _person(author, guest), "now": adapted(now)}
    found = prepared.rows(sql, given)
    return int(found[0][0]) if found else None


def goals(*, author: int | None, task_id: int, now: datetime) -> dict[str, int]:
    """How often each label was somebody's goal in a task."""
    given = {"task": task_id, "now": adapted(now)}
    return dict(prepared.rows(_GOALS.format(other=_other(author)), given))


def insert_lease(lease: ContextLease) -> None:
    compiled.insert(lease)


def count_try(example: Example, *, most: int | None, goals: bool, now: datetime) -> bool:
    """Count a submission about its context; False when its author may make none such.

    `most` are the tries a person has; with `goals` only who was given the context may.
    """
    whose = _whose(example.author_id)
    key = WorkSession._meta.pk.db_type(connection) if example.author_id is None else "bigint"
    sql = _COUNT_TRY.format(whose=whose, person=f"CAST(%(person)s AS {key})")
    given = {
        "context": example.context_id,
        "person": _person(example.author_id, example.session_id),
        "unasked": not goals,
        "most": most or 2**31 - 1,
        "label": example.label if isinstance(example.label, str) else "",
        "now": adapted(now),
    }
    return bool(prepared.rows(sql, given))


def _whose(author: int | None) -> str:
    return "session_id" if author is None else "author_id"


def _other(author: int | None) -> str:
    return "author_id" if author is None else "session_id"
