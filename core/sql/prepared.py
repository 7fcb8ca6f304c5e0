"""Statements that PostgreSQL parses and plans once for a connection, not each time they are run.

Of what a vote costs PostgreSQL half is parsing and planning some twenty statements, the same as for
the vote before. Only statements whose text is one of a few, and that run often, are prepared.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Hashable, Sequence
from functools import cache
from time import monotonic
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from django.db import DEFAULT_DB_ALIAS, NotSupportedError, connections

# A plan that was made for a nearly empty table reads all of it for every row: it is made anew when
# its statement has run twice as often, so that what it fills has only doubled, and each minute.
RUNS_BEFORE = 16
PLAN_SECONDS = 60.0

_KEPT = "_dadc_cursor"

Values = Sequence[Any] | dict[str, Any]

_runs: Counter[str] = Counter()
_plans: WeakKeyDictionary[Any, dict[Hashable, _Plan]] = WeakKeyDictionary()  # by the driver's


def rows(sql: str, values: Values) -> list[Any]:
    """What a statement returns that is run again and again, with other values.

    Values by name may stand in any expression, those by place only where a column says their type:
    compared with it, or written to it.

    Behind a pooler that gives each transaction another session, as Django's setting
    DISABLE_SERVER_SIDE_CURSORS says, nothing is prepared.
    """
    found: list[Any] = _run(sql, values).fetchall()
    return found


def changed(sql: str, values: Values) -> int:
    """The same of a write: the number of rows that it wrote."""
    return int(_run(sql, values).rowcount)


def database() -> Any:
    """This thread's connection itself: `connection` looks it up anew for each attribute."""
    return connections[DEFAULT_DB_ALIAS]


def _cursor(default: Any) -> Any:
    """A connection's one cursor: to make one takes a third of the time of a small statement.

    For what is read to its end at once; nobody else has it, and whoever looks at queries does not.
    """
    default.close_if_health_check_failed()
    if default.connection is None or default.queries_logged:
        return default.cursor()
    kept = getattr(default, _KEPT, None)  # as old as the connection, which it keeps alive
    if kept is None or kept.connection is not default.connection:
        kept = default.cursor()
        setattr(default, _KEPT, kept)
    return kept


def _run(sql: str, values: Values) -> Any:
    """The cursor that the statement was run on."""
    default = database()
    cursor = _cursor(default)
    plan = _planned(default, sql, values)
    if plan is None:
        cursor.execute(sql, values)
    else:
        try:
            cursor.execute(plan.sql, plan.values)
        except NotSupportedError:  # a column's type has changed under it
            _plans[default.connection].pop(plan.key, None)
            raise
    return cursor


class _Planned(NamedTuple):
    key: Hashable
    sql: str
    values: Sequence[Any]


def _planned(database: Any, sql: str, values: Values) -> _Planned | None:
    """How a statement is run by its plan, which is there now; None: it is to be run as it is."""
    if database.vendor != "postgresql":
        return None
    names: tuple[str, ...] | None = None
    types: tuple[str, ...] | None = None  # columns say them
    if isinstance(values, dict):
        names = _names(sql)
        given: Sequence[Any] = [values[name] for name in names]
        types = tuple(map(_type_of, given))
    else:
        given = values
    key = sql, types
    plans = _plans.get(database.connection)
    plan = plans.get(key) if plans else None
    _runs[sql] += 1
    if plan is None or _runs[sql] >= plan.until or monotonic() - plan.since > PLAN_SECONDS:
        if _runs[sql] <= RUNS_BEFORE or database.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
            return None
        statement = _statement(sql, names, types or ("unknown",) * len(given))
        with database.cursor() as cursor:
            plan = _prepare(cursor, key, statement, until=2 * _runs[sql])
    return _Planned(key, plan.sql, given)


def _prepare(cursor: Any, key: Hashable, statement: _Statement, *, until: int) -> _Plan:
    """A new plan, under a name of its own: when it cannot be made, the old one is still there."""
    plans = _plans.setdefault(cursor.db.connection, {})
    old = plans.get(key)
    name = f"{statement.name}_{next(_generation)}"
    plan = _Plan(name, f"EXECUTE {name}{statement.places}", monotonic(), until)
    cursor.execute(f"PREPARE {name}{statement.body}")
    plans[key] = plan
    if old is not None:
        cursor.execute(f"DEALLOCATE {old.name}")
    return plan


class _Plan(NamedTuple):
    name: str
    sql: str
    since: float
    until: int  # runs of the statement


class _Statement(NamedTuple):
    name: str
    body: str
    places: str


_generation = itertools.count()


@cache
def _statement(sql: str, names: tuple[str, ...] | None, types: tuple[str, ...]) -> _Statement:
    """A statement for values of these types.

    Its name follows from what it says: on a session that is shared after all, in spite of the
    setting, another process' name is an error or the same statement, never another one.
    """
    text = hashlib.sha256(repr((sql, types)).encode()).hexdigest()[:16]
    places = tuple(f"${place + 1}" for place in range(len(types)))
    body = sql % (places if names is None else dict(zip(names, places, strict=True)))
    declared = f" ({', '.join(types)})" if types else ""
    given = f" ({', '.join(['%s'] * len(types))})" if types else ""
    return _Statement(f"dadc_{text}", f"{declared} AS {body}", given)


@cache
def _names(sql: str) -> tuple[str, ...]:
    """The names of the values that a statement uses."""
    return tuple(dict.fromkeys(re.findall(r"%\((\w+)\)s", sql)))


def _type_of(value: Any) -> str:
    """The type of a value if it is a number: beside a whole number PostgreSQL would take any other
    for one, and round it."""
    if isinstance(value, float):
        return "double precision"
    return "bigint" if isinstance(value, int) and not isinstance(value, bool) else "unknown"
