"""Pytest plugin that runs one part of the suite: `-p tests.parts --part NAME`, one of PARTS.

bin/test gives each part a process of its own. Playwright leaves an event loop running in the thread
of its tests, in which Django refuses every later query; what a database cannot change (pure
modules, pages in the browser) need not run on PostgreSQL again; and what starts whole programs on
SQLite is apart, so that all rows of parts take about as long.

On PostgreSQL, tables are emptied between transactional tests by DELETE: TRUNCATE makes new files
for every table and index, 80 to 900 ms for this schema where DELETE of a test's few rows takes 1
to 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
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


PROGRAMS = {"backup", "commands", "crash", "fuzz", "outages", "proxy"}


def starts_programs(path: Path) -> bool:
    return path.parent.name in PROGRAMS


PARTS = {
    "code": lambda item: not in_browser(item) and not starts_programs(item.path),
    "browser": in_browser,
    "programs": lambda item: starts_programs(item.path) and not in_browser(item),
    "database": lambda item: (
        (uses_database(item) or uses_redis(item)) and not in_browser(item) and not runs_once(item)
    ),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", choices=sorted(PARTS), required=True)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what the part cannot run, before it is imported."""
    if not collection_path.name.startswith("test_"):
        return None
    text = collection_path.read_text()
    browser = "mark.browser" in text
    return {
        "code": starts_programs(collection_path),
        "browser": not browser,
        "programs": not starts_programs(collection_path),
        "database": "pytestmark = pytest.mark.once" in text
        or "pytestmark = [pytest.mark.browser" in text,
    }[config.getoption("part")] or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = PARTS[config.getoption("part")]
    config.hook.pytest_deselected(items=[item for item in items if not wanted(item)])
    items[:] = filter(wanted, items)


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
