"""Other people's servers, each in a virtual environment of its own under the cache folder.

They are no dependency: what cannot be installed here is said, and left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.drawings import cache_folder, take
from benchmarks.servers import PROJECT, Server, program
from benchmarks.world import trained_model
from tests.services import free_port, postgresql

INSTALL_SECONDS = 900


class NotInstalled(RuntimeError):
    """A peer that this machine cannot have; the message says why."""


def environment(name: str, *packages: str) -> Path:
    """The Python of a peer's environment, which is made when it is missing."""
    folder = cache_folder() / name
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        print(f"Installing {name} into {folder} (once; some minutes)", flush=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            subprocess.run(
                [str(python), "-m", "pip", "install", "--quiet", *packages],
                check=True,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            raise NotInstalled(f"{name} could not be installed: {said.strip()[-300:]}") from error
        done.touch()
    return python


def version(python: Path, package: str) -> str:
    """The version of a package in that environment."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True).stdout.strip()


# --- Gradio ---------------------------------------------------------------------------------------
# How a Gradio app can be set up; the first is the tutorial's own, the last two leave out what costs
# Gradio most (files, and the queue), which a real drawing app could not.
GRADIO_SETTINGS: dict[str, dict[str, Any]] = {
    "sketchpad, one by one": {"input": "sketchpad", "batch": 0, "concurrency": 1, "queue": True},
    "sketchpad, batches of 64": {
        "input": "sketchpad",
        "batch": 64,
        "concurrency": 4,
        "queue": True,
    },
    "text box, batches of 64": {"input": "text", "batch": 64, "concurrency": 4, "queue": True},
    "text box, no queue": {"input": "text", "batch": 0, "concurrency": 40, "queue": False},
}


def onnx_file() -> Path:
    """The net of the benchmark's model as a bare ONNX file."""
    from ml.artifacts import ONNX, load

    folder = trained_model()
    made = json.loads((folder / "model.json").read_text())
    path = cache_folder() / f"{made['sha256'][:16]}.onnx"
    if not path.exists():
        path.write_bytes(load(folder / made["artifact"], made["sha256"]).members[ONNX])
    return path


@contextmanager
def gradio(setting: str) -> Iterator[Server]:
    """Gradio's tutorial app with our net, set up in one of the ways above."""
    python, port = environment("gradio", "gradio", "onnxruntime"), free_port()
    how = GRADIO_SETTINGS[setting]
    with program(
        f"Gradio, {setting}",
        # -P: our queue.py beside it is not the library's.
        [str(python), "-P", str(PROJECT / "benchmarks" / "gradio_app.py")],
        port=port,
        page="/config",
        GRADIO_PORT=str(port),
        GRADIO_MODEL=str(onnx_file()),
        GRADIO_INPUT=how["input"],
        GRADIO_BATCH=str(how["batch"]),
        GRADIO_CONCURRENCY=str(how["concurrency"]),
        GRADIO_QUEUE=str(int(how["queue"])),
        GRADIO_ANALYTICS_ENABLED="False",
        GRADIO_TEMP_DIR=str(cache_folder() / "gradio-files"),
    ) as server:
        yield server


# --- Label Studio ---------------------------------------------------------------------------------
@dataclass
class LabelStudio:
    """A running Label Studio: its project and a token for each of its people."""

    server: Server
    project: int
    tokens: list[str]


@contextmanager
def label_studio(kind: str, *, people: int, tasks: int) -> Iterator[LabelStudio]:
    """Label Studio on "sqlite" as its own command serves it, or on "postgresql" under gunicorn.

    The second is better than its own command: two processes of eight threads.
    """
    python, port = environment("label-studio", "label-studio", "gunicorn"), free_port()
    with tempfile.TemporaryDirectory(prefix="dadc-peer-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)
        how = {
            "LABEL_STUDIO_BASE_DATA_DIR": name,
            "LATEST_VERSION_CHECK": "false",
            "COLLECT_ANALYTICS": "false",
            "DJANGO_SETTINGS_MODULE": "core.settings.label_studio",
            "DJANGO_DB": "sqlite",
        }
        if kind == "postgresql":
            database = urlsplit(stack.enter_context(postgresql(folder, durable=True)))
            how |= {
                "DJANGO_DB": "default",
                "POSTGRE_USER": str(database.username),
                "POSTGRE_PASSWORD": str(database.password),
                "POSTGRE_HOST": str(database.hostname),
                "POSTGRE_PORT": str(database.port),
                "POSTGRE_NAME": database.path.strip("/"),
            }
        made = subprocess.run(
            [str(python), "-P", str(PROJECT / "benchmarks" / "label_studio_world.py"), str(people)],
            input="".join(f"{png}\n" for _, png in take(0, tasks)),
            env=os.environ | how,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise NotInstalled(f"Label Studio's tasks were not made: {made.stderr[-500:]}")
        world = json.loads(made.stdout.splitlines()[-1])
        package = next(python.parent.parent.glob("lib/python*/site-packages/label_studio"))
        command = [str(python), "-P", str(package / "manage.py"), "runserver", "--noreload"]
        command += [f"127.0.0.1:{port}"]
        if kind == "postgresql":
            command = [str(python), "-m", "gunicorn", "core.wsgi:application", "--chdir"]
            command += [str(package), "--bind", f"127.0.0.1:{port}", "--workers", "2"]
            command += ["--threads", "8", "--timeout", "120", "--no-control-socket"]
        server = stack.enter_context(
            program(f"Label Studio, {kind}", command, port=port, page="/health", **how)
        )
        yield LabelStudio(server, world["project"], world["tokens"])
