"""Handshakes and frames of bytes where code expects text: an answer, or a closed door."""

from __future__ import annotations

import json
from random import Random
from typing import Any
from urllib.parse import unquote

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings as django_settings

from accounts.models import User
from accounts.services import create_token
from annotate.models import Task
from core import doors
from dadc_server.web.sockets import websocket
from tests import cast
from tests.fuzz import hostile
from tests.fuzz.test_calls import CALLS, TAKES_LONG

pytestmark = [TAKES_LONG, pytest.mark.django_db(transaction=True)]

OURS = {"prediction_failed", "submission_failed", "turn_failed"}  # how mistakes of ours are told
PREDICT = {"type": "predict", "seq": 1, "input": cast.drawing(5)}
SUBMIT = {
    "type": "submit",
    "client_id": "6f0b6a3e-7a49-4f4b-9a5e-3d9f6f5b8a11",
    "input": cast.drawing(6),
    "label": "3",
    "explanation": "Thin.",
}


@pytest.fixture(autouse=True)
def open_doors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(django_settings, "LIMITS", doors.OFF)


def knocking(path: str, headers: dict[str, bytes], query: bytes = b"") -> ApplicationCommunicator:
    scope = {
        "type": "websocket",
        "scheme": "ws",
        "path": path,
        "headers": [(name.encode(), value) for name, value in headers.items()],
        "query_string": query,
        "client": ("10.9.8.7", 4711),
    }
    return ApplicationCommunicator(websocket, scope)


async def answer_of(socket: ApplicationCommunicator) -> dict[str, Any]:
    return dict(await socket.receive_output(timeout=cast.PATIENCE))


async def test_no_handshake_makes_the_server_fail(task: Task, annotator: User) -> None:
    rng = Random(12)
    token = (await sync_to_async(create_token)(user=annotator)).encode()
    for _ in range(CALLS // 15):
        path, headers = "/ws/tasks/digits/", {"host": b"localhost"}
        headers["authorization"] = rng.choice((b"Token " + token, b""))
        name = rng.choice(("authorization", "cookie", "host", "origin", "path", "slug", "other"))
        value = hostile.header(rng)
        match name:
            case "path":
                path = "/" + unquote(hostile.quoted(rng))
            case "slug":
                path = f"/ws/tasks/{unquote(hostile.quoted(rng))}/"
            case "cookie":
                headers[name] = b"sessionid=" + value
            case "authorization":
                headers[name] = b"Token " + value
            case _:
                headers[name] = value
        query = rng.choice((b"", b"ticket=", b"id=")) + hostile.header(rng)
        socket = knocking(path, headers, query)
        await socket.send_input({"type": "websocket.connect"})
        event = await answer_of(socket)
        assert event["type"] in {"websocket.accept", "websocket.close"}, (path, headers, event)
        if event["type"] == "websocket.accept":
            await socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await socket.wait()


async def test_no_frame_makes_the_server_fail(task: Task, annotator: User) -> None:
    rng = Random(13)
    token = await sync_to_async(create_token)(user=annotator)
    headers = {"host": b"localhost", "authorization": f"Token {token}".encode()}
    socket = knocking("/ws/tasks/digits/", headers)
    await socket.send_input({"type": "websocket.connect"})
    assert (await answer_of(socket))["type"] == "websocket.accept"
    assert json.loads((await answer_of(socket))["text"])["type"] == "ready"
    chat = await sync_to_async(lambda: cast.chatted(cast.chat_task(), annotator))()
    say = {"type": "say", "chat": str(chat.uid), "turn": 1, "content": "And now?"}
    for _ in range(CALLS // 5):
        body = hostile.json_of(rng, hostile.changed(rng, rng.choice((PREDICT, SUBMIT, say))))
        frame: dict[str, Any] = {"type": "websocket.receive", "bytes": body}
        if rng.random() < 0.95:  # a text frame that is no UTF-8 does not come this far
            frame = {"type": "websocket.receive", "text": body.decode("utf-8", "replace")}
        await socket.send_input(frame)
        said = {"type": "asked"}
        while said["type"] in {"asked", "piece"}:
            said = json.loads((await answer_of(socket))["text"])
        assert said["type"] in {"prediction", "accepted", "turn", "error"}, (frame, said)
        assert said.get("code") not in OURS, (frame, said)
        assert said["type"] != "error" or said["message"].endswith((".", ":", "…")), said
    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait()
