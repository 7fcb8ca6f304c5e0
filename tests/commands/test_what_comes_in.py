"""What a log brings is told line by line, and what is stored all the same hurts no reader."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import create_token
from annotate.models import Example, Task
from tests import cast
from validate.logs import import_log
from validate.models import Review

EXAMPLE = {
    "kind": "example",
    "id": "e1",
    "round": 1,
    "author": "somebody",
    "input": cast.drawing(1),
    "label": "3",
    "prediction": "5",
    "model": "reader",
}


def lines_of(*lines: Any) -> list[bytes]:
    return [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]


def test_every_refused_line_is_told_in_order(
    task: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad: list[Any] = []
    for number in range(30):
        bad.append({"kind": "vote", "example": f"nowhere {number}", "validator": "v", "label": "1"})
        bad.append({**EXAMPLE, "id": f"e{number}", "label": "\x1b[31m"})
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"\n".join(lines_of(*bad)))

    with pytest.raises(CommandError) as told:
        call_command("import_log", task.slug, str(file), "--json")

    sentences = str(told.value).splitlines()[1:]
    assert [int(line.split()[1].rstrip(":")) for line in sentences] == list(range(1, 61))
    refused = json.loads(capsys.readouterr().out.splitlines()[-1])["refused"]
    assert [line["line"] for line in refused] == list(range(1, 61))
    assert refused[0]["message"] == "There is no example nowhere 0."


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (b'{"kind": "example", "kind": "vote"}', "kind is there twice."),
        ({"prediction": {"3": 1}}, "The prediction must be one of"),
        ({"prediction": True}, "The prediction must be one of"),
        ({"author": "\u200b"}, "\u200b has nothing to see"),
        ({"author": "Оlivе"}, "Оlivе looks like olive, who has an account here"),
        ({"author": "0L\u200bIVE"}, "looks like olive"),
    ],
)
def test_a_line_is_taken_whole_or_refused(
    task: Task, change: bytes | dict[str, Any], sentence: str
) -> None:
    line = change if isinstance(change, bytes) else {**EXAMPLE, **change}

    (mistake,) = import_log(task, lambda: lines_of(line)).mistakes

    assert sentence.replace("\u200b", "\ufffd") in mistake
    assert not Example.objects.exists()


def test_nobody_signs_up_as_somebody_else_looks(owner: User, client: Client) -> None:
    for name in ("0live", "oIive", "0LIVE"):
        form = {"username": name, "password1": cast.PASSWORD, "password2": cast.PASSWORD}
        page = client.post("/accounts/signup/", form)
        assert "That looks like olive, who is here already." in page.content.decode()
        with pytest.raises(CommandError, match="looks like olive"):
            call_command("create_user", name, "--role", "annotator")
    assert not User.objects.exclude(pk=owner.pk).exists()


# What an older version, or a hand in the database, may have left.
SETTLED = {"settled_at": datetime(2024, 1, 1, tzinfo=UTC), "queued": False}
LEFT: list[dict[str, Any]] = [
    {"input": [1, [2], None]},
    {"input": "a text", "label": {"start": "x"}, "prediction": 3.5},
    {"input": {"png": 7}, "probabilities": {"3": "high", "x": None}},
    {"input": {"png": "no picture"}, "prediction": [], "probabilities": {"3": 10**400}},
    {"input": 0, "label": ["3"], "final_label": {"a": 1}, **SETTLED, "status": "relabelled"},
    {"input": {"text": ["no text"]}, "label": 10**30, **SETTLED, "status": "verified"},
]


@pytest.mark.parametrize("left", LEFT)
def test_readers_survive_whatever_is_stored(
    task: Task,
    owner: User,
    annotator: User,
    validator: User,
    left: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    admin = cast.person("ada", "admin")
    example, waits = (cast.submission(task, annotator, seed) for seed in (1, 2))
    Review.objects.create(task=task, example=example, kind=Review.Kind.AUDIT)
    Example.objects.filter(pk=example.pk).update(**left)
    changes = {key: value for key, value in left.items() if key in ("input", "label")}
    Example.objects.filter(pk=waits.pk).update(**changes)

    uid, inbox = example.uid, f"/tasks/{task.slug}/inbox/"
    pages: dict[User, list[str]] = {
        annotator: ["/me/work/", "/me/work/data.jsonl", f"/me/work/{uid}/retract/"],
        owner: [
            inbox,
            f"{inbox}{uid}/",
            f"{inbox}{uid}/similar/",
            f"/tasks/{task.slug}/agreement/",
        ],
        admin: ["/admin/annotate/example/", f"/admin/annotate/example/{example.pk}/change/"],
        validator: [f"/tasks/{task.slug}/leaderboard/", f"/validate/{task.slug}/"],
    }
    for person, addresses in pages.items():
        client = Client()
        client.force_login(person)
        for address in addresses:
            assert client.get(address).status_code == 200, address
    as_user: Callable[[User], APIClient] = _caller
    for address in ("examples/", f"examples/{uid}/", f"tasks/{task.slug}/leaderboard/"):
        assert as_user(owner).get(f"/api/v1/{address}").status_code == 200, address
    assert (
        as_user(validator).post(f"/api/v1/tasks/{task.slug}/validations/next/").status_code == 200
    )
    call_command("export_log", task.slug)
    assert capsys.readouterr().out.count("\n") == 2
    call_command("recompute")


def _caller(user: User) -> APIClient:
    client = APIClient(raise_request_exception=True)
    client.credentials(HTTP_AUTHORIZATION=f"Token {create_token(user=user)}")
    return client


def test_a_log_whose_reader_has_seen_enough_ends_quietly(task: Task, annotator: User) -> None:
    cast.submission(task, annotator)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        call_command("export_log", task.slug, stdout=out)
