"""The lines of the client's README against a real server; and what it does when that goes away."""

from __future__ import annotations

import json
import re
import tempfile
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import pytest
import requests
import yaml

from benchmarks import readers
from dadc_client import BACKENDS, Client, DadcError, _told
from ml import artifacts
from ml.backends import NAMES, way_named
from tests import cast
from tests.browser.fixtures import Server

# No browser, but the server that tests in one share.
pytestmark = [pytest.mark.browser, pytest.mark.slow]
README = Path(__file__).resolve().parents[2] / "client" / "README.md"
TASK = "client-digits"
READERS = Path(tempfile.gettempdir()) / "dadc-readers"


def test_the_lines_of_its_readme(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("task.yaml").write_text(yaml.safe_dump(cast.task_file(slug=TASK)))
    server.run("manage", "load_task", str(tmp_path / "task.yaml"))
    assert {ways.sent: n for n in NAMES if (ways := way_named(n)).sent} == BACKENDS
    shipped = json.loads((cast.SHIPPED / "model.json").read_text())
    made = artifacts.load(cast.SHIPPED / shipped["artifact"], shipped["sha256"])
    Path("model.onnx").write_bytes(made.members[artifacts.ONNX])
    mia, petra = (
        json.loads(server.run("manage", "create_user", name, "--role", role, "--token"))["token"]
        for name, role in (("mia", "admin"), ("petra", "annotator"))
    )
    text = README.read_text().replace('"digits"', f'"{TASK}"').replace("YOUR-TOKEN", mia)
    model, part, data, talk = re.findall(
        r"```python\n(.*?)```", text.replace("http://127.0.0.1:8000", server.url), re.DOTALL
    )
    said: dict[str, Any] = {}

    exec(model, said)
    client, results = said["client"], said["results"]
    assert results["rounds"] == [1]
    assert (results["dynascore"], results["round1_acc"]) == (None, None)
    assert results["reason"]
    again = client.submit_model("model.onnx", TASK, "A small net of ours")
    assert again == said["model"], "the same file is the same model"
    assert len(client.models(TASK)) == 1

    author = Client(server.url, petra)
    drawing = cast.drawing(5)
    label = "1" if author.predict(TASK, drawing)["prediction"] == "0" else "0"
    first = author.submit(TASK, drawing, label)
    assert author.submit(TASK, drawing, label) == first
    exec(part, said)
    assert said["answered"] == 1
    assert [one["id"] for one in author.examples(task=TASK)] == [first["id"]]

    file = "slug: chats\nname: Chats\ninput: chat\nlabels: [acceptable, harmful]\nclaim: acceptable"
    Path("chats.yaml").write_text(file)
    server.run("manage", "load_task", str(tmp_path / "chats.yaml"))
    echo = {"name": "echo", "backend": "null", "open_round": True}
    client._post("tasks/chats/models/", echo)
    talked = {"petra": author}
    exec(talk, talked)
    assert talked["ended"]["fooled"]
    with pytest.raises(DadcError) as refused:
        author.vote("no-lease", label="1")
    assert refused.value.status == 404

    server.run("manage", "release", TASK, "--out", str(tmp_path / "out"))
    exec(data, said)
    assert len(said["release"].pandas()) == 2
    first = said["first"]
    assert len(first.pandas()) == 2
    assert first.folder.name == f"{TASK}-1.0.0-round-1"
    assert not (first.folder / "log.jsonl").exists()
    assert "you have the tables of round 1 only" in (first.folder / "README.md").read_text()
    if (READERS / "datasets" / "bin").exists():
        assert readers.differences("datasets", READERS, [first.folder]) == {}
    with pytest.raises(ValueError, match="Name a round"):
        client.release(TASK, rounds=[], into="data")
    with pytest.raises(DadcError) as absent:
        client.release(TASK, rounds=[1, 2], into="data")
    assert absent.value.status == 404
    assert not Path("data", f"{TASK}-1.0.0-round-1-2").exists()
    # What broke off goes on; what is there stays; what is damaged comes again.
    home = said["release"].folder
    log = (home / "log.jsonl").read_bytes()
    (home / "SHA256SUMS").write_bytes(b"other")
    for part in (log[:100], log, log + b"more"):
        (home / "log.jsonl").unlink(missing_ok=True)
        (home / "log.jsonl.part").write_bytes(part)
        exec(data, said)
        assert (home / "log.jsonl").read_bytes() == log
    assert (home / "SHA256SUMS").read_bytes() != b"other"


def test_a_model_is_scored_by_itself(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = "slug: scored\nname: Scored\ninput: text\nlabels: [bad, good]"
    (tmp_path / "task.yaml").write_text(file)
    server.run("manage", "load_task", str(tmp_path / "task.yaml"))
    for name, number in (("train", 40), ("dev", 10)):
        lines = [f"a {mood} day {n}\t{mood}" for n in range(number) for mood in ("bad", "good")]
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines))
    server.run("manage", "train_model", "scored", str(tmp_path), "--open-round")
    people = (("sam", "admin"), ("tom", "annotator"))
    sam, tom = (
        json.loads(server.run("manage", "create_user", name, "--role", role, "--token"))["token"]
        for name, role in people
    )
    (tmp_path / "words.txt").write_text("for: good\ngood\t3\n")
    client = Client(server.url, sam)
    model = client.submit_model(tmp_path / "words.txt", "scored")
    waited: list[float] = []

    def work(seconds: float) -> None:
        waited.append(seconds)
        server.run("manage", "db_worker", "--batch")

    monkeypatch.setattr("dadc_client.sleep", work)
    results = client.get_results(model)
    assert (results["clean_acc"], waited) == (1.0, [1])
    assert results["dynascore"] is None
    assert results["reason"] == "All models perform alike, so nothing says what a point is worth."
    others = Client(server.url, tom).get_results(model)
    assert others["reason"] == "it never served: its task's owners see it"
    with pytest.raises(DadcError, match="There is no such task"):
        Client(server.url, tom).evaluate("scored")


def test_a_server_that_was_away_is_asked_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = formatdate(time() + 60, usegmt=True)
    assert (_told("7", 1), _told("", 1), 50 < _told(soon, 1) <= 60) == (7, 1, True)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            server.start()

    monkeypatch.setattr("dadc_client.sleep", sleep)
    server.stop()
    assert [task["slug"] for task in Client(server.url).tasks()]
    assert waits == [0.25, 0.5]
    with pytest.raises(requests.ConnectionError):
        Client("http://127.0.0.1:9", retries=1).tasks()
