"""The annotator's websocket, spoken as a page speaks it."""

import asyncio
import base64
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from threading import Event
from typing import Any

import numpy as np
import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import AnonymousUser
from django.test import Client

from accounts.models import User
from annotate import inference, live, protocol, rounds
from annotate.consumers import AnnotateConsumer
from annotate.models import Example, Task
from core import limits
from core.doors import Door, Rate
from core.transactions import durable
from kinds.image.pixels import png_of
from tests import cast

pytestmark = pytest.mark.django_db(transaction=True)


class Page:
    """One open page: sends frames, waits for the answer of a kind."""

    def __init__(self, socket: ApplicationCommunicator) -> None:
        self.socket = socket

    async def send(self, **frame: Any) -> None:
        await self.send_text(json.dumps(frame))

    async def send_text(self, text: str) -> None:
        await self.socket.send_input({"type": "websocket.receive", "text": text})

    async def receive(self, kind: str) -> dict[str, Any]:
        event = await self.socket.receive_output(timeout=cast.PATIENCE)
        assert event["type"] == "websocket.send", event
        frame = json.loads(event["text"])
        assert frame["type"] == kind, frame
        return dict(frame)


@asynccontextmanager
async def page(
    task: Task, user: User | None = None, guest: str | None = None, address: str = "127.0.0.1"
) -> AsyncIterator[Page]:
    scope = {
        "type": "websocket",
        "path": f"/ws/tasks/{task.slug}/",
        "headers": [],
        "client": (address, 4711),
        "url_route": {"kwargs": {"slug": task.slug}},
        "user": user or AnonymousUser(),
        "session": {"guest": guest} if guest else {},
    }
    socket = ApplicationCommunicator(AnnotateConsumer.as_asgi(), scope)
    await socket.send_input({"type": "websocket.connect"})
    assert (await socket.receive_output(timeout=cast.PATIENCE))["type"] == "websocket.accept"
    yield Page(socket)
    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait()


@pytest.fixture
def count() -> Callable[[], Awaitable[int]]:
    return sync_to_async(Example.objects.count)


def large(seed: int) -> dict[str, str]:
    """A drawing four times the size of what the page's canvas makes."""
    png = png_of(np.kron(cast.scribble(seed), np.ones((20, 20), np.float32)))
    return {"png": base64.b64encode(png).decode()}


