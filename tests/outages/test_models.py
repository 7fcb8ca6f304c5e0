"""Models that are slow, and models that hang, behind the annotator's websocket and REST."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from rest_framework.test import APIClient

from accounts.models import User
from annotate import inference, live
from annotate.inference import live_model
from annotate.models import Example, Task
from annotate.queries import open_target
from core.doors import OFF
from kinds import Prepared
from ml.backends import Answer
from tests import cast
from tests.annotate.test_consumer import page

pytestmark = pytest.mark.django_db(transaction=True)

NEW = 9_000  # drawings that no other test has had answered
Pass = Callable[[Sequence[Prepared]], Sequence[Answer]]


class Brake:
    """Stands before a model's backend: each pass takes `seconds`, or waits until it is released."""

    def __init__(self, answer: Pass) -> None:
        self._answer = answer
        self.seconds = 0.0
        self.released = threading.Event()
        self.released.set()
        self.passes = 0

    def __call__(self, inputs: Sequence[Prepared]) -> Sequence[Answer]:
        self.passes += 1
        time.sleep(self.seconds)
        self.released.wait(30)
        return self._answer(inputs)


@pytest.fixture
def brake(task: Task, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Brake]:
    """In the digits task's model, which is given up after half a second."""
    settings.LIMITS = OFF  # one person stands for a crowd
    monkeypatch.setattr(inference, "DEADLINE", 0.5)
    live.forget_targets()
    target = open_target(task.pk)
    assert target is not None
    model = live_model(target.models[0], target.config.file.kind)
    backend, brake = model.backend, Brake(model.backend.answer)
    # An item is late half a second after it was sent, a run when it has lasted half of that:
    # whoever is told "late" finds the circuit open, however late the run's thread began.
    monkeypatch.setattr(model._breaker, "_hang_after", 0.25)
    monkeypatch.setattr(backend, "answer", brake)
    yield brake
    brake.released.set()


async def test_a_slow_model_answers_a_crowd_in_batches(
    task: Task, annotator: User, brake: Brake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass of 200 ms: thirty people wait for two passes, not for thirty."""
    monkeypatch.setattr(inference, "DEADLINE", 30)  # it is slow, and so may this machine be
    brake.seconds = 0.2
    people = 30

    async def person(number: int) -> None:
        async with page(task, annotator) as opened:
            await opened.receive("ready")
            await opened.send(type="predict", seq=1, input=cast.drawing(NEW + 10 + number))
            assert (await opened.receive("prediction"))["seq"] == 1

    await asyncio.gather(*map(person, range(people)))
    assert brake.passes < people / 3


async def test_a_model_that_hangs_is_said_to_and_comes_back(
    task: Task, annotator: User, brake: Brake
) -> None:
    submission = {"client_id": str(uuid.uuid4()), "input": cast.drawing(NEW + 1), "label": "3"}
    brake.released.clear()
    async with page(task, annotator) as opened:
        await opened.receive("ready")
        await opened.send(type="predict", seq=1, input=cast.drawing(NEW))
        assert (await opened.receive("error"))["code"] == "late"

        await opened.send(type="predict", seq=2, input=cast.drawing(NEW))
        error = await opened.receive("error")
        assert (error["code"], error["seq"]) == ("model_unavailable", 2)
        assert "is asked again" in error["message"]
        await opened.send(type="submit", **submission)
        error = await opened.receive("error")
        assert error["code"] == "model_unavailable"
        assert brake.passes == 1  # neither was tried, nor waited for

        brake.released.set()
        await asyncio.sleep(error["retry_ms"] / 1000)
        await opened.send(type="submit", **submission)
        assert (await opened.receive("accepted"))["client_id"] == submission["client_id"]
    assert await sync_to_async(Example.objects.count)() == 1


def test_over_rest_a_model_that_hangs_is_a_503_with_a_time(
    task: Task, annotator: User, brake: Brake
) -> None:
    client = APIClient()
    client.force_login(annotator)
    call, body = "/api/v1/tasks/digits/predictions/", {"input": cast.drawing(NEW + 2)}
    brake.released.clear()
    assert client.post(call, body).json()["error"]["code"] == "late"

    refused = client.post(call, body)

    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "model_unavailable"
    assert 1 <= int(refused["Retry-After"]) <= 3
