"""kill -9 under load, a few times on SQLite; `python -m benchmarks crash` does far more."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.crash import survive


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_was_acknowledged_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = survive(
        "sqlite",
        ["web", "server"],
        drawings=1500,
        annotators=4,
        validators=2,
        waiting=100,
        trained=False,
    )
    assert found["submissions acknowledged"] > 0
    assert found["votes acknowledged"] > 0
    assert found["connections lost"] > 0
