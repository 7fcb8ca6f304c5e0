"""Several machines: who lacks the files says so at once, and no job is carried out twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django_tasks_db.models import DBTaskResult

from accounts.models import User
from annotate.models import Task
from dadc_server.serve import tied_to_this_process
from tests import cast
from tests.training.world import trained_task
from training.files import FilesMissing, require_files, warnings_of_files
from training.tasks import run_training

PROJECT = Path(__file__).resolve().parents[2]


def test_a_machine_with_all_files_is_ready(owner: User) -> None:
    trained_task(owner)
    require_files()


@pytest.mark.parametrize("suffix", [".model", ".base"])
def test_a_worker_without_the_files_does_not_begin(owner: User, suffix: str) -> None:
    trained_task(owner)
    (file,) = Path(settings.ARTIFACT_DIR).glob(f"*{suffix}")
    file.unlink()
    with pytest.raises(FilesMissing, match="artifacts folder of the others"):
        require_files()
    with pytest.raises(CommandError, match=file.name):
        call_command("worker", "--batch")


def test_one_task_without_its_file_keeps_nobody_from_starting(owner: User) -> None:
    cast.digits_task(owner, net=True)
    (file,) = Path(settings.ARTIFACT_DIR).iterdir()
    cast.opened(
        cast.digits_task(owner, slug="others"),
        cast.fixed_net(Task.objects.get(slug="others"), seed=1),
    )
    file.unlink()

    require_files()
    (warning,) = warnings_of_files()
    assert warning.startswith(f"digits: {file.name} is not in ")


def test_a_web_server_without_the_model_says_so(owner: User, client: Client) -> None:
    cast.digits_task(owner, net=True)
    for file in Path(settings.ARTIFACT_DIR).iterdir():
        file.unlink()
    client.force_login(owner)

    answer = client.post(
        "/api/v1/tasks/digits/predictions/",
        {"input": cast.drawing(1)},
        content_type="application/json",
    )

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "model_unusable"
    assert "operator" in answer.json()["error"]["message"]


JOBS = 150


@pytest.fixture
def two_workers(on_postgres: bool, tmp_path: Path) -> Iterator[list[Path]]:
    """Two worker processes on this test's database; yields their logs."""
    if not on_postgres:
        pytest.skip("SQLite is for one machine")
    address = os.environ["DATABASE_URL"].rpartition("/")[0]
    environment = os.environ | {
        "DATABASE_URL": f"{address}/{connection.settings_dict['NAME']}",
        "DADC_DATA": str(tmp_path / "data"),
    }
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    with ExitStack() as stack:
        for log in logs:
            output = stack.enter_context(log.open("wb"))
            process = subprocess.Popen(
                [sys.executable, "manage.py", "worker", "-v", "3", "--interval", "0.05"],
                cwd=PROJECT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=output,
                preexec_fn=tied_to_this_process(),
            )
            stack.callback(process.wait, 20)
            stack.callback(process.terminate)
        yield logs


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


@pytest.mark.django_db(transaction=True)
def test_two_workers_take_each_job_once(two_workers: list[Path]) -> None:
    eventually(lambda: all("Starting worker" in log.read_text() for log in two_workers))

    takers: list[list[str]] = []
    while len({worker for workers in takers for worker in workers}) < 2:  # until both had a share
        first = len(takers)
        assert first < 20 * JOBS, "one of the two takes nothing"
        for number in range(first, first + JOBS):
            run_training.enqueue(f"00000000-0000-4000-8000-{number:012}")
        eventually(lambda: not DBTaskResult.objects.exclude(finished_at__isnull=False).exists())
        takers = list(DBTaskResult.objects.values_list("worker_ids", flat=True))
        assert len(takers) == first + JOBS
    assert {len(workers) for workers in takers} == {1}
