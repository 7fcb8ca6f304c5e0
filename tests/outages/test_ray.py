"""Rehearsals on a real Ray cluster of two machines, one of which loses its worker."""

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

from annotate.models import Task
from core import strict_yaml
from core.errors import Refused
from tests.services import free_port
from tests.training.test_rehearsals import folder, sentiment
from training import on_ray
from training.models import Rehearsal
from training.rehearsal_file import RehearsalFile
from training.rehearsals import rehearse

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


def test_seeds_are_played_on_other_machines_and_begun_again_when_one_is_lost(
    sentiment: Task, file: RehearsalFile, cluster: str
) -> None:
    told: list[str] = []
    killed: list[int] = []

    def hear(_: float, words: str) -> None:
        told.append(words)
        if not killed and "day 1" in words:
            for process in psutil.process_iter(["pid", "cmdline"]):
                if (process.info["cmdline"] or [""])[0].startswith("ray::_play"):
                    killed.append(process.pid)
                    process.kill()
                    return

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
