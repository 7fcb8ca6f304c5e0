"""One id that follows what a person did through HTTP, websocket and background job, in every log.

It lives in structlog's context, which threads of the database pool are given a copy of.
"""

from __future__ import annotations

import re
import uuid
from contextlib import AbstractContextManager
from contextvars import Context

from structlog.contextvars import bind_contextvars, bound_contextvars, get_contextvars

HEADER = b"x-request-id"
_TAKEN = re.compile(rb"[A-Za-z0-9_-]{8,64}")


def begin(header: bytes | None) -> str:
    """Bind the id that a proxy gave, or a new one when there is none that is safe to write down."""
    taken = header is not None and _TAKEN.fullmatch(header)
    request_id = header.decode("ascii") if header and taken else uuid.uuid4().hex
    bind_contextvars(request_id=request_id)
    return request_id


def current() -> str:
    """The id, to be stored with a job; "" outside a request."""
    return str(get_contextvars().get("request_id", ""))


def carry_on(request_id: str) -> AbstractContextManager[None]:
    """Do a job under the id of the request that caused it."""
    return bound_contextvars(**{"request_id": request_id} if request_id else {})


def nobodys() -> Context:
    """A context for what a request sets off but does not own, such as a watcher for everybody."""
    return Context()
