"""Whether what is stored for speed is what the facts say, and making it so.

Tallies and the queue in one transaction; then, task by task, what is known about validators.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from django.db import OperationalError, connection
from django.db.models import Count, F, Q, QuerySet

from annotate.contents import keep_again, not_found
from annotate.models import ContextLease, Example, Task
from core.transactions import durable, one_view
from scoring.models import Tally
from scoring.tally import COLUMNS, contribution
from validate.people import recount as standings
from validate.people.recount import StandingRecount
from validate.recount import QueueDifference, queue_differences, repair_queue

ATTEMPTS = 20

Numbers = dict[str, int]

# A try is one since the author's last fooling in the round: those that follow the same one are
# numbered.
_WRONG_TRIES = f"""
    WITH since AS (
        SELECT id, round_id, author_id, tries, COUNT(*) FILTER (WHERE fooled) OVER (
            PARTITION BY round_id, author_id ORDER BY id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS foolings
        FROM {Example._meta.db_table} WHERE NOT sandbox
    ), counted AS (
        SELECT id, tries, ROW_NUMBER() OVER (
            PARTITION BY round_id, author_id, foolings ORDER BY id
        ) AS counted
        FROM since
    )
    SELECT id, counted FROM counted WHERE tries <> counted
"""  # noqa: S608  (the name of a table, from the model)

# A try is what somebody sent, and so has the sender's own id; what a log or a program brought, or
# an owner knows the answer of, is none. In one statement, for guests' tries wait for no repair.
_LACKING_TRIES = f"""
    WITH sent AS (
        SELECT context_id, COALESCE(CAST(author_id AS TEXT), CAST(session_id AS TEXT)) AS who,
               COUNT(*) AS tries
        FROM {Example._meta.db_table}
        WHERE context_id IS NOT NULL AND client_id IS NOT NULL
        GROUP BY 1, 2
    )
    SELECT lease.id, COALESCE(sent.tries, 0) - lease.tries
    FROM {ContextLease._meta.db_table} lease
    LEFT JOIN sent ON sent.context_id = lease.context_id
        AND sent.who = COALESCE(CAST(lease.author_id AS TEXT), CAST(lease.session_id AS TEXT))
    WHERE COALESCE(sent.tries, 0) <> lease.tries
"""  # noqa: S608  (names of tables, from the models)

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)  # some time, for a rule that asks only whether


@dataclass(frozen=True, slots=True)
class TallyDifference:
    """A person's numbers in a round that are not what their examples say."""

    round: int
    author: int
    stored: Numbers
    counted: Numbers


@dataclass(frozen=True, slots=True)
class Recount:
    """What was looked at and what was found to differ."""

    tallies: int
    examples: int
    tally_differences: tuple[TallyDifference, ...]
    queue_differences: tuple[QueueDifference, ...]
    tries: Mapping[int, int]  # by the example's id, where they are stored otherwise
    context_tries: Mapping[int, int]  # by the lease's id, how many it lacks
    standings: Mapping[str, StandingRecount]  # by the task's slug
    not_found: int  # examples that nobody would find by their own content

    @property
    def differences(self) -> int:
        """How many stored numbers were wrong."""
        wrong = sum(one.wrong for one in self.standings.values())
        here = (self.tally_differences, self.queue_differences, self.tries, self.context_tries)
        return sum(map(len, here)) + wrong + self.not_found

    @property
    def agrees(self) -> bool:
        return not self.differences


def check() -> Recount:
    """Recount everything at one moment, while people go on working."""
    with one_view():
        found = replace(_recount(), standings={one.slug: standings.check(one) for one in _tasks()})
    # Not at that moment: examples and their keys only ever come, and reading each takes long.
    return replace(found, not_found=sum(len(not_found(task)) for task in _tasks()))


def _tasks() -> QuerySet[Task]:
    return Task.objects.exclude(config=None).select_related("config").order_by("pk")


def repair() -> Recount:
    """Recount everything and correct what differs; submissions and votes wait meanwhile."""
    for attempt in range(1, ATTEMPTS):
        with suppress(OperationalError):  # people were in the way: they go first
            return _with_standings(_repair())
        time.sleep(0.2 * attempt)
    return _with_standings(_repair())


def _with_standings(found: Recount) -> Recount:
    lost = [not_found(task) for task in _tasks()]
    with durable():
        for examples in lost:
            keep_again(examples)
    return replace(
        found,
        standings={one.slug: standings.repair(one) for one in _tasks()},
        not_found=sum(map(len, lost)),
    )


def _repair() -> Recount:
    with durable():
        _keep_others_out()
        found = _recount()
        for tally in found.tally_differences:
            Tally.objects.update_or_create(
                round_id=tally.round, author_id=tally.author, defaults=tally.counted
            )
        for entry in found.queue_differences:
            repair_queue(entry)
        for example, tries in found.tries.items():
            Example.objects.filter(pk=example).update(tries=tries)
        for lease, lacks in found.context_tries.items():
            # By how many, for a guest's try, which moves no tally, may come in between.
            ContextLease.objects.filter(pk=lease).update(tries=F("tries") + lacks)
    return found


def _keep_others_out() -> None:
    """Let nobody change tallies or queue until the transaction ends.

    Whoever has counted is then committed, and whoever has not will add to what is written here:
    each change of a fact changes its tally in the same transaction. SQLite has one writer anyway.
    """
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        # People take these locks in more than one order. Giving up before PostgreSQL looks for
        # deadlocks, after a second, makes sure that it is never their request that fails.
        cursor.execute("SET LOCAL lock_timeout = '500ms'")
        cursor.execute("LOCK TABLE validate_queueitem, scoring_tally IN EXCLUSIVE MODE")


def _recount() -> Recount:
    facts = counted(Example.objects.counted())
    stored = {
        (row["round"], row["author"]): {column: row[column] for column in COLUMNS}
        for row in Tally.objects.values("round", "author", *COLUMNS)
    }
    nothing = dict.fromkeys(COLUMNS, 0)
    differences = [
        TallyDifference(key[0], key[1], stored.get(key, nothing), facts.get(key, nothing))
        for key in sorted(stored.keys() | facts.keys())
        if stored.get(key, nothing) != facts.get(key, nothing)
    ]
    return Recount(
        tallies=len(stored),
        examples=sum(numbers["submitted"] for numbers in facts.values()),
        tally_differences=tuple(differences),
        queue_differences=tuple(queue_differences()),
        tries=_wrong_tries(),
        context_tries=_wrong_context_tries(),
        standings={},
        not_found=0,
    )


def _wrong_tries() -> dict[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(_WRONG_TRIES)
        return dict(cursor.fetchall())


def _wrong_context_tries() -> dict[int, int]:
    """Of those who were given a context, or wrote about it, how many tries their row lacks."""
    with connection.cursor() as cursor:
        cursor.execute(_LACKING_TRIES)
        return dict(cursor.fetchall())


def counted(examples: QuerySet[Example]) -> dict[tuple[int, int], Numbers]:
    """The tallies as the examples make them: grouped by the database, judged by the one rule."""
    taken_back = Q(retracted_at__isnull=False)
    groups = (
        examples.values_list("round", "author", "fooled", "status")
        .annotate(
            all=Count("id"),
            withdrawn=Count("id", filter=taken_back | Q(hidden_at__isnull=False)),
        )
        .order_by()
    )
    totals: defaultdict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    for round_, author, fooled, status, all_, withdrawn in groups:
        if author is None:
            continue  # the database allows no counted example without an author
        for rows, hidden in ((all_ - withdrawn, False), (withdrawn, True)):
            example = Example(fooled=fooled, status=status, hidden_at=_LONG_AGO if hidden else None)
            for column, one in contribution(example).items():
                totals[round_, author][column] += one * rows
    return {key: {column: total[column] for column in COLUMNS} for key, total in totals.items()}
