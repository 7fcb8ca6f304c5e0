"""Connections that are kept, and what becomes of one that the database ends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connection, connections

from core import bridge


def pid() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("trusted", [0.0, 60.0])
def test_a_connection_that_just_answered_is_not_asked_first(
    on_postgres: bool, monkeypatch: pytest.MonkeyPatch, trusted: float
) -> None:
    """One that died meanwhile fails a single call: the next one gets another."""
    if not on_postgres:
        pytest.skip("SQLite's connections do not end by themselves")
    monkeypatch.setattr(bridge, "TRUSTED", trusted)
    with ThreadPoolExecutor(1) as thread:

        def asked() -> int:
            return thread.submit(bridge._with_live_connection, pid).result(10)

        first = asked()
        assert asked() == first
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
        if trusted:
            with pytest.raises(OperationalError):
                asked()
        second = asked()
        assert second != first
        assert asked() == second
        thread.submit(connections.close_all).result(10)
