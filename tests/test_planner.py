"""PostgreSQL is told that looking into an index is cheap, unless an operator has said something."""

import pytest
from django.db import connection

from dadc_server.planner import count_on_memory_or_solid_state


def cost() -> float:
    with connection.cursor() as cursor:
        cursor.execute("SHOW random_page_cost")
        return float(cursor.fetchone()[0])


@pytest.mark.django_db
def test_an_operator_s_own_cost_stays(on_postgres: bool) -> None:
    if not on_postgres:
        pytest.skip("SQLite has no such cost")
    assert cost() == 1.1
    with connection.cursor() as cursor:
        cursor.execute("SET random_page_cost = 2")
    count_on_memory_or_solid_state(connection)
    assert cost() == 2
    with connection.cursor() as cursor:
        cursor.execute("SET random_page_cost = 4")
    count_on_memory_or_solid_state(connection)
    assert cost() == 1.1
