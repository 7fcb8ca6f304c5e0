"""How fast a model answers and what memory it takes, in a process of its own; imports no Django.

`python -m ml.measure` reads one JSON object from its standard input, `{"backend", "path", "sha256",
"config", "remote", "kind", "inputs"}`, and writes one: `{"per_second", "memory_gb"}`. A process
that did anything else would show that memory, too. Models are compared only if one run measured
them all. One behind an address is asked a few questions, one after the other, for somebody may
pay for each; its memory is another machine's, which nobody can tell.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from kinds import kind_named
from ml import remote
from ml.backends import Source, open_model

BATCH: Final = 32
FEW: Final = 5
SECONDS: Final = 1.0
PATIENCE: Final = 300
ROOT: Final = Path(__file__).resolve().parent.parent


class NotMeasured(RuntimeError):
    """The process ended without a measurement; the message is its last line."""


def measure(
    backend: str, source: Source, kind: str, inputs: Sequence[Any]
) -> dict[str, float | None]:
    """Examples a second in batches, and GB at most, of a model in a fresh process; some seconds."""
    asked = {
        "backend": backend,
        "path": str(source.path) if source.path else None,
        "sha256": source.sha256,
        "config": dict(source.config),
        "remote": remote.handed_on(source.config),
        "kind": kind,
        "inputs": list(inputs),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ml.measure"],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NotMeasured(f"It took more than {PATIENCE} s.") from error
    if done.returncode:
        raise NotMeasured((done.stderr.strip().splitlines() or ["It ended."])[-1])
    found: dict[str, float | None] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measured(asked: dict[str, Any]) -> dict[str, float | None]:
    remote.take_over(asked["remote"])
    kind = kind_named(asked["kind"])
    inputs = [kind.parse(one) for one in asked["inputs"]]
    before = _peak()
    path = Path(asked["path"]) if asked["path"] else None
    model = open_model(asked["backend"], Source(path, asked["sha256"], asked["config"]))
    if getattr(model, "remote", False):
        began = time.perf_counter()
        for one in inputs[:FEW]:
            model.answer([one])
        return {
            "per_second": len(inputs[:FEW]) / (time.perf_counter() - began),
            "memory_gb": None,
        }
    batch = (inputs * BATCH)[:BATCH]
    model.answer(batch)  # the first pass is the slow one
    answered, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < SECONDS:
        model.answer(batch)
        answered += len(batch)
    return {"per_second": answered / spent, "memory_gb": max(0.0, _peak() - before)}


def _peak() -> float:
    """The most memory that this process has had, in GB (Linux counts in KiB, macOS in bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


if __name__ == "__main__":
    print(json.dumps(_measured(json.load(sys.stdin))))
