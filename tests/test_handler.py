"""HTTP requests and their threads: no client, however slow, keeps one from the others."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dadc_server.web.handler import Handler
from validate import api as judging

Message = dict[str, Any]
NOWHERE = "/nowhere/"  # a page without a query


@pytest.fixture
def handler(settings: Any) -> Handler:
    settings.DATABASE_THREADS = 1
    return Handler()


def request_for(path: str, method: str = "GET") -> Message:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }


def body_of(*pieces: bytes) -> Callable[[], Awaitable[Message]]:
    """Receive these pieces, and then nothing: the client stays."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages[-1]["more_body"] = False

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    return receive


async def answer_to(handler: Handler, scope: Message, receive: Any) -> tuple[int, Message, bytes]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await asyncio.wait_for(handler(scope, receive, send), 10)
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(part["body"] for part in sent[1:])


async def test_who_reads_slowly_holds_no_thread(handler: Handler) -> None:
    reading = asyncio.Event()

    async def never_read(_: Message) -> None:
        reading.set()
        await asyncio.Event().wait()

    slow = asyncio.create_task(handler(request_for(NOWHERE), body_of(b""), never_read))
    await asyncio.wait_for(reading.wait(), 10)

    status, _, page = await answer_to(handler, request_for(NOWHERE), body_of(b""))

    assert (status, bool(page)) == (404, True)
    slow.cancel()


async def test_who_sends_slowly_holds_no_thread(handler: Handler) -> None:
    begun = asyncio.Event()

    async def drip() -> Message:
        if begun.is_set():
            await asyncio.Event().wait()
        begun.set()
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    async def send(_: Message) -> None:
        pass

    slow = asyncio.create_task(handler(request_for(NOWHERE, "POST"), drip, send))
    await asyncio.wait_for(begun.wait(), 10)

    status, _, _ = await answer_to(handler, request_for(NOWHERE), body_of(b""))

    assert status == 404
    slow.cancel()


@pytest.mark.parametrize("path", ["/api/v1/tasks/digits/predictions/", "/accounts/login/"])
async def test_a_body_without_end_is_read_to_the_limit(
    handler: Handler, settings: Any, path: str
) -> None:
    taken = 0

    async def pour() -> Message:
        nonlocal taken
        taken += 65_536
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

    status, headers, body = await answer_to(handler, request_for(path, "POST"), pour)

    assert (status, headers["connection"]) == (413, "close")
    assert taken <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 65_536
    if path.startswith("/api/"):
        assert json.loads(body)["error"]["code"] == "too_large"
    else:
        assert b"too large" in body


@pytest.mark.django_db
async def test_when_an_act_on_an_item_is_answered_does_not_tell_how_long_it_took(
    handler: Handler, settings: Any
) -> None:
    settings.DATABASE_THREADS = 0
    path = f"/api/v1/validations/{uuid.uuid4()}/heartbeat/"
    whole = 0.0

    async def late() -> Message:
        # Who sends the end of a body when they like would choose what just misses a tick.
        nonlocal whole
        await asyncio.sleep(0.6 * judging.TICK)
        whole = time.monotonic()
        return {"type": "http.request", "body": b"", "more_body": False}

    for _ in range(3):  # the first of them imports what others have
        status, _, _ = await answer_to(handler, request_for(path, "POST"), late)
        assert status in (401, 403)
        assert time.monotonic() - whole >= judging.TICK


def test_every_act_on_an_item_is_answered_so() -> None:
    acts = [
        view
        for view in vars(judging).values()
        if isinstance(view, type) and view.__module__ == judging.__name__ and hasattr(view, "post")
    ]
    assert len(acts) == 5
    assert all(issubclass(view, judging.Judging) for view in acts)
