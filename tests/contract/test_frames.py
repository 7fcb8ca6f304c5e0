"""Every frame of the websocket in both directions, and every way in which it ends.

Spoken to the whole application, as a page or a script does.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.services import create_token
from annotate import consumers, rounds
from annotate.models import Example, Task
from core.doors import Door, Rate
from core.transactions import durable
from dadc_server.asgi import application
from tests import cast
from tests.pins import Pins, shape

pytestmark = pytest.mark.django_db(transaction=True)

SOCKET = "/ws/tasks/digits/"


class Socket:
    """One connection: sends frames, and pins the shape of each that comes."""

    def __init__(self, pinned: Pins, path: str, headers: dict[str, str]) -> None:
        self._pinned = pinned
        scope = {
            "type": "websocket",
            "scheme": "ws",
            "path": path,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "query_string": b"",
            "client": ("10.9.8.7", 4711),
            "subprotocols": [],
        }
        self._client = ApplicationCommunicator(application, scope)

    async def open(self) -> None:
        await self._client.send_input({"type": "websocket.connect"})

    async def event(self) -> dict[str, Any]:
        return dict(await self._client.receive_output(timeout=cast.PATIENCE))

    async def send(self, text: str | None = None, **frame: Any) -> None:
        text = json.dumps(frame) if text is None else text
        await self._client.send_input({"type": "websocket.receive", "text": text})

    async def receive(self, why: str = "") -> dict[str, Any]:
        """The next frame; what `why` tells apart has another shape."""
        event = await self.event()
        assert event["type"] == "websocket.send", event
        frame = json.loads(event["text"])
        self._pinned.same("frames", f"{frame['type']} {why}".strip(), shape(frame))
        return dict(frame)

    async def leave(self) -> None:
        await self._client.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._client.wait()


@asynccontextmanager
async def socket(pinned: Pins, path: str = SOCKET, **headers: str) -> AsyncIterator[Socket]:
    """An accepted connection, before its first frame."""
    opened = Socket(pinned, path, {"host": "localhost", **headers})
    await opened.open()
    assert (await opened.event())["type"] == "websocket.accept"
    yield opened
    await opened.leave()


@sync_to_async
def token_of(person: User) -> str:
    return f"Token {create_token(user=person)}"


@sync_to_async
def cookie_of_a_guest() -> str:
    client = Client()
    client.get("/tasks/digits/")
    return f"sessionid={client.cookies['sessionid'].value}"


def submission(**changes: Any) -> dict[str, Any]:
    drawn = {"input": cast.drawing(1), "label": "3"}
    return {"type": "submit", "client_id": str(uuid.uuid4()), **drawn, **changes}


# --- frames ---------------------------------------------------------------------------------------
async def test_the_frames_of_somebody_at_work(
    task: Task, annotator: User, settings: Any, pinned: Pins
) -> None:
    async with socket(pinned, authorization=await token_of(annotator)) as page:
        ready = await page.receive()
        assert (ready["version"], ready["sandbox"]) == (1, False)
        assert ready["person"] == f"user-{annotator.pk}"
        assert ready["labels"] == cast.DIGITS
        assert ready["session"] == {"tries": 0, "fooled": 0, "verified": 0, "streak": 0}

        await page.send(type="predict", seq=7, input=cast.drawing(1))
        said = await page.receive()
        assert said["seq"] == 7

        sent = submission(context=None, explanation="Thin.", fooled=True, prediction="9")
        await page.send(**sent)
        accepted = await page.receive()
        assert accepted["client_id"] == sent["client_id"]
        assert accepted["prediction"] == said["prediction"], "never what the client claims"
        await page.send(**sent)
        assert await page.receive() == accepted, "the same again is the same example"
        example = await Example.objects.aget()
        assert (accepted["id"], accepted["fooled"]) == (str(example.uid), said["prediction"] != "3")
        assert (example.probes, example.seconds is not None) == (1, True)

        await sync_to_async(next_round)(task)
        changed = await page.receive()
        assert (changed["round"], changed["model"]) == (2, "digits-2")


def next_round(task: Task) -> None:
    model = cast.fixed_model(task, seed=1)
    with durable():
        rounds.open_next_round(task=task, models=[model])


async def test_the_frames_of_a_chat(annotator: User, settings: Any, pinned: Pins) -> None:
    task = await sync_to_async(cast.chat_task)()
    uid = str((await sync_to_async(cast.chatted)(task, annotator)).uid)
    once = Door(person=Rate(2, 0.01), address=Rate(100, 100))
    settings.LIMITS = {**settings.LIMITS, "turn": once}
    say = {"type": "say", "chat": uid, "turn": 1, "content": "Hello"}
    async with socket(pinned, "/ws/tasks/chats/", authorization=await token_of(annotator)) as page:
        await page.receive("(chats)")
        await page.send(**say)
        frames = [await page.receive() for _ in range(2)]
        while frames[-1]["type"] == "piece":
            frames.append(await page.receive())
        assert [frames[0]["type"], frames[-1]["type"]] == ["asked", "turn"]
        assert "".join(frame["text"] for frame in frames[1:-1]) == "You said: Hello"
        assert frames[-1]["content"] == "You said: Hello"
        await page.send(**{**say, "content": "Another"})
        error = await page.receive("(say)")
        assert (error["code"], error["chat"], error["turn"]) == ("turn_taken", uid, 1)
        await page.send(**say)
        assert (await page.receive("(say)"))["retry_ms"] > 0
        for bad in ({"turn": 0}, {"turn": True}, {"turn": 2**31}, {"chat": 7}):
            await page.send(**{**say, **bad})
            assert (await page.receive())["code"] == "bad_frame"


async def test_the_frames_of_a_guest(task: Task, pinned: Pins) -> None:
    async with socket(pinned) as script:
        assert (await script.receive("(nobody)"))["sandbox"] is True
        await script.send(**submission())
        assert (await script.receive("(submit)"))["code"] == "sign_in"
    async with socket(pinned, cookie=await cookie_of_a_guest()) as page:
        assert (await page.receive())["sandbox"] is True
        await page.send(**submission())
        assert (await page.receive())["session"]["tries"] == 1
        assert (await Example.objects.aget()).sandbox


async def test_a_task_without_a_sandbox_answers_no_guest(
    owner: User, pinned: Pins, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sync_to_async(cast.digits_task)(owner)
    cookie = await cookie_of_a_guest()
    await sync_to_async(cast.digits_task)(owner, sandbox=False)
    far = AsyncMock(remote=True, known=lambda _: None)  # each question costs its owner
    monkeypatch.setattr(consumers, "already_open", lambda _: far)
    async with socket(pinned, cookie=cookie) as page:
        await page.receive()
        await page.send(**PREDICT)
        assert (await page.receive("(predict)"))["code"] == "sign_in"
        await page.send(**submission())
        assert (await page.receive("(submit)"))["code"] == "sign_in"
    far.predict.assert_not_awaited()


async def test_between_two_rounds_there_is_no_model(task: Task, pinned: Pins) -> None:
    await task.rounds.aupdate(status="closed")
    async with socket(pinned) as page:
        assert (await page.receive("(no round)"))["round"] is None


async def test_who_is_too_fast_is_told_when_to_come_again(
    task: Task, annotator: User, settings: Any, pinned: Pins
) -> None:
    once = Door(person=Rate(1, 0.01), address=Rate(100, 100))
    settings.LIMITS = {**settings.LIMITS, "predict": once, "submit": once}
    async with socket(pinned, authorization=await token_of(annotator)) as page:
        await page.receive()
        for seq in (1, 2):
            await page.send(type="predict", seq=seq, input=cast.drawing(1))
            answer = await page.receive(*(["(predict)"] if seq == 2 else []))
        assert (answer["type"], answer["seq"]) == ("busy", 2)
        for seed in (1, 2):
            await page.send(**(sent := submission(input=cast.drawing(seed))))
            answer = await page.receive(*(["(submit)"] if seed == 2 else []))
        assert (answer["type"], answer["client_id"]) == ("busy", sent["client_id"])


# --- refusals -------------------------------------------------------------------------------------
# What is sent, the code it is refused with, and the name of the frame's shape.
PREDICT = {"type": "predict", "seq": 1, "input": cast.drawing(1)}
REFUSED: list[tuple[Any, str, str]] = [
    ("{", "bad_frame", ""),
    ("[1, 2]", "bad_frame", ""),
    ("[" * 100_000, "bad_frame", ""),
    ({"type": "dance"}, "bad_frame", ""),
    ({**PREDICT, "seq": "one"}, "bad_frame", ""),
    ({**PREDICT, "seq": True}, "bad_frame", ""),
    ({**PREDICT, "seq": -1}, "bad_frame", ""),
    ({"type": "submit", "label": "3"}, "bad_frame", ""),
    (submission(client_id="7"), "bad_frame", "(bad client_id)"),
    (submission(label=None), "bad_frame", "(submit)"),
    (submission(explanation=7), "bad_frame", "(submit)"),
    ({**PREDICT, "input": None}, "bad_input", "(predict, fields)"),
    (submission(label="eleven"), "unknown_label", "(submit, label)"),
    (submission(input=None), "bad_input", "(submit, fields)"),
    (submission(input={"png": "no base64!"}), "bad_base64", "(submit, fields)"),
    (submission(input={"png": "AAAA"}), "bad_image", "(submit, fields)"),
    (submission(input={"pixels": [0.0] * 784}), "empty_drawing", "(submit, fields)"),
    (submission(context="It is a 7."), "no_context", "(submit, context)"),
    (submission(explanation="x" * 2001), "too_long", "(submit)"),
]


async def test_what_is_refused_is_told_and_the_socket_stays(
    task: Task, annotator: User, settings: Any, pinned: Pins
) -> None:
    """Answered with the seq or the client_id that it came with, where there is one."""
    async with socket(pinned, authorization=await token_of(annotator)) as page:
        await page.receive()
        for sent, code, why in REFUSED:
            await (page.send(sent) if isinstance(sent, str) else page.send(**sent))
            error = await page.receive(why)
            assert (error["type"], error["code"]) == ("error", code), sent
            if isinstance(sent, dict):
                for name in {"seq", "client_id"} & set(error):
                    assert error[name] == sent[name]
        await page.send(**PREDICT)
        assert (await page.receive())["seq"] == 1
    assert not await task.examples.aexists()


async def test_what_was_true_at_the_opening_is_looked_at_again(
    task: Task, annotator: User, pinned: Pins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bans, closed accounts and new rounds count at once, before the page has heard of them."""
    monkeypatch.setattr("dadc_server.web.sockets.LOOK_EVERY", cast.PATIENCE)
    monkeypatch.setattr("annotate.live.MAX_AGE", cast.PATIENCE)
    person = User.objects.filter(pk=annotator.pk)
    async with socket(pinned, authorization=await token_of(annotator)) as page:
        await page.receive()
        await page.send(**submission())
        await page.receive()

        async def refusal(seed: int) -> str:
            await page.send(**submission(input=cast.drawing(seed)))
            return str((await page.receive("(submit)"))["code"])

        await person.aupdate(banned_at=timezone.now())
        assert await refusal(2) == "banned"
        await person.aupdate(banned_at=None, is_active=False)
        assert await refusal(3) == "signed_out"
        await person.aupdate(is_active=True)
        await task.rounds.aupdate(status="closed")
        second = await task.rounds.acreate(number=2, status="open")
        await second.targets.aset([await task.models.aget()])
        assert await refusal(4) == "round_changed"
        await task.rounds.aupdate(status="closed")
        assert await refusal(5) == "no_open_round"


