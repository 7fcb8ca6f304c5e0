"""From the event loop into the database: a bounded pool of threads, each with one kept connection.

`database_sync_to_async` would put every socket behind one thread; a thread per call would open a
connection per message (9 ms on PostgreSQL). Threads of this pool open one once and keep it.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections

P = ParamSpec("P")
R = TypeVar("R")


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(settings.DATABASE_THREADS, thread_name_prefix="database")


def _with_live_connection(call: Callable[[], R]) -> R:
    close_old_connections()
    try:
        return call()
    finally:
        close_old_connections()


async def in_database_thread(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a query or a service off the event loop and return what it returns.

    With `settings.DATABASE_THREADS = 0` (tests inside one transaction) it runs on the thread that
    owns the test's connection instead.
    """
    call = partial(function, *args, **kwargs)
    if settings.DATABASE_THREADS == 0:
        return await sync_to_async(call, thread_sensitive=True)()
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(
        _pool(), lambda: context.run(_with_live_connection, call)
    )
