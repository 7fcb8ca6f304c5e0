"""The protocol page says everything that there is to call, send and receive."""

from __future__ import annotations

import re
from pathlib import Path

from rest_framework.test import APIClient

from validate.policies import FLAG_REASONS, POLICIES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
PROJECT = Path(__file__).resolve().parents[2]


def test_every_call_is_described(db: None) -> None:
    paths = APIClient().get("/api/v1/schema/?format=json").json()["paths"]
    words = " ".join(PAGE.split())

    for path, methods in paths.items():
        for method in methods:
            assert f"{method.upper()} {path.removeprefix('/api/v1/')}`" in words, (method, path)


def test_every_frame_is_described() -> None:
    source = (PROJECT / "annotate" / "consumers.py").read_text(encoding="utf-8")
    sent = set(re.findall(r'_send\(\s*"(\w+)"', source))

    assert sent >= {"ready", "prediction", "accepted", "error", "busy", "round_changed"}
    for frame in sent | {"predict", "submit"}:
        assert f"| `{frame}` |" in PAGE


def test_every_policy_flag_and_command_is_described() -> None:
    commands = PROJECT.glob("*/management/commands/[!_]*.py")
    elsewhere = {"bootstrap", "worker"}  # in operations.md

    for name in [*POLICIES, *FLAG_REASONS]:
        assert f"`{name}`" in PAGE
    for command in {path.stem for path in commands} - elsewhere:
        assert f"manage.py {command}" in PAGE