@pytest.mark.parametrize(
    ("sent", "code", "why"),
    [
        (PREDICT, "prediction_failed", "(predict)"),
        (submission(), "submission_failed", "(submit)"),
        (
            {"type": "say", "chat": str(uuid.uuid4()), "turn": 1, "content": "b"},
            "turn_failed",
            "(say)",
        ),
    ],
)
async def test_a_mistake_of_the_server_is_told_without_its_details(
    task: Task,
    annotator: User,
    pinned: Pins,
    monkeypatch: pytest.MonkeyPatch,
    sent: dict[str, Any],
    code: str,
    why: str,
) -> None:
    def mistaken(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("annotate.queries.Target.models_for", mistaken)
    monkeypatch.setattr("annotate.chats._uuid", mistaken)
    async with socket(pinned, authorization=await token_of(annotator)) as page:
        await page.receive()
        await page.send(**sent)
        error = await page.receive(why)
    assert error["code"] == code
    assert "secret" not in json.dumps(error)


CODES = {code for _, code, _ in REFUSED} | {
    "banned", "signed_out", "round_changed", "no_open_round", "sign_in", "prediction_failed",
    "submission_failed", "not_found", "too_many_connections", "turn_failed",
}  # fmt: skip


# --- ends -----------------------------------------------------------------------------------------
async def end_of(page: Socket, code: str) -> int:
    """The close code that follows an error."""
    error = await page.receive()
    assert (error["type"], error["code"]) == ("error", code)
    closed = await page.event()
    assert closed["type"] == "websocket.close"
    return int(closed["code"])


@pytest.mark.parametrize("path", ["/ws/tasks/chess/", "/ws/tasks/hidden/"])
async def test_a_task_that_is_not_there_is_4404(
    task: Task, owner: User, annotator: User, pinned: Pins, path: str
) -> None:
    await sync_to_async(cast.digits_task)(owner, slug="hidden", public=False)
    async with socket(pinned, path, authorization=await token_of(annotator)) as page:
        assert await end_of(page, "not_found") == 4404


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [("authorization", "Token nonsense", 4401), ("origin", "https://evil.example", None)],
)
async def test_who_may_not_come_in_is_refused_in_the_handshake(
    task: Task, pinned: Pins, header: str, value: str, code: int | None
) -> None:
    """Before it is accepted: the server makes an HTTP 403 of it, whatever the code."""
    refused = Socket(pinned, SOCKET, {"host": "localhost", header: value})
    await refused.open()
    event = await refused.event()
    assert event["type"] == "websocket.close"
    assert event.get("code") == code
