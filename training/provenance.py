"""Which code trained a model; imports no Django."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
TRAINING_CODE = ("kinds", "ml", "training")


@cache
def code_revision() -> dict[str, str]:
    """The digest of the sources that train and judge, and the git commit where there is one.

    A commit alone would not do: an unpacked archive has none, and a changed working tree has one
    that is not what ran.
    """
    revision = {"sources_sha256": _sources_digest()}
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return revision
    return {**revision, "commit": answer.stdout.strip()}


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for folder in TRAINING_CODE:
        for path in sorted((PROJECT / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(PROJECT)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
