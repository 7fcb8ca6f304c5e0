"""Pytest plugin of the second, PostgreSQL run: leaves out what a database cannot change.

Loaded by bin/test with `-p tests.database_only`; tests of pure modules ran on SQLite already, and
so did the pages in the browser.
"""

import pytest

DATABASE_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences"}


def uses_database(item: pytest.Item) -> bool:
    return item.get_closest_marker("django_db") is not None or not DATABASE_FIXTURES.isdisjoint(
        getattr(item, "fixturenames", ())
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept = [
        item for item in items if uses_database(item) and not item.get_closest_marker("browser")
    ]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept
