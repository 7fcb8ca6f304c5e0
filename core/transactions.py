"""The one way to write: an outermost transaction, so that its end means committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction


@contextmanager
def durable() -> Iterator[None]:
    """Open the transaction of a service; RuntimeError when another one is already open around it.

    TransactionManagementError when an error within it was caught, after which nothing can be
    committed: a block that ends without an exception is committed.

    A caller that acknowledges something after a nested block would acknowledge what can still be
    rolled back. On SQLite the write lock is taken here, at the start (transaction_mode IMMEDIATE).
    """
    database: Any = connections[DEFAULT_DB_ALIAS]
    with transaction.atomic(durable=True):
        yield
        database.validate_no_broken_transaction()


@contextmanager
def one_view() -> Iterator[None]:
    """Let every query of the block see the database as it is now; it writes nothing, stops no one.

    Outside of any transaction, but for one that a test has begun.
    """
    database: Any = connections[DEFAULT_DB_ALIAS]
    if database.in_atomic_block:  # a test's
        yield
    elif database.vendor == "postgresql":
        with transaction.atomic(), database.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield
    else:
        with database.cursor() as cursor:
            cursor.execute("BEGIN DEFERRED")  # Django's own would wait for the write lock
            try:
                yield
            finally:
                cursor.execute("ROLLBACK")


def after_commit(follow_up: Callable[[], Any]) -> None:
    """Run `follow_up` once the transaction is committed; what it raises is logged, not raised.

    Follow-ups are hints (a websocket message); nothing that must not be lost may live in one.
    """
    transaction.on_commit(follow_up, robust=True)
