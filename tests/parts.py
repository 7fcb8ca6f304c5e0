"""Pytest plugin that runs one part of the suite: `-p tests.parts --part code|browser|database`.

bin/test gives each part a process of its own. Playwright leaves an event loop running in the thread
of its tests, in which Django refuses every later query; and what a database cannot change (pure
modules, pages in the browser) need not run on PostgreSQL again.

On PostgreSQL, tables are emptied between transactional tests by DELETE: TRUNCATE makes new files
for every table and index, 80 to 900 ms for this schema where DELETE of a test's few rows takes 1
to 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

DATABASE_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences"}


def in_browser(item: pytest.Item) -> bool:
    return item.get_closest_marker("browser") is not None


def uses_database(item: pytest.Item) -> bool:
    return item.get_closest_marker("django_db") is not None or not DATABASE_FIXTURES.isdisjoint(
        getattr(item, "fixturenames", ())
    )


def uses_redis(item: pytest.Item) -> bool:
    return item.get_closest_marker("redis") is not None


def runs_once(item: pytest.Item) -> bool:
    return item.get_closest_marker("once") is not None


def is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


PARTS = {
    "code": lambda item: not in_browser(item),
    "browser": in_browser,
    "database": lambda item: (
        (uses_database(item) or uses_redis(item)) and not in_browser(item) and not runs_once(item)
    ),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", choices=sorted(PARTS), required=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = PARTS[config.getoption("part")]
    config.hook.pytest_deselected(items=[item for item in items if not wanted(item)])
    # The slow ones begin first: nobody waits for one of them at the end.
    items[:] = sorted(filter(wanted, items), key=lambda item: not is_slow(item))


def pytest_configure() -> None:
    from django.db.backends.postgresql.operations import DatabaseOperations

    truncate = DatabaseOperations.sql_flush

    def delete_all(
        self: DatabaseOperations,
        style: Any,
        tables: Sequence[str],
        *,
        reset_sequences: bool = False,
        **options: Any,
    ) -> list[str]:
        """The statements that empty the tables, foreign keys and triggers asleep meanwhile."""
        if reset_sequences or not tables:
            return truncate(self, style, tables, reset_sequences=reset_sequences, **options)
        return [
            "SET LOCAL session_replication_role = replica",
            *(f"DELETE FROM {self.quote_name(table)}" for table in tables),
        ]

    DatabaseOperations.sql_flush = delete_all  # type: ignore[method-assign, assignment]
