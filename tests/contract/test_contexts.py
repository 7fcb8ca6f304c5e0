"""Contexts as an owner loads them and as scripts are given them, over REST and the socket."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from pyarrow import parquet
from rest_framework.test import APIClient

from accounts.models import User
from annotate.models import Context, Example, Task
from tests import cast
from tests.contract.conftest import Done
from tests.contract.test_frames import socket, token_of
from tests.pins import Pins, shape

AsUser = Callable[[User], APIClient]
Manage = Callable[..., Done]
TASK = "/api/v1/tasks/texts/"
PASSAGES = ["Ann met Bob in Rome.", "It rained,\nall week.", "Ἀρχή, “quoted” 😀"]


@pytest.fixture
def pairs(db: None) -> Task:
    return cast.text_task(input="text_pair", labels=["yes", "no"])


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        names = list(rows[0])
        quoted = [
            [f'"{row[name].replace(chr(34), chr(34) * 2)}"' for name in names] for row in rows
        ]
        path.write_text("\n".join(map(",".join, [names, *quoted])), encoding="utf-8-sig")
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_every_form_of_file_brings_the_same_contexts_once(
    pairs: Task, manage: Manage, tmp_path: Path
) -> None:
    rows = [{"text": text, "source": "ours"} for text in PASSAGES]
    dry = manage("load_contexts", "texts", write(tmp_path / "c.jsonl", rows), "--dry-run", "--json")
    assert (dry.status, dry.summary["new"], Context.objects.count()) == (0, 3, 0)
    for suffix, new in {"csv": 3, "jsonl": 0, "parquet": 0}.items():
        file = write(tmp_path / f"contexts.{suffix}", rows)
        done = manage("load_contexts", "texts", file, "--source", "other", "--json")
        assert (done.status, done.errors) == (0, "")
        assert (done.summary["new"], done.summary["known"]) == (new, 3 - new)
    assert [one.data["context"] for one in Context.objects.order_by("id")] == PASSAGES
    assert {one.source for one in Context.objects.all()} == {"ours"}


def test_a_dry_run_tells_what_a_run_then_does(pairs: Task, manage: Manage, tmp_path: Path) -> None:
    """Also of a row that comes again after more than are written at once."""
    rows = [{"text": f"Story {number}."} for number in (*range(600), 0, 599)]
    file = write(tmp_path / "many.jsonl", rows)
    for options in (["--dry-run"], []):
        done = manage("load_contexts", "texts", file, *options, "--json")
        assert (done.summary["new"], done.summary["known"]) == (600, 2)


def test_each_bad_row_is_told_and_the_others_are_loaded(
    pairs: Task, manage: Manage, tmp_path: Path
) -> None:
    file = tmp_path / "contexts.jsonl"
    rows = [
        '{"text": "Fine.", "tags": ["a"]}', "{", "[]", '{"text": " "}', '{"title": "No text"}',
        '{"text": 7}', f'{{"text": "{"x" * 20_001}"}}',
        '{"text": "x", "tags": 7}', '{"text": "\\u0000"}',
        '{"text": "Which?", "context": "One."}', '{"context": "Fine too.", "title": "T"}',
    ]  # fmt: skip
    file.write_text("\n".join(rows))
    done = manage("load_contexts", "texts", file, "--json")
    assert (done.status, done.summary["new"], done.summary["refused_rows"]) == (1, 2, 9)
    for number in range(2, 11):
        assert f"line {number}: " in done.errors
    assert [one["line"] for one in done.summary["refused"]] == list(range(2, 11))
    assert Context.objects.get(tags=["a"]).data == {"context": "Fine."}


def test_a_csv_row_that_does_not_fit_is_told(pairs: Task, manage: Manage, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text('text,tags\n"Fine.","a, b"\none,two,three\nFine too.\n')
    done = manage("load_contexts", "texts", tmp_path / "c.csv", "--json")
    assert (done.summary["new"], done.summary["refused_rows"]) == (2, 1)
    assert "line 3: it has more columns" in done.errors
    assert Context.objects.first().tags == ["a", "b"]  # type: ignore[union-attr]


def test_what_parquet_has_and_json_has_not_is_told(
    pairs: Task, manage: Manage, tmp_path: Path
) -> None:
    odd = {"when": datetime(2026, 1, 1), "bytes": b"\xff", "share": float("nan"), "good": "x"}
    for name, value in odd.items():
        file = write(tmp_path / f"{name}.parquet", [{"text": "A man sleeps.", "title": value}])
        done = manage("load_contexts", "texts", file, "--json")
        assert (done.status, "line 1: " in done.errors) == ((0, False), (1, True))[name != "good"]
    damaged = bytearray(file.read_bytes())
    damaged[4:60] = bytes(56)
    file.write_bytes(damaged)
    assert "is no Parquet file" in manage("load_contexts", "texts", file).errors


@pytest.mark.parametrize(
    ("task", "name", "content", "sentence"),
    [
        ("texts", "c.txt", b"", "must be a .jsonl, .csv, .parquet file"),
        ("texts", "c.parquet", b"PAR1", "is no Parquet file"),
        ("texts", "c.csv", b"text\n\xff\xfe", "must be UTF-8"),
        ("texts", "none.csv", None, "cannot be read"),
        ("digits", "c.jsonl", b'{"text": "x"}', "has no context"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(
    pairs: Task, manage: Manage, tmp_path: Path, task: str, name: str, content: Any, sentence: str
) -> None:
    cast.digits_task()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = manage("load_contexts", task, tmp_path / name, "--json")
    assert done.status == 1
    assert sentence in done.errors


def test_one_is_given_a_context_writes_about_it_and_gets_the_next(
    pairs: Task, annotator: User, as_user: AsUser, manage: Manage, tmp_path: Path, pinned: Pins
) -> None:
    manage("load_contexts", "texts", write(tmp_path / "c.jsonl", [{"text": t} for t in PASSAGES]))
    client = as_user(annotator)
    seen = set()
    for number in range(3):
        given = client.post(f"{TASK}contexts/next/").json()
        pinned.same("answers", "post contexts/next/", shape(given))
        seen.add(given["data"]["context"])
        asked = {"input": {"hypothesis": f"So {number}."}, "context": given["context"]}
        said = client.post(f"{TASK}predictions/", asked).json()
        whole = {"input": {**asked["input"], **given["data"]}}
        assert client.post(f"{TASK}predictions/", whole).json() == said
        if number == 1:
            skipped = client.post(f"{TASK}contexts/next/", {"skip": given["context"]}).json()
            assert skipped["context"] != given["context"]
            break
        sent = {**asked, "client_id": str(uuid.uuid4()), "label": said["prediction"]}
        done = client.post(f"{TASK}examples/", sent)
        assert (done.status_code, done.json()["fooled"]) == (201, False)
    assert len(seen) == 2
    assert client.post(f"{TASK}contexts/next/", {"skip": skipped["context"]}).status_code == 204
    assert client.post(f"{TASK}contexts/next/", {"skip": "x"}).status_code == 400
    assert Example.objects.get().input.keys() == {"context", "hypothesis"}


def test_a_guest_of_the_sandbox_is_given_one_too(
    pairs: Task, manage: Manage, tmp_path: Path
) -> None:
    manage("load_contexts", "texts", write(tmp_path / "c.jsonl", [{"text": t} for t in PASSAGES]))
    guest = Client()
    assert guest.post(f"{TASK}contexts/next/").status_code == 401
    guest.get("/tasks/texts/")
    first, again = (guest.post(f"{TASK}contexts/next/").json() for _ in range(2))
    assert first == again


@pytest.mark.django_db(transaction=True)
async def test_a_socket_predicts_and_submits_about_a_context(
    pairs: Task, annotator: User, pinned: Pins
) -> None:
    data = {"context": PASSAGES[0]}
    context = await Context.objects.acreate(task=pairs, data=data, sha256="1", offered=True)
    about = {"input": {"hypothesis": "She did."}, "context": str(context.uid)}
    whole = {"hypothesis": "She did.", **data}
    said = await sync_to_async(cast.prediction)(pairs, whole)
    token = await token_of(annotator)
    async with socket(pinned, "/ws/tasks/texts/", authorization=token) as page:
        await page.receive("(texts)")
        await page.send(type="predict", seq=1, **about)
        assert (await page.receive("(texts)"))["prediction"] == said
        await page.send(type="predict", seq=2, input=about["input"], context="none")
        assert (await page.receive("(predict, context)"))["code"] == "unknown_context"
        sent = {"type": "submit", "client_id": str(uuid.uuid4()), "label": said}
        await page.send(**sent, **about)
        assert (await page.receive("(texts)"))["fooled"] is False
    assert (await Example.objects.aget()).input == whole
