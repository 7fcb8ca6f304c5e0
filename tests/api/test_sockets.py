"""Who may open the websocket: pages of this site, and scripts with a token or a cookie."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.test import Client

from accounts.models import User
from accounts.services import create_token
from annotate.models import Task
from dadc_server.sockets import websocket

pytestmark = pytest.mark.django_db(transaction=True)


async def first_answer(**headers: str) -> dict[str, Any]:
    """The `ready` frame, or the event that refused the handshake."""
    scope = {
        "type": "websocket",
        "path": "/ws/tasks/digits/",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "query_string": b"",
    }
    socket = ApplicationCommunicator(websocket, scope)
    await socket.send_input({"type": "websocket.connect"})
    event = await socket.receive_output(timeout=5)
    if event["type"] != "websocket.accept":
        return dict(event)
    frame = json.loads((await socket.receive_output(timeout=5))["text"])
    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait()
    return dict(frame)


async def test_a_script_opens_it_with_its_token(task: Task, annotator: User) -> None:
    token = await sync_to_async(create_token)(user=annotator)

    ready = await first_answer(authorization=f"Token {token}")

    assert (ready["type"], ready["sandbox"]) == ("ready", False)


async def test_a_wrong_token_is_refused(task: Task) -> None:
    assert (await first_answer(authorization="Token nonsense"))["type"] == "websocket.close"


async def test_a_page_of_this_site_opens_it_with_its_session(task: Task, annotator: User) -> None:
    client = Client()
    await sync_to_async(client.force_login)(annotator)
    cookie = f"sessionid={client.cookies['sessionid'].value}"

    ready = await first_answer(cookie=cookie, origin="http://localhost:8000")

    assert (ready["type"], ready["sandbox"]) == ("ready", False)


async def test_a_page_of_another_site_is_refused(task: Task, annotator: User) -> None:
    token = await sync_to_async(create_token)(user=annotator)

    for origin in ("https://evil.example", "null"):
        refused = await first_answer(authorization=f"Token {token}", origin=origin)
        assert refused["type"] == "websocket.close"


async def test_a_guest_opens_it_for_practice(task: Task) -> None:
    assert (await first_answer())["sandbox"] is True