async def test_a_large_picture_is_paid_for_by_the_work_that_it_makes(
    task: Task, annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At both doors, over the socket and over REST: whoever sent one waits, others do not."""
    monkeypatch.setattr(limits, "USUAL_SECONDS", 1e-6)
    client = Client()
    await sync_to_async(client.force_login)(annotator)
    submission = {"client_id": str(uuid.uuid4()), "label": "1", "input": large(1)}
    asks = {
        "predictions": {"input": large(2)},
        "examples": {**submission, "client_id": str(uuid.uuid4()), "input": large(3)},
    }
    async with page(task, annotator) as opened:
        await opened.receive("ready")
        for frame in ({"type": "submit", **submission}, {"type": "predict", "seq": 1}):
            limits.forget_limits()
            await opened.send(**{"input": large(4), **frame})
            await opened.receive("accepted" if frame["type"] == "submit" else "prediction")
            await opened.send(type="predict", seq=2, input=cast.drawing(1))
            assert (await opened.receive("busy"))["seq"] == 2
            another = str(uuid.uuid4())
            await opened.send(**{**frame, "type": "submit", **submission, "client_id": another})
            assert (await opened.receive("busy"))["client_id"] == another
    post = sync_to_async(client.post)
    for call, body in asks.items():
        limits.forget_limits()
        for status in ({200, 201}, {429}):
            body["client_id"] = str(uuid.uuid4())
            answer = await post(f"/api/v1/tasks/digits/{call}/", body, "application/json")
            assert answer.status_code in status, answer.content


async def test_one_large_picture_of_a_person_is_read_at_once_and_a_few_of_an_address(
    task: Task, annotator: User, other_annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes meanwhile is told to come again before it waits for anything; nothing is lost."""
    may_read = Event()
    inference._reader.submit(may_read.wait)
    client = Client()
    await sync_to_async(client.force_login)(annotator)
    submission = {"client_id": str(uuid.uuid4()), "label": "1", "input": large(1)}
    monkeypatch.setattr(limits, "HEAVY_OF_ADDRESS", 2)
    post = sync_to_async(client.post, thread_sensitive=False)
    try:
        async with page(task, annotator) as opened, page(task, other_annotator) as another:
            await opened.receive("ready")
            await another.receive("ready")
            await opened.send(type="submit", **submission)
            await opened.send(type="predict", seq=1, input=large(2))
            assert (await opened.receive("busy"))["seq"] == 1
            call = "/api/v1/tasks/digits/predictions/"
            answer = await post(call, {"input": large(3)}, "application/json")
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (429, "busy"), "no fault of the server's"
            assert "from you, or from your address" in error["message"], "nobody else is there"
            assert int(answer["Retry-After"]) == 1
            async with page(task, other_annotator) as gone:  # which takes nothing with it
                await gone.receive("ready")
                await gone.send(type="predict", seq=1, input=large(4))
                await gone.send(type="submit", **{**submission, "client_id": str(uuid.uuid4())})
                assert "client_id" in await gone.receive("busy")
            await another.send(type="predict", seq=1, input=large(5))
            async with page(task, guest=str(uuid.uuid4())) as third:
                await third.receive("ready")
                await third.send(type="predict", seq=1, input=large(6))
                assert (await third.receive("busy"))["retry_ms"] > 0
            may_read.set()
            await opened.receive("accepted")
            await another.receive("prediction")
            await opened.send(type="predict", seq=2, input=large(2))
            await opened.receive("prediction")
    finally:
        may_read.set()


async def test_a_stroke_too_many_is_told_to_come_again(
    task: Task, annotator: User, settings: Any
) -> None:
    slow = Door(person=Rate(1, 0.5), address=Rate(100, 100))
    settings.LIMITS = {**settings.LIMITS, "predict": slow}
    async with page(task, annotator) as opened:
        await opened.receive("ready")
        await opened.send(type="predict", seq=1, input=cast.drawing(1))
        await opened.receive("prediction")
        await opened.send(type="predict", seq=2, input=cast.drawing(2))
        busy = await opened.receive("busy")
        assert busy["seq"] == 2
        assert 0 < busy["retry_ms"] <= 2001
        # Redis counts by a clock of its own: the first time may be a millisecond early.
        await asyncio.sleep((busy["retry_ms"] + 50) / 1000)
        await opened.send(type="predict", seq=3, input=cast.drawing(2))
        assert (await opened.receive("prediction"))["seq"] == 3


async def test_guests_with_fresh_cookies_share_their_address(task: Task, settings: Any) -> None:
    door = Door(person=Rate(1, 0.01), address=Rate(2, 0.01))
    settings.LIMITS = {**settings.LIMITS, "sandbox-submit": door}
    answers = []
    for seed in range(3):
        async with page(task, guest=str(uuid.uuid4()), address="10.1.2.3") as opened:
            await opened.receive("ready")
            await opened.send(
                type="submit", client_id=str(uuid.uuid4()), input=cast.drawing(seed), label="3"
            )
            answers.append(json.loads((await opened.socket.receive_output(5))["text"])["type"])
    assert answers == ["accepted", "accepted", "busy"]


async def test_a_flood_of_frames_is_read_more_slowly(
    task: Task, annotator: User, settings: Any
) -> None:
    rate = Rate(5, 50)
    settings.LIMITS = {**settings.LIMITS, "frame": Door(person=rate, address=rate)}
    async with page(task, annotator) as opened:
        await opened.receive("ready")
        began = time.monotonic()
        for _ in range(25):
            await opened.send_text("{")
        for _ in range(25):
            await opened.receive("error")
        assert time.monotonic() - began > 0.35


async def test_only_the_newest_waiting_prediction_is_answered(task: Task, annotator: User) -> None:
    async with page(task, annotator) as opened:
        await opened.receive("ready")
        for seq in range(20):
            await opened.send(type="predict", seq=seq, input=cast.drawing(seq))
        answered = []
        while not answered or answered[-1] != 19:
            answered.append((await opened.receive("prediction"))["seq"])
    assert answered == sorted(answered)
    assert len(answered) < 20


async def test_open_pages_learn_of_a_new_round(task: Task, annotator: User) -> None:
    def promote() -> None:
        model = cast.fixed_model(task, seed=1)
        with durable():
            rounds.open_next_round(task=task, models=[model])

    async with page(task, annotator) as opened:
        await opened.receive("ready")
        await sync_to_async(promote)()
        news = await opened.receive("round_changed")
        assert (news["round"], news["model"]) == (2, "digits-2")
        await opened.send(type="predict", seq=1, input=cast.drawing(1))
        assert (await opened.receive("prediction"))["model"] == "digits-2"


async def test_a_round_that_asks_several_models_tells_what_each_said(
    task: Task, annotator: User
) -> None:
    def promote() -> None:
        models = [cast.fixed_model(task, seed=seed) for seed in (1, 2)]
        with durable():
            rounds.open_next_round(task=task, models=models, needed=1)

    async with page(task, annotator) as opened:
        await opened.receive("ready")
        await sync_to_async(promote)()
        news = await opened.receive("round_changed")
        assert news["model"] == "digits-2 and digits-3, of which 1 must be fooled"
        await opened.send(type="predict", seq=1, input=cast.drawing(1))
        said = await opened.receive("prediction")
        assert {one["model"] for one in said["targets"]} == {"digits-2", "digits-3"}
        label = said["targets"][0]["prediction"]
        sent = {"client_id": str(uuid.uuid4()), "input": cast.drawing(1), "label": label}
        await opened.send(type="submit", **sent)
        accepted = await opened.receive("accepted")
        assert accepted["fooled"] == any(one["fooled"] for one in accepted["targets"])
        assert accepted["needed"] == 1


async def test_open_pages_learn_of_a_round_that_another_process_opened(
    task: Task, annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a hint: the embedded default's worker cannot reach the web process's memory."""
    monkeypatch.setattr(live, "MAX_AGE", 0.05)

    def promote() -> None:
        model = cast.fixed_model(task, seed=1)
        with durable():
            rounds.open_next_round(task=task, models=[model])

    async with page(task, annotator) as opened:
        await opened.receive("ready")
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(rounds, "after_commit", lambda _: None)
            await sync_to_async(promote)()
        assert (await opened.receive("round_changed"))["round"] == 2


async def test_of_many_pages_one_looks_which_round_is_open(
    task: Task, annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = await live.target_of(task.pk)
    asked = 0
    look = live._read

    async def counted(task_id: int) -> Any:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.01)
        return await look(task_id)

    monkeypatch.setattr(live, "_read", counted)
    live._known[task.pk] = replace(live._known[task.pk], read_at=0.0)
    targets = await asyncio.gather(*(live.target_of(task.pk) for _ in range(20)))
    assert asked == 1
    assert {target.round.pk for target in targets} == {known.round.pk}


async def test_a_page_that_a_mistake_ended_is_not_kept(
    task: Task, annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(_: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(protocol, "parse", mistaken)

    async def meet_it() -> None:
        async with page(task, annotator) as opened:
            await opened.receive("ready")
            await opened.send(type="predict", seq=1, input=cast.drawing(1))

    with pytest.raises(ZeroDivisionError):
        await meet_it()
    assert not live._open_pages


async def test_a_page_that_left_before_the_answer_is_no_error(
    task: Task,
    annotator: User,
    count: Callable[[], Awaitable[int]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def send_to_nobody(*_: Any, **__: Any) -> None:
        raise OSError("the client has gone")

    async with page(task, annotator) as opened:
        await opened.receive("ready")
        monkeypatch.setattr(AnnotateConsumer, "send", send_to_nobody)
        await opened.send(
            type="submit", client_id=str(uuid.uuid4()), input=cast.drawing(1), label="3"
        )
    assert await count() == 1
    assert not caplog.records
