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
def one_moment() -> Iterator[None]:
    """The same, whose queries all see one state of the database, while people go on working."""
    database: Any = connections[DEFAULT_DB_ALIAS]
    with durable():
        # Too late where a test has begun the transaction: there nobody else is at work.
        if database.vendor == "postgresql" and not database.savepoint_ids:
            with database.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def after_commit(follow_up: Callable[[], Any]) -> None:
    """Run `follow_up` once the transaction is committed; what it raises is logged, not raised.

    Follow-ups are hints (a websocket message); nothing that must not be lost may live in one.
    """
    transaction.on_commit(follow_up, robust=True)
