"""From the event loop into the database: bounded pools of threads, each with one kept connection.

`database_sync_to_async` would put every socket behind one thread; a thread per call would open a
connection per message (9 ms on PostgreSQL). Threads of these pools open one once and keep it.

Websockets hop call by call. An HTTP request needs one thread for all that it does, and Django would
start a new one for it, with a new connection: it is lent one instead.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, close_old_connections, connections

P = ParamSpec("P")
R = TypeVar("R")


# Seconds in which a connection that has just answered is not asked first whether it lives: a round
# trip in ten of a submission. One that dies within them fails one call more, which is asked again.
TRUSTED = 1.0
_thread = threading.local()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(settings.DATABASE_THREADS, thread_name_prefix="database")


def _with_live_connection(call: Callable[[], R]) -> R:
    close_old_connections()
    database: Any = connections[DEFAULT_DB_ALIAS]
    is_trusted = time.monotonic() - getattr(_thread, "asked_at", -TRUSTED) < TRUSTED
    if is_trusted:
        database.health_check_done = True
    try:
        answer = call()
        if not is_trusted and database.health_check_done:  # not when somebody else did the work
            _thread.asked_at = time.monotonic()
        return answer
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


# --- for a whole HTTP request ---------------------------------------------------------------------
_idle: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.LifoQueue[ThreadPoolExecutor]]
_idle = WeakKeyDictionary()


@asynccontextmanager
async def one_thread() -> AsyncIterator[None]:
    """Run all thread-sensitive calls of this block on one thread of a pool; waits for a free one.

    The thread used last is lent first, so that a quiet process keeps few connections.
    """
    loop = asyncio.get_running_loop()
    if loop not in _idle:
        _idle[loop] = asyncio.LifoQueue()
        for number in range(max(1, settings.DATABASE_THREADS)):
            _idle[loop].put_nowait(ThreadPoolExecutor(1, thread_name_prefix=f"request-{number}"))
    thread = await _idle[loop].get()
    try:
        async with ThreadSensitiveContext(executor=thread):
            yield
    finally:
        _idle[loop].put_nowait(thread)
