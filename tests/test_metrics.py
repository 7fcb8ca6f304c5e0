"""/metrics: who may read it, what it counts, and that it is the sum over processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django_tasks.signals import task_finished
from prometheus_client import REGISTRY
from rest_framework.test import APIClient

from accounts.models import User
from annotate.models import Task
from dadc_server.telemetry import time_job
from dadc_server.web.probes import forget_the_dead
from tests import cast

PROJECT = Path(__file__).resolve().parents[1]


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


# --- who may read it ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("192.0.2.7", {}, 403),
        # Somebody elsewhere, through a proxy on this machine that nobody was told of.
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, 403),
        ("127.0.0.1", {"Via": "1.1 proxy"}, 403),
        ("192.0.2.7", {"Authorization": "Bearer right"}, 200),
        ("192.0.2.7", {"Authorization": "Bearer wrong"}, 403),
        ("192.0.2.7", {"Authorization": "Bearer "}, 403),
    ],
)
def test_this_machine_and_the_token_may_read_it(
    client: Client, settings: Any, address: str, headers: dict[str, str], status: int
) -> None:
    settings.METRICS_TOKEN = "right"
    response = client.get("/metrics", headers=headers, REMOTE_ADDR=address)
    assert response.status_code == status
    assert (b"dadc_frames" in response.content) == (status == 200)


def test_no_token_is_no_key(client: Client, settings: Any) -> None:
    settings.METRICS_TOKEN = ""
    headers = {"Authorization": "Bearer "}
    assert client.get("/metrics", headers=headers, REMOTE_ADDR="192.0.2.7").status_code == 403


# --- what it counts -------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_submissions_votes_and_decisions_are_counted(
    task: Task, annotator: User, validator: User, other_validator: User
) -> None:
    names = ("dadc_submit_seconds_count", "dadc_vote_seconds_count", "dadc_batch_size_count")
    before = [value(name) for name in names]
    verified = value("dadc_decisions_total", outcome="verified")

    cast.submission(task, annotator, seed=int(time.time()))  # not in the cache of predictions
    cast.answer(validator, task)
    cast.answer(other_validator, task)

    after = [value(name) for name in names]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 2, 1]
    assert value("dadc_decisions_total", outcome="verified") == verified + 1


@pytest.mark.django_db
def test_refusals_are_counted_by_their_code(task: Task) -> None:
    before = value("dadc_refusals_total", door="rest", code="bad_input")
    APIClient().post("/api/v1/tasks/digits/predictions/", {"input": 7}, format="json")
    assert value("dadc_refusals_total", door="rest", code="bad_input") == before + 1


def test_jobs_are_timed() -> None:
    now = timezone.now()

    class Result:
        task = type("Task", (), {"name": "run_training"})
        status = "SUCCESSFUL"
        started_at, finished_at = now - timedelta(seconds=7), now

    labels = {"job": "run_training", "outcome": "successful"}
    before = value("dadc_job_seconds_sum", **labels)
    assert any(receiver[1]() is time_job for receiver in task_finished.receivers)
    time_job(task_result=Result())
    assert value("dadc_job_seconds_sum", **labels) == before + 7


# --- several processes ----------------------------------------------------------------------------
COUNT = """
from core.metrics import OPEN_SOCKETS, PREDICT_FRAMES, PREDICT_SECONDS
for _ in range(3):
    PREDICT_FRAMES.inc()
    PREDICT_SECONDS.observe(0.004)
OPEN_SOCKETS.inc(5)
"""
TELL = """
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
registry = CollectorRegistry()
MultiProcessCollector(registry)
print(generate_latest(registry).decode())
"""


def in_a_process(code: str, folder: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_any_process_tells_what_all_have_counted(tmp_path: Path) -> None:
    for _ in range(2):
        in_a_process(COUNT, tmp_path)
    told = in_a_process(TELL, tmp_path)
    assert 'dadc_frames_total{type="predict"} 6.0' in told
    assert "dadc_predict_seconds_count 6.0" in told

    forget_the_dead(tmp_path)
    told = in_a_process(TELL, tmp_path)
    assert "dadc_open_sockets" not in told, "processes that ended hold none"
    assert "dadc_predict_seconds_count 6.0" in told
