"""Writes that go to PostgreSQL together with the next statement of their transaction.

A third of what a small statement costs, on either side, is its way there and back. A write that
returns nothing need not be waited for: it is sent in front of the next statement that is, and what
speaks against it is raised there, or at the latest at the transaction's end, before the commit.

Order is kept: whatever is executed on the connection meanwhile, by Django too, comes after it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from django.db import transaction

MOST = 50  # writes that wait; a loop that reads nothing must not collect all of them

_open: dict[Any, SentByTheEnd] = {}  # by Django's connection, of which each thread has its own


class SentByTheEnd:
    """For a block within a transaction: what is postponed in it is sent before the block ends.

    What waits when the block fails is dropped, as it would be rolled back.
    """

    def __init__(self, database: Any) -> None:
        self._database = database
        self._writes: list[bytes] = []
        self._cursor: Any = None

    def __enter__(self) -> None:
        if self._database.vendor == "postgresql":  # SQLite is in the process
            self._database.execute_wrappers.append(self._execute)
            _open[self._database] = self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if _open.pop(self._database, None) is None:
            return
        self._database.execute_wrappers.remove(self._execute)
        if kind is None:
            self._send()

    def cursor(self) -> Any:
        """One cursor for all that the block runs; what it found is read before it is used again."""
        if self._database.queries_logged:
            return self._database.cursor()
        if self._cursor is None:
            self._cursor = self._database.cursor()
        return self._cursor

    def add(self, sql: str, values: Any) -> None:
        """Let a statement whose result nobody reads wait for the next one."""
        self._writes.append(self._text(self.cursor().cursor, sql, values))
        if len(self._writes) >= MOST:
            self._send()

    def _execute(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        """Run a statement, behind those that wait."""
        if not self._writes:
            return execute(sql, params, many, context)
        cursor = context["cursor"].cursor
        if isinstance(sql, str) and sql.startswith("ROLLBACK TO "):
            self._writes.clear()  # the savepoint was sent behind what came before it
        elif many or cursor.name is not None:  # neither is one text for the server
            self._send()
        else:
            joined = self._joined(self._text(cursor, sql, params))
            if isinstance(sql, str) and sql.startswith("RELEASE "):
                return execute(joined, None, many, context)  # Django goes back to the savepoint
            with transaction.mark_for_rollback_on_error(self._database.alias):
                return execute(joined, None, many, context)
        return execute(sql, params, many, context)

    def _send(self) -> None:
        if self._writes:
            sql = self._joined()
            with transaction.mark_for_rollback_on_error(self._database.alias):
                self.cursor().execute(sql)

    def _text(self, cursor: Any, sql: Any, values: Any) -> bytes:
        """A statement with its values, as the driver would send it."""
        with self._database.wrap_database_errors:
            text: bytes = cursor.mogrify(sql, values)
        return text

    def _joined(self, *last: bytes) -> bytes:
        writes, self._writes = self._writes, []
        return b";\n".join([*writes, *last])


def waiting(database: Any) -> SentByTheEnd | None:
    """What takes postponed writes on this connection now; None: they are to be run at once."""
    return _open.get(database)
