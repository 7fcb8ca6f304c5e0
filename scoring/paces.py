"""How people go about it: tries, answers seen, time; of their newest submissions, so that it costs
the same whether a task has thousands or millions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median
from typing import Any, Final, NamedTuple

from django.db import connection

from accounts.models import User
from annotate.models import Example, Task

NEWEST: Final = 50
AT_ONCE: Final = 5_000  # a database takes no statement of any length

# With the counting conditions of `Example.objects.counted()`. The index on (author, id) gives the
# newest ones of each; a window over all of theirs would read all of theirs.
_NEWEST_OF_EACH: Final = f"""
    SELECT u.id, (
        SELECT {{together}}
        FROM (
            SELECT e.seconds, e.probes, e.fooled FROM {Example._meta.db_table} e
            WHERE e.author_id = u.id AND e.task_id = %s AND NOT e.sandbox AND NOT e.provisional
            ORDER BY e.id DESC LIMIT {NEWEST}
        ) newest
    )
    FROM {User._meta.db_table} u WHERE u.id IN ({{people}})
"""  # noqa: S608  (names of tables, from the models)
_TOGETHER: Final = {
    "postgresql": "jsonb_agg(jsonb_build_array(seconds, probes, fooled))",
    "sqlite": "json_group_array(json_array(seconds, probes, fooled))",
}


class Pace(NamedTuple):
    """Submissions and answers seen for each fooling, and the median seconds of a submission; None
    where nothing fooled, or nothing was timed."""

    tries: float | None
    probes: float | None
    seconds: float | None


def paces_of(task: Task, people: Sequence[int]) -> dict[int, Pace]:
    """By person, of those who submitted anything; a query for each few thousand."""
    found: dict[int, Pace] = {}
    for start in range(0, len(people), AT_ONCE):
        some = people[start : start + AT_ONCE]
        places = ", ".join(["%s"] * len(some))
        sql = _NEWEST_OF_EACH.format(together=_TOGETHER[connection.vendor], people=places)
        with connection.cursor() as cursor:
            cursor.execute(sql, [task.pk, *some])
            read = ((person, json.loads(told or "[]")) for person, told in cursor.fetchall())
            found |= {person: _pace(rows) for person, rows in read if rows}
    return found


def _pace(rows: list[list[Any]]) -> Pace:
    foolings = sum(bool(fooled) for _, _, fooled in rows)
    timed = [seconds for seconds, _, _ in rows if seconds is not None]
    # What a program or a log sent tells of no answers seen: no known time, and none.
    watched = sum(bool(f) for seconds, n, f in rows if seconds is not None or n)
    return Pace(
        tries=len(rows) / foolings if foolings else None,
        probes=sum(probes for _, probes, _ in rows) / watched if watched else None,
        seconds=median(timed) if timed else None,
    )
