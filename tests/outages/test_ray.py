"""Rehearsals and trainings on a real Ray cluster of two machines, one of which loses its worker."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from accounts.models import User
from annotate import rounds
from annotate.config import parse_task_file
from annotate.models import Task
from core import strict_yaml
from core.errors import Refused
from tests import cast
from tests.services import free_port
from tests.training.test_bootstrap import run_bootstrap
from tests.training.test_rehearsals import folder, sentiment
from tests.training.world import verified_foolings
from training import on_ray, retraining, services
from training.models import Rehearsal
from training.rehearsal_file import RehearsalFile
from training.rehearsals import rehearse
from training.retraining import carry_out

__all__ = ["folder", "sentiment"]

pytestmark = pytest.mark.once


@pytest.fixture
def file(folder: Path) -> RehearsalFile:
    asked = strict_yaml.loads((folder / "rehearsal.yaml").read_bytes())
    changed = {"rounds": 1, "seeds": 2, "source": str(folder / "texts")}
    return RehearsalFile.model_validate({**asked, **changed})


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Two nodes with a core each, on this machine."""
    pytest.importorskip("ray")
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # a long path is none for a socket
    address = f"127.0.0.1:{free_port()}"
    started: list[subprocess.Popen[bytes]] = []
    try:
        for which in (
            ["--head", f"--port={address.rpartition(':')[2]}", f"--temp-dir={folder}"],
            [f"--address={address}"],
        ):
            started.append(_node(*which, log=folder / f"{len(started)}.log"))
            _wait_for(address)
        monkeypatch.setenv(on_ray.ADDRESS, address)
        yield address
    finally:
        for process in started:  # asked to end, they take ten seconds and more
            for one in [*psutil.Process(process.pid).children(recursive=True), process]:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)  # what was killed may write for a moment


def _node(*which: str, log: Path) -> subprocess.Popen[bytes]:
    """In the foreground of a process of ours, so that it is ended by its own number."""
    command = [
        *(str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1"),
        *("--node-ip-address=127.0.0.1", "--include-dashboard=false"),
        # Any, where by default it is 10,002 to 19,999, the cluster's own port among them or not.
        *("--min-worker-port=0", "--max-worker-port=0"),
        *which,
    ]
    with log.open("w") as said:
        return subprocess.Popen(
            command, env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}, stdout=said, stderr=said
        )


def _wait_for(address: str) -> None:
    host, _, port = address.rpartition(":")
    for _ in range(200):
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"nothing listens at {address}")


def is_at_work(process: psutil.Process) -> bool:
    return str((process.info["cmdline"] or [""])[0]).startswith("ray::_do")


def kill_a_worker() -> int:
    """One that is at work; its number."""
    for process in psutil.process_iter(["pid", "cmdline"]):
        if is_at_work(process):
            process.kill()
            return process.pid
    raise AssertionError("nobody works")


def test_seeds_are_played_on_other_machines_and_begun_again_when_one_is_lost(
    sentiment: Task, file: RehearsalFile, cluster: str
) -> None:
    told: list[str] = []
    killed: list[int] = []

    def hear(_: float, words: str) -> None:
        told.append(words)
        if not killed and "day 1" in words:
            killed.append(kill_a_worker())

    kept = rehearse(task=sentiment, file=file, listener=hear)
    assert killed
    assert {words.partition(",")[0] for words in told} == {"seed 1 of 2", "seed 2 of 2"}
    assert Rehearsal.objects.get() == kept
    worlds = kept.report["worlds"]
    assert len(worlds) == 2
    assert all(turn["verified"] >= 4 for world in worlds for turn in world), worlds


def test_a_cluster_that_is_not_there_is_a_sentence(
    sentiment: Task, file: RehearsalFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv(on_ray.ADDRESS, address)
    with pytest.raises(Refused, match=f"No Ray cluster answers at {address}"):
        rehearse(task=sentiment, file=file)
    assert not Rehearsal.objects.exists()


def test_without_the_extra_one_is_told_how_to_get_it(
    sentiment: Task, file: RehearsalFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(on_ray.ADDRESS, "127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(Refused, match="bin/serve --with ray"):
        rehearse(task=sentiment, file=file)


# --- the trainings of a run -----------------------------------------------------------------------
@pytest.fixture
def digits(owner: User) -> Task:
    """With the library's net, and two recipes to be tried twice."""
    run_bootstrap()
    task = Task.objects.get(slug="digits")
    task.owners.add(owner)
    brief = {"epoch_images": 430, "epochs": 4, "held_out_share": 0.3}
    recipes = {"robust": {"attacked": 0.5}, "usual": {}}
    section = {"trigger": None, "promote": "by_owner", **brief, "seeds": 2, "recipes": recipes}
    rounds.load_task(file=parse_task_file(cast.task_file(retraining=section)), actor=owner)
    task.refresh_from_db()
    verified_foolings(task, [cast.person(name) for name in ("ann", "ben", "cleo")], owner, 4)
    return task


@pytest.mark.timeout(300)
def test_recipes_come_to_the_same_on_other_machines_to_the_bit(
    digits: Task, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = carry_out(*services.begin_here(task=digits))
    assert len(here.trials) == 4, here.reason

    def nothing(*_: object, **__: object) -> None:
        raise AssertionError("it is tried here")

    monkeypatch.setattr(retraining, "try_recipe", nothing)
    monkeypatch.setattr("training.progress.WRITE_EVERY", 0)
    for trial in here.trials:  # but what a model has, every file is made again
        (Path(settings.ARTIFACT_DIR) / trial["made"]["artifact"]).unlink()
    request.getfixturevalue("cluster")
    killed: list[int] = []

    def hear(_: float, words: str) -> None:
        if not killed and "epoch 2" in words:
            killed.append(kill_a_worker())

    there = carry_out(*services.begin_here(task=digits), hear)
    assert killed
    assert there.trials == here.trials, there.reason
    assert there.candidate is not None
    assert here.candidate is not None
    assert there.candidate.sha256 == here.candidate.sha256
    assert (there.gates, there.metrics["clean"]) == (here.gates, here.metrics["clean"])


def test_a_run_that_an_owner_stops_leaves_the_cluster(
    digits: Task, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.progress.WRITE_EVERY", 0)

    def hear(_: float, words: str) -> None:
        if "epoch" in words:
            services.stop(task=digits)

    run = carry_out(*services.begin_here(task=digits), hear)
    assert run.status == "stopped"
    deadline = time.monotonic() + cast.PATIENCE
    while any(is_at_work(process) for process in psutil.process_iter(["cmdline"])):
        assert time.monotonic() < deadline, "what nobody waits for is trained on"
        time.sleep(0.1)


def test_without_the_cluster_a_run_is_carried_out_here(
    digits: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv(on_ray.ADDRESS, f"127.0.0.1:{free_port()}")
    run = carry_out(*services.begin_here(task=digits))
    assert len(run.trials) == 4, run.reason
    assert run.candidate is not None


def test_a_machine_with_other_packages_is_told_of_and_not_believed() -> None:
    versions = {**on_ray._versions(), "torch": "0.1"}
    done, why = on_ray._do(lambda *_: 1, 0, None, None, None, versions)
    assert not done
    assert "has another torch than this server" in why
