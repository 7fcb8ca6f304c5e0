"""Pytest plugin of the second, PostgreSQL run: `-p tests.database_only`.

Leaves out what a database cannot change: tests of pure modules ran on SQLite already, and so did
the pages in the browser. Empties tables between transactional tests by DELETE: TRUNCATE makes new
files for every table and index, 80 to 900 ms for this schema where DELETE of a test's few rows
takes 1 to 5 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

DATABASE_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences"}


def uses_database(item: pytest.Item) -> bool:
    return item.get_closest_marker("django_db") is not None or not DATABASE_FIXTURES.isdisjoint(
        getattr(item, "fixturenames", ())
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept, left_out = [], []
    for item in items:
        wanted = uses_database(item) and not item.get_closest_marker("browser")
        (kept if wanted else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


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
