"""What PostgreSQL is told on each new connection."""

from __future__ import annotations

from typing import Any

from django.db.backends.signals import connection_created
from django.dispatch import receiver

# By default a page that an index points to counts as four read in a row, as on a spinning disk. The
# queue looks into an index for each of up to a hundred items, and PostgreSQL would then read all of
# a table of a few pages instead, a hundred times: 5 ms for one's progress, until it has grown.
_INDEX_LOOKUPS_ARE_CHEAP = """
    SELECT set_config('random_page_cost', '1.1', false)
    WHERE current_setting('random_page_cost') = '4'
"""


@receiver(connection_created)
def count_on_memory_or_solid_state(connection: Any, **_: Any) -> None:
    """Lower the default cost of an index's pages; what an operator has set stays."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_INDEX_LOOKUPS_ARE_CHEAP)
