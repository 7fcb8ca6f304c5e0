"""Two machines with a real S3-compatible server between them, which goes away and comes back.

It is moto's, of a Python environment of its own, for it needs older packages than ours:
`DADC_S3=VENV pytest tests/outages/test_a_real_store.py`, where VENV has `moto[server]`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import LazySettings

from accounts.models import User
from annotate import rounds
from annotate.config import parse_task_file
from annotate.models import Task
from ml import artifacts, store
from ml.artifacts import ArtifactError
from tests import cast
from tests.services import free_port
from tests.training.test_bootstrap import run_bootstrap
from tests.training.world import LENIENT, serving, verified_foolings
from training import services
from training.files import require_files
from training.retraining import carry_out

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not os.environ.get("DADC_S3"), reason="DADC_S3 names no environment"),
]


@contextmanager
def serving_at(port: int) -> Iterator[None]:
    python = Path(os.environ.get("DADC_S3", "")) / "bin" / "python"
    command = [python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            bucket = urllib.request.Request(f"http://127.0.0.1:{port}/models", method="PUT")
            urllib.request.urlopen(bucket).close()
            yield
        finally:
            process.kill()


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    pytest.importorskip("obstore")
    port = free_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "ours",
        "AWS_SECRET_ACCESS_KEY": "ours",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return port


def test_a_machine_without_the_folder_trains_and_serves_what_another_made(
    owner: User, port: int, tmp_path: Path, settings: LazySettings
) -> None:
    folders = [tmp_path / name / "artifacts" for name in ("one", "other", "third")]
    try:
        with serving_at(port):
            for folder in folders:
                store.put_behind(folder, "s3://models/of/ours")
            settings.ARTIFACT_DIR = folders[0]
            run_bootstrap()
            task = Task.objects.get(slug="digits")
            task.owners.add(owner)
            brief = {"epoch_images": 430, "epochs": 1, "gates": LENIENT, "promote": "automatic"}
            file = cast.task_file(retraining={"trigger": None, **brief})
            rounds.load_task(file=parse_task_file(file), actor=owner)
            task.refresh_from_db()
            verified_foolings(task, [cast.person(name) for name in ("ann", "ben")], owner, 3)

            settings.ARTIFACT_DIR = folders[1]
            require_files()
            run = carry_out(*services.begin_here(task=task))
            assert run.status == "promoted", run.reason
            assert len(list(folders[1].glob("*.model"))) == 2

            settings.ARTIFACT_DIR = folders[2]
            assert cast.prediction(task, cast.drawing(1)) in cast.DIGITS
            name, sha256 = serving(task).artifact, serving(task).sha256
            assert {one.name for one in folders[2].iterdir()} == {name}
        assert artifacts.checked_bytes(folders[2] / name, sha256), "it is here by now"
        gone = folders[2] / str(run.parent.artifact)
        with pytest.raises(ArtifactError, match="does not answer"):
            artifacts.checked_bytes(gone, run.parent.sha256)
    finally:
        for folder in folders:
            store.take_away(folder)
