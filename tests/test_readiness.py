"""Whether a process can serve, what it says when it cannot, and within what time."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import InMemoryChannelLayer, get_channel_layer
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings as django_settings
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test import AsyncClient
from django.utils import timezone

from accounts.models import User
from annotate import inference
from annotate.models import ModelVersion, Task
from core import outages
from dadc_server.jobs import housekeeping
from dadc_server.web import readiness
from tests import cast
from training.models import WorkerPulse

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_proved", set())


@pytest.fixture
def beating(db: None) -> None:
    housekeeping.beat()


def lose_the_artifacts() -> None:
    for file in Path(django_settings.ARTIFACT_DIR).iterdir():
        file.unlink()


async def ask() -> tuple[int, dict[str, Any]]:
    response = await AsyncClient().get("/readyz")
    return response.status_code, response.json()


async def test_all_is_well(task: Task, beating: None) -> None:
    status, report = await ask()

    assert (status, report["status"]) == (200, "ready"), report
    assert set(report["parts"]) == {"database", "models", "storage", "channel_layer", "worker"}
    assert all(part["ok"] and part["ms"] >= 0 for part in report["parts"].values())
    assert report["parts"]["models"]["models"] == 1
    assert report["parts"]["worker"]["age_s"] < 30
    model = await ModelVersion.objects.aget()
    assert inference.already_open(model) is not None, "warm before the first stroke"


async def test_a_silent_worker_keeps_nobody_away(task: Task, beating: None) -> None:
    silent = timezone.now() - timedelta(seconds=100)
    await WorkerPulse.objects.aupdate(beat_at=silent)

    status, report = await ask()

    assert (status, report["status"]) == (200, "degraded")
    assert re.fullmatch(
        r"no background worker for 1[0-3]\d s", report["parts"]["worker"]["problem"]
    )


async def test_a_worker_that_never_ran_is_told(task: Task) -> None:
    _, report = await ask()
    assert report["parts"]["worker"]["problem"] == "no background worker has run yet"


async def test_a_model_without_its_file_makes_it_unready(owner: User, beating: None) -> None:
    await sync_to_async(cast.digits_task)(owner, net=True)
    inference.forget_models()
    lose_the_artifacts()

    status, report = await ask()

    assert (status, report["status"]) == (503, "unready")
    assert report["parts"]["models"]["problem"].startswith("digits-1 of digits cannot be loaded")
    assert report["parts"]["database"]["ok"]


async def test_one_tasks_missing_model_keeps_nobody_from_the_others(
    owner: User, beating: None
) -> None:
    await sync_to_async(cast.digits_task)(owner, net=True)
    await sync_to_async(cast.text_task)()
    inference.forget_models()
    lose_the_artifacts()

    status, report = await ask()

    assert (status, report["status"]) == (200, "degraded")
    assert report["parts"]["models"]["problem"].startswith("digits-1 of digits cannot be loaded")


async def test_a_full_disk_and_a_held_database_are_told(
    task: Task, beating: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "NEEDED", 1 << 60)
    status, report = await ask()
    assert (status, report["status"]) == (200, "degraded")
    assert "MB are left on" in report["parts"]["storage"]["problem"]

    if connection.vendor == "sqlite":
        monkeypatch.undo()
        with closing(sqlite3.connect(connection.settings_dict["NAME"])) as other:
            other.execute("BEGIN IMMEDIATE")
            _, report = await ask()
        assert report["parts"]["storage"]["problem"].endswith("database is locked")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("database or disk is full", "disk is full"),
        ("could not extend file: No space left on device", "disk is full"),
        ("database is locked", "held by something"),
        ("connection to db.example.org refused", "does not answer"),
    ],
)
def test_people_are_told_which_trouble_it_is(error: str, words: str) -> None:
    sentence = outages.outage_words(OperationalError(error))
    assert words in sentence
    assert "What was confirmed is saved" in sentence
    assert "example.org" not in sentence


async def test_a_database_that_is_away_makes_it_unready(
    task: Task, beating: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        def cursor(self) -> None:
            raise OperationalError("connection to db.example.org as dadc failed")

    monkeypatch.setattr(readiness, "connection", Away())

    status, report = await ask()

    assert status == 503
    assert report["parts"]["database"]["problem"] == "OperationalError"
    assert "example.org" not in str(report)


async def test_a_channel_layer_that_is_away_keeps_nobody_away(
    task: Task, beating: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        async def new_channel(self) -> str:
            raise ConnectionError

    monkeypatch.setattr(readiness, "get_channel_layer", Away)

    status, report = await ask()

    assert (status, report["status"]) == (200, "degraded")
    assert not report["parts"]["channel_layer"]["ok"]


async def test_however_often_it_asks_the_channel_layer_keeps_one_channel(
    task: Task, beating: None
) -> None:
    """Redis' layer forgets a channel only when its reader is cancelled."""
    layer = get_channel_layer()
    for _ in range(5):
        _, report = await ask()
        assert report["parts"]["channel_layer"]["ok"], report
    if isinstance(layer, RedisPubSubChannelLayer):
        assert len(layer._get_layer().channels) == 1
        await layer.flush()


async def test_a_message_that_the_channel_layer_lost_is_not_waited_for_for_ever(
    task: Task, beating: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(InMemoryChannelLayer):
        lost = 0

        async def send(self, channel: str, message: dict[str, Any]) -> None:
            if self.lost:
                await super().send(channel, message)
            self.lost += 1

    layer = Forgetful()
    monkeypatch.setattr(readiness, "get_channel_layer", lambda: layer)
    monkeypatch.setattr(readiness, "PATIENCE", 1)

    assert not (await readiness._outcome(readiness._channel_layer()))["ok"]
    assert (await readiness._outcome(readiness._channel_layer()))["ok"]


async def test_a_part_that_hangs_is_neither_waited_for_nor_asked_twice(
    task: Task, beating: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[int] = []

    async def hang() -> dict[str, Any]:
        began.append(1)
        await asyncio.sleep(60)
        return {}

    monkeypatch.setattr(readiness, "PATIENCE", 0.2)
    hanging = readiness.Part("database", hang, vital=True)
    monkeypatch.setattr(readiness, "PARTS", [hanging, *readiness.PARTS[1:]])
    since = time.monotonic()

    answers = [await readiness.report() for _ in range(3)]

    assert time.monotonic() - since < 3
    assert [able for able, _ in answers] == [False] * 3
    assert answers[0][1]["parts"]["database"]["problem"] == "no answer within 0.2 s"
    assert len(began) == 1
    assert hanging.under_way is not None
    hanging.under_way.cancel()


def test_a_worker_beats_while_it_has_nothing_to_do(task: Task) -> None:
    done = threading.Event()
    thread = threading.Thread(target=housekeeping.keep_house, args=(done,))
    thread.start()
    deadline = time.monotonic() + 20
    while housekeeping.seconds_since_beat() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    done.set()
    thread.join()
    assert WorkerPulse.objects.count() == 1
    housekeeping.beat()
    assert WorkerPulse.objects.count() == 1


def test_there_is_one_row_of_it(db: None) -> None:
    housekeeping.beat()
    with pytest.raises(IntegrityError), transaction.atomic():
        WorkerPulse.objects.create(pk=2, beat_at=timezone.now())
