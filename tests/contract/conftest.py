"""Who stands at the front door in these tests: callers of the API, and a terminal."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from django.core.management import get_commands, load_command_class
from django.db import connections
from PIL import Image
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import create_token
from annotate.models import Task


@pytest.fixture
def guest() -> APIClient:
    return APIClient()


@pytest.fixture
def as_user() -> Callable[[User], APIClient]:
    """A client that calls with a person's own token."""

    def client(user: User) -> APIClient:
        caller = APIClient()
        caller.credentials(HTTP_AUTHORIZATION=f"Token {create_token(user=user)}")
        return caller

    return client


class Done(NamedTuple):
    """What `manage.py …` left behind in a terminal."""

    status: int
    output: str
    errors: str

    @property
    def summary(self) -> Any:
        """The last line, which is JSON with --json."""
        return json.loads(self.output.splitlines()[-1])


@pytest.fixture
def manage(db: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Run `manage.py` as a terminal does, in this process and on its connection."""
    monkeypatch.setattr(connections, "close_all", lambda: None)

    def run(name: str, *arguments: object) -> Done:
        output, errors, status = io.StringIO(), io.StringIO(), 0
        with redirect_stdout(output), redirect_stderr(errors):
            command = load_command_class(get_commands()[name], name)
            try:
                command.run_from_argv(["manage.py", name, "--skip-checks", *map(str, arguments)])
            except SystemExit as ended:
                status = ended.code if isinstance(ended.code, int) else 1
        return Done(status, output.getvalue(), errors.getvalue())

    return run


def _photographed() -> dict[str, str]:
    """As a camera writes it, which says where it was."""
    picture = Image.fromarray(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3))
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"  # the part of GPS
    exif[0x010F] = "CAMERA 7"
    stream = io.BytesIO()
    picture.save(stream, "JPEG", exif=exif)
    return {"photo": base64.b64encode(stream.getvalue()).decode()}


# One small log of each kind of input: what it shows (its keys in order), what its answers are.
KINDS: dict[str, tuple[Any, list[Any]]] = {
    "image": ({"pixels": [0.0] * 392 + [1.0] * 20 + [0.0] * 372}, ["3", "8", "5"]),
    "photo": (_photographed(), ["yes", "no", "maybe"]),
    "text": ({"text": "Not my cup of tea."}, ["yes", "no", "maybe"]),
    "text_pair": (
        {"context": "It rains.", "hypothesis": "It is “dry”."},
        ["yes", "no", "maybe"],
    ),
    "text_multilabel": ({"text": "Zoë 😀"}, [["yes"], ["no", "yes"], []]),
    "passage_qa": (
        {"answer": {"start": 0, "text": "Ada"}, "context": "Ada wrote it.", "question": "Who?"},
        ["Ada", "nobody", "wrote"],
    ),
    "chat": (
        {
            "turns": [
                {"content": "<b>Hi</b> 😀", "role": "user"},
                {"content": "No.", "finish_reason": "stop", "role": "assistant", "tokens": 7},
            ]
        },
        ["yes", "no", "maybe"],
    ),
}


@pytest.fixture
def log_of(tmp_path: Path) -> Callable[[str], Path]:
    """A log of three examples of a kind: voted on and settled, voted on once, and not fooling."""

    def write(kind: str) -> Path:
        input, (right, wrong, other) = KINDS[kind]
        is_one_of_a_few = kind not in ("text_multilabel", "passage_qa")
        weighed = dict(sorted({right: 0.75, wrong: 0.25}.items())) if is_one_of_a_few else {}
        lines: list[dict[str, Any]] = [
            {
                "kind": "example",
                "id": f"{kind}-{number}",
                "round": 1 + number // 2,
                "author": f"p-author {number}",
                "input": input,
                **({} if number else {"context": {"source": "wiki", "ü": [1, 2.5, None]}}),
                "label": right,
                "prediction": said,
                **({} if number or not weighed else {"probabilities": weighed}),
                "model": "reader",
                "created_at": f"2026-01-0{number + 1}T12:00:00.000001+00:00",
            }
            for number, said in enumerate((wrong, other, right))
        ]
        lines += [
            {"kind": "vote", "example": f"{kind}-0", "validator": "p-v1", "label": right},
            {"kind": "vote", "example": f"{kind}-0", "validator": "p-v2", "label": right},
            {"kind": "vote", "example": f"{kind}-0", "validator": "p-v3", "label": wrong},
            {"kind": "vote", "example": f"{kind}-1", "validator": "p-v1", "flag": "unsure"},
        ]
        file = tmp_path / f"{kind}.jsonl"
        text = (json.dumps(line, ensure_ascii=False, separators=(",", ":")) for line in lines)
        file.write_text("".join(f"{line}\n" for line in text), encoding="utf-8")
        return file

    return write


@pytest.fixture
def loaded(manage: Callable[..., Done], tmp_path: Path) -> Callable[..., Task]:
    """Load the least task file of a kind."""

    def load(kind: str, slug: str = "", **changes: Any) -> Task:
        labels = [str(digit) for digit in range(10)] if kind == "image" else ["yes", "no", "maybe"]
        content = {
            "slug": slug or kind.replace("_", "-"),
            "name": kind,
            "input": kind,
            "labels": [] if kind == "passage_qa" else labels,
            "validation": {"policy": "k_matching"},
            **({"claim": "no"} if kind == "chat" else {}),
            **changes,
        }
        file = tmp_path / f"{content['slug']}.yaml"
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        done = manage("load_task", file)
        assert not done.status, done.errors
        return Task.objects.get(slug=content["slug"])

    return load
