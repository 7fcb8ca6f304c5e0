"""One seed of a rehearsal, in a process and a folder of its own that are gone afterwards.

Imports no Django, and knows no database but the one that it throws away.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from core.errors import Refused

Listener = Callable[[float, str], None]
Turns = list[dict[str, Any]]

# What the server is told by its environment concerns real people and their data.
_OURS: Final = ("DADC_", "DATABASE_URL", "REDIS_URL")


def play(
    told: Mapping[str, Any], files: Mapping[str, bytes], tell: Listener | None = None
) -> Turns:
    """From an empty folder, with these artifacts in it, to its turns."""
    with TemporaryDirectory(prefix="dadc-rehearsal-") as name:
        folder = Path(name)
        (folder / "artifacts").mkdir()
        for file, data in files.items():
            (folder / "artifacts" / file).write_bytes(data)
        environment = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
        # Two threads that wait for each other on a busy machine take six times what one takes.
        environment["OMP_NUM_THREADS"] = "1"
        with (
            (folder / "errors").open("w+") as errors,
            subprocess.Popen(
                [sys.executable, "-m", "training.rehearsal_world"],
                cwd=Path(__file__).resolve().parent.parent,
                env={**environment, "DADC_DATA": name, "DADC_LOG_LEVEL": "ERROR"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as process,
        ):
            try:
                turns = _listen(process, told, tell)
            except BaseException:
                process.kill()
                raise
            if process.wait() or turns is None:
                errors.seek(0)
                last = errors.read().strip().splitlines()[-1:] or ["it said nothing"]
                raise Refused("stopped", f"A rehearsal was stopped by an error: {last[0]}")
    return turns


def _listen(
    process: subprocess.Popen[str], told: Mapping[str, Any], tell: Listener | None
) -> Turns | None:
    assert process.stdin is not None
    assert process.stdout is not None
    json.dump(told, process.stdin)
    process.stdin.close()
    for line in process.stdout:
        said = json.loads(line)
        if "turns" in said:
            turns: Turns = said["turns"]
            return turns
        if tell is not None:
            tell(said["at"], said["words"])
    return None
