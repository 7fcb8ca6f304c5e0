"""kill -9 under load, a few times on SQLite; `python -m benchmarks crash` does far more."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import drawings
from benchmarks.crash import survive
from tests import cast, migrated


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_was_acknowledged_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for chunk in range(2):  # redrawing real digits takes torch, and longer than the rest
        file = drawings.cache_folder() / f"canvas-{drawings.SEED}-{chunk}.txt"
        seeds = range(chunk * drawings.CHUNK, (chunk + 1) * drawings.CHUNK)
        file.write_text("".join(f"{n % 10} {cast.drawing(n)['png']}\n" for n in seeds))
    found = survive(
        "sqlite",
        ["web", "server"],
        drawings=1500,
        pause=0.1,
        annotators=4,
        validators=2,
        waiting=100,
        begin=migrated.world,
    )
    assert found["submissions acknowledged"] > 0
    assert found["votes acknowledged"] > 0
    assert found["connections lost"] > 0
