"""The one way to write: an outermost transaction, so that its end means committed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from django.db import transaction


def durable() -> AbstractContextManager[None]:
    """Open the transaction of a service; RuntimeError when another one is already open around it.

    A caller that acknowledges something after a nested block would acknowledge what can still be
    rolled back. On SQLite the write lock is taken here, at the start (transaction_mode IMMEDIATE).
    """
    return transaction.atomic(durable=True)


def after_commit(follow_up: Callable[[], Any]) -> None:
    """Run `follow_up` once the transaction is committed; what it raises is logged, not raised.

    Follow-ups are hints (a websocket message); nothing that must not be lost may live in one.
    """
    transaction.on_commit(follow_up, robust=True)
