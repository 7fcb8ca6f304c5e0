"""Other people's servers, each in a virtual environment of its own under the cache folder.

They are no dependency: what cannot be installed here is said, and left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.drawings import cache_folder
from benchmarks.servers import PROJECT, Server, program
from tests.services import free_port

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
    from ml.artifacts import load

    folder = cache_folder() / "model"
    made = json.loads((folder / "model.json").read_text())
    path = folder / f"{made['sha256'][:16]}.onnx"
    if not path.exists():
        graph = load(folder / made["artifact"], made["sha256"]).onnx
        assert graph is not None
        path.write_bytes(graph)
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


def offline() -> bool:
    """Whether peers shall be left out (DADC_BENCHMARK_PEERS=0)."""
    return os.environ.get("DADC_BENCHMARK_PEERS") == "0"
