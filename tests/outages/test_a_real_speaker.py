"""Chats with a server that knows nothing of us, from a package, killed while it speaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.once, pytest.mark.timeout(600)]

# Where transformers[serving] is: this environment, or another one that is named.
VENV = Path(os.environ.get("DADC_SPEAKER", sys.prefix))
HOW_MANY = ("--people", "2", "--turns", "2")
NEEDED = "import fastapi, openai, transformers, uvicorn"


def test_no_turn_is_lost_or_doubled_when_it_is_killed_in_each(tmp_path: Path) -> None:
    python = VENV / "bin" / "python"
    found = subprocess.run([python, "-c", NEEDED], capture_output=True, check=False)
    if found.returncode or not (VENV / "bin" / "transformers").exists():
        pytest.skip(f"{VENV} has no transformers[serving]: name one that has in DADC_SPEAKER")
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.chat_kills", "--transformers", str(VENV), *HOW_MANY],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
        env={**os.environ, "DADC_DATA": str(tmp_path)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2_000:]
    report = json.loads(run.stdout.splitlines()[-1])
    assert report["turns"] == 4, report
