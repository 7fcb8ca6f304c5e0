"""A release of each kind of task: what goes out, who reads it back, what a changed one says."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid
import zipfile
from array import array
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from django.db import connections
from django.db.models import TextField
from django.db.models.functions import Cast
from PIL import Image

from accounts.models import Event, User
from accounts.services import record_event
from annotate import rounds
from annotate.explanations import explain
from annotate.models import TargetAnswer, Task
from annotate.queries import Participant
from annotate.sections import Rounds
from annotate.services import retract
from benchmarks import readers
from core.transactions import durable
from kinds import kind_named
from releases import ledger
from releases.figures import _median
from releases.folders import LEDGER, SUMS, write_sums
from releases.models import AuthorPlace, Contents, Keys
from releases.papers import papers
from releases.reading import Difference
from releases.replaying import replay
from releases.services import order_of
from releases.verifying import verify
from releases.writing import make
from tests import cast
from tests.contract.conftest import KINDS, Done
from validate.acts.ban import set_banned
from validate.models import Vote

Manage = Callable[..., Done]
Load = Callable[..., Task]
READERS = Path(tempfile.gettempdir()) / "dadc-readers"


@pytest.fixture
def released(
    manage: Manage, loaded: Load, log_of: Callable[[str], Path], tmp_path: Path
) -> Callable[..., Path]:
    """The folder of a first release of a kind."""

    def make(kind: str, *options: str, **changes: Any) -> Path:
        task = loaded(kind, **changes)
        assert manage("import_log", task.slug, log_of(kind)).status == 0
        folder = tmp_path / f"{kind}-1"
        done = manage("release", task.slug, "--out", folder, "--json", *options)
        assert (done.status, done.errors) == (0, "")
        return folder

    return make


def rows_of(folder: Path) -> list[dict[str, Any]]:
    files = folder.glob("data/*.parquet")
    rows = [row for path in files for row in pq.read_table(path).to_pylist()]
    return sorted(rows, key=lambda row: row["id"])


def sign_again(folder: Path, kind: str, but: str, key: bytes = b"") -> None:
    """As the server itself would sign what was changed, its papers told anew but for one."""
    about = json.loads((folder / "release.json").read_text())
    if key:
        about["public_key"] = ledger.public_key(key)
        (folder / "release.json").write_text(json.dumps(about))
    for name, text in papers(about, kind_named(kind), folder).items():
        if name != but:
            (folder / name).write_text(text)
    (folder / SUMS).unlink()
    said = json.loads((folder / LEDGER).read_text())
    (folder / LEDGER).unlink()
    statement = {name: said[name] for name in said if name not in ("public_key", "signature")}
    statement["sums"] = write_sums(folder)
    signed = ledger.signed(statement, key or bytes(Keys.objects.get().signing))
    (folder / LEDGER).write_text(ledger.text_of(signed))


@pytest.mark.parametrize("kind", KINDS)
def test_every_vote_goes_out_by_pseudonym_and_is_proven_without_the_database(
    released: Callable[..., Path], manage: Manage, loaded: Load, kind: str
) -> None:
    folder = released(kind, validation={"policy": "two_plus_one"})
    rows = rows_of(folder)

    assert [row["id"] for row in rows] == [f"{kind}-{number}" for number in range(3)]
    assert [len(row["votes"]) for row in rows] == [3, 1, 0]
    assert [vote["effect"] for vote in rows[0]["votes"]] == ["counts", "counts", "surplus"]
    assert [vote["flag"] for vote in rows[1]["votes"]] == ["unsure"]
    assert [row["status"] for row in rows] == ["verified", "open", "open"]
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    as_it_came = KINDS["photo"][0]["photo"].encode()
    for name in (b"p-author", b"p-v1", b"CAMERA 7", as_it_came):
        assert name not in everything, "neither names leave nor what a camera wrote"
    for row in rows if "image" in rows[0] else ():
        assert not Image.open(io.BytesIO(row["image"]["bytes"])).getexif()

    proven = manage("verify", folder, "--here", "--json")
    assert (proven.status, proven.summary["equal"]) == (0, True), proven.errors
    assert (proven.summary["examples"], proven.summary["votes"]) == (3, 4)

    # What the log says comes in again elsewhere, with its verdicts.
    again = loaded(kind, "again", validation={"policy": "two_plus_one"})
    taken = manage("import_log", "again", folder / "log.jsonl", "--json").summary
    assert (taken["new_examples"], taken["new_votes"], taken["refused"]) == (3, 4, [])
    statuses = again.examples.order_by("id").values_list("status", flat=True)
    assert list(statuses) == ["verified", "open", "open"]


def test_votes_are_told_as_they_were_cast_however_many_are_sorted_at_a_time(
    released: Callable[..., Path], manage: Manage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released("text")
    lines = [
        {"kind": "vote", "example": f"text-{number}", "validator": f"p-w{turn}", "label": "no"}
        for turn in range(3)
        for number in (2, 0, 1)
    ]
    (tmp_path / "votes.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert manage("import_log", "text", tmp_path / "votes.jsonl").status == 0
    logs = []
    for many in (250_000, 4, 1):
        monkeypatch.setattr("releases.writing.MANY", many)
        assert manage("release", "text", "--out", tmp_path / f"of-{many}").status == 0
        logs.append((tmp_path / f"of-{many}" / "log.jsonl").read_text())
    assert len(set(logs)) == 1
    votes = [line for line in map(json.loads, logs[0].splitlines()) if line["kind"] == "vote"]
    cast = Vote.objects.order_by("id").values_list("example__external_id", flat=True)
    assert [vote["example"] for vote in votes] == list(cast)
    assert len(votes) == 13


@pytest.mark.parametrize("seconds", [[], [3.5], [1.1, 9.9], [5.0, 1.0, 2.2], [0.1] * 4])
def test_a_median_is_numpys(seconds: list[float]) -> None:
    wide = np.array(seconds, np.float32).astype(np.float64)
    expected = round(float(np.median(wide)), 3) if seconds else None
    assert _median(array("f", seconds)) == expected


def test_a_verdict_that_outlived_a_validators_standing_is_no_difference(
    released: Callable[..., Path], manage: Manage, owner: User, tmp_path: Path
) -> None:
    """The first two confirmed it; the second lost their say, and what came first had none then.

    Of the last one the first vote had no weight while three others verified it.
    """
    released("text", validation={"policy": "two_plus_one"})
    task = Task.objects.get(slug="text")
    votes = task.examples.get(external_id="text-0").votes.order_by("id")
    votes.filter(validator__pseudonym="p-v2").update(dropped=True)
    votes.filter(validator__pseudonym="p-v3").update(surplus=False, hasty=True)

    def cast_in_turn(*said: tuple[str, str]) -> None:
        lines = [
            {"kind": "vote", "example": "text-2", "validator": f"p-{name}", "label": label}
            for name, label in said
        ]
        more = "".join(f"{json.dumps(line)}\n" for line in lines)
        (tmp_path / "votes.jsonl").write_text(more)
        assert manage("import_log", "text", tmp_path / "votes.jsonl").status == 0

    cast_in_turn(("v7", "no"))
    for banned in (True, False):
        who = User.objects.get(pseudonym="p-v7")
        set_banned(actor=owner, user=who, banned=banned, reason="A look.")
        if banned:
            cast_in_turn(("v8", "no"), ("v9", "yes"), ("v10", "yes"))
    assert manage("release", "text", "--out", tmp_path / "later").status == 0

    assert verify(tmp_path / "later").votes == 8
    statuses = {row["id"]: row["status"] for row in rows_of(tmp_path / "later")}
    assert statuses["text-2"] == "verified"

    # Where an owner decided, what the votes say asks for a closer look as long as anybody did.
    votes.filter(validator__pseudonym="p-v2").update(close=True)
    votes.filter(validator__pseudonym="p-v3").update(label="yes")
    task.examples.filter(external_id="text-0").update(adjudicated=True)
    assert manage("release", "text", "--out", tmp_path / "close").status == 0
    assert verify(tmp_path / "close").about["figures"]["adjudicated"] == 1
    row = next(row for row in rows_of(tmp_path / "close") if row["id"] == "text-0")
    assert (row["status"], row["voted_status"]) == ("verified", "open")

    task.examples.filter(external_id="text-0").update(adjudicated=False)
    votes.update(dropped=False, hasty=False, close=False, label="no")
    assert manage("release", "text", "--out", tmp_path / "wrong").status == 0
    with pytest.raises(Difference, match="text-0: voted_status"):
        verify(tmp_path / "wrong")


@pytest.fixture
def several(manage: Manage, annotator: User, tmp_path: Path) -> Path:
    """A release of two rounds: against one model, then against two that must both be fooled."""
    task = cast.text_task(validation={"policy": "two_plus_one", "sample": 0})
    cast.submission(task, annotator, fooled=False, input={"text": "It rained."}, label="yes")
    models = [task.models.get(), cast.fixed_model(task, 1)]
    with durable():
        rounds.open_next_round(
            task=task, models=models, needed=2, rules=Rounds(submissions_each=50)
        )
    for number in range(8):
        text = {"text": f"It rained on {number} days, and no more."}
        cast.submission(task, annotator, fooled=False, input=text, label="yes")
    folder = tmp_path / "several"
    assert manage("release", "texts", "--out", folder).status == 0
    return folder


def test_what_each_of_several_models_said_is_released_and_proven(
    several: Path, manage: Manage, tmp_path: Path
) -> None:
    rows = rows_of(several)
    answers = TargetAnswer.objects.order_by("example_id", "model__number")
    told = {str(one.example.uid): [] for one in answers.select_related("example")}
    for one in answers.select_related("model", "example"):
        told[str(one.example.uid)].append((one.model.name, one.prediction, one.fooled))
    assert {
        row["id"]: [(one["model"], one["prediction"], one["fooled"]) for one in row["targets"]]
        for row in rows
        if row["targets"]
    } == told
    assert len(told) == len(rows) - 1 == 8
    assert {len(one["probabilities"]["p"]) for row in rows for one in row["targets"]} == {2}
    fooled = sum(one.fooled for one in answers)
    both = sum(row["fooled"] for row in rows if row["round"] == 2)
    assert 0 < both < fooled / 2, "one may be fooled and not the round"

    about = verify(several).about
    first, second = about["figures"]["rounds"]
    assert first["met"]["texts-1"]["answered"] == 1
    assert sum(met["fooled"] for met in second["met"].values()) == fooled
    assert {met["answered"] for met in second["met"].values()} == {8}
    table = pq.read_table(several / "rounds.parquet").to_pylist()
    assert [(row["round"], row["status"], row["needed"]) for row in table] == [
        (1, "closed", None),
        (2, "open", 2),
    ]
    assert table[1]["targets"] == ["texts-1", "texts-2"]
    assert table[1]["rules"]["submissions_each"] == 50
    assert table[1]["arms"] == {"live": 8, "alone": 0, "log": 0}
    card = (several / "README.md").read_text()
    assert "texts-1, texts-2 (all asked, 2 must be fooled)" in card
    replayed = {one["model"]: one for one in about["replay"]}
    claims = Counter(row["model"] for row in rows if row["round"] == 1 and row["fooled"])
    claims.update(one.model.name for one in answers.select_related("model") if one.fooled)
    assert {name: one["foolings"] for name, one in replayed.items()} == claims
    assert all(one["fooled"] == one["asked"] for one in replayed.values())

    for name, was, becomes, named in (
        (
            "log.jsonl",
            '"prediction":"no","probabilities":{',
            '"prediction":"yes","probabilities":{',
            "fooled",
        ),
        (
            "log.jsonl",
            '"targets":[{"model":"texts-1"',
            '"targets":[{"model":"texts-3"',
            "no model texts-3",
        ),
        ("release.json", '"needed": 2', '"needed": 1', "fooled"),
        (
            "release.json",
            '"submissions_each": 50',
            '"submissions_each": 60',
            "rounds.parquet: 1: rules",
        ),
        ("release.json", '"status": "open"', '"status": "draft"', "rounds.parquet: 1: status"),
    ):
        changed = tmp_path / "changed"
        shutil.copytree(several, changed)
        text = (changed / name).read_text()
        assert was in text
        place = text.rindex(was)
        (changed / name).write_text(text[:place] + becomes + text[place + len(was) :])
        sign_again(changed, "text", but=name)
        with pytest.raises(Difference, match=named):
            verify(changed)
        shutil.rmtree(changed)


def test_a_release_of_an_earlier_format_is_proven_as_it_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(Path(__file__).with_name("format-3.zip")) as kept:
        kept.extractall(tmp_path)
    proven = verify(tmp_path)
    assert (proven.about["format"], proven.examples, proven.votes) == (3, 3, 2)
    (asked,) = replay(tmp_path, proven.about, 1, lambda _: None)
    assert (asked.foolings, asked.fooled) == (1, 1)
    assert readers.one_round(tmp_path, 1, tmp_path / "one").is_dir()
    shutil.rmtree(tmp_path / "one")
    about = json.loads((tmp_path / "release.json").read_text())
    (tmp_path / "release.json").write_text(json.dumps(about | {"format": 2}))
    sign_again(tmp_path, "text", but="", key=bytes(32))
    with pytest.raises(Difference, match="format is 2"):
        verify(tmp_path)


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.skipif(
    not all((READERS / name / "bin").exists() for name in readers.PACKAGES),
    reason="python -m benchmarks.readers makes what reads it",
)
def test_three_programs_read_it_equal(
    released: Callable[..., Path], several: Path, tmp_path: Path
) -> None:
    folders = [several, *(released(kind) for kind in KINDS)]
    of_round = [readers.one_round(folder, 1, tmp_path) for folder in folders]
    with ThreadPoolExecutor() as together:  # each is a process of its own
        found = {
            name: together.submit(readers.differences, name, READERS, [*folders, *of_round])
            for name in readers.PACKAGES
        }
    for name, one in found.items():
        assert one.result() == {}, name


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.skipif(
    not (READERS / "datasets" / "bin").exists(),
    reason="python -m benchmarks.readers makes what reads it",
)
def test_what_somebody_took_of_it_by_hand_loads(
    manage: Manage, annotator: User, other_annotator: User, tmp_path: Path
) -> None:
    """No README is made for them: theirs is that of all rounds and splits."""
    task = cast.text_task()
    for author, split in ((annotator, "validation"), (other_annotator, "train")):
        AuthorPlace.objects.create(task=task, author=author, split=split)
    for text in ("It rained.", "It snowed."):
        cast.submission(task, annotator, fooled=False, input={"text": text}, label="yes")
    for _ in range(10):
        with durable():
            rounds.open_next_round(task=task, models=[task.models.get()])
    cast.submission(task, other_annotator, fooled=False, input={"text": "Dry."}, label="yes")
    folder = tmp_path / "out"
    assert manage("release", "texts", "--out", folder).status == 0

    def read(name: str, *taken: str) -> list[Any]:
        """Each config's rows by split, or that it does not load, of some of the files."""
        home = tmp_path / name
        shutil.copytree(folder, home)
        for path in (*home.rglob("*.parquet"), *home.rglob("*.jsonl")):
            if not any(path.match(one) for one in taken):
                path.unlink()
        python = READERS / "datasets" / "bin" / "python"
        env = {**os.environ, "HF_HOME": str(tmp_path / "cache"), "HF_DATASETS_OFFLINE": "1"}
        done = subprocess.run(
            [python, "-c", LOAD, home], env=env, capture_output=True, text=True, check=True
        )
        return list(json.loads(done.stdout.splitlines()[-1]))

    first, last = {"validation": 2}, {"train": 1}
    table = {"rounds": 2}
    assert read("all", "*.parquet") == [first | last, first, last, table]
    assert read("first", "data/*-round-1.parquet") == [first, first, None, None]
    assert read("last", "data/*-round-11.parquet", "rounds.parquet") == [last, None, last, table]
    assert read("split", "data/train-*") == [last, None, last, None]


LOAD = """
import json, sys
from datasets import load_dataset
found = []
for name in (None, "round_1", "round_11", "rounds"):
    try:
        loaded = load_dataset(sys.argv[1], name)
        found.append({split: len(rows) for split, rows in loaded.items()})
    except Exception:
        found.append(None)
print(json.dumps(found))
"""


def test_one_changed_bit_anywhere_is_named(several: Path) -> None:
    """In tables, rounds, models and what they were asked again, as in all else."""
    folder, toss = several, random.Random(0)
    verify(folder)
    there = {path.relative_to(folder).parts[0] for path in folder.rglob("*")}
    assert {"data", "models", "rounds.parquet", "replay.jsonl", "log.jsonl"} < there
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        name = path.relative_to(folder).as_posix()
        bits = range(8 * len(data)) if name == LEDGER else ()
        for bit in [*toss.sample(range(8 * len(data)), 3), *toss.sample(bits, 300 * bool(bits))]:
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            with pytest.raises(Difference, match=re.escape(name)):
                verify(folder)
        path.write_bytes(data)
        path.rename(path.with_name("elsewhere"))
        with pytest.raises(Difference, match=f"{re.escape(name)}|elsewhere"):
            verify(folder)
        path.with_name("elsewhere").rename(path)
    (folder / "data" / "more.parquet").write_bytes(b"")
    with pytest.raises(Difference, match=r"more\.parquet"):
        verify(folder)


@pytest.mark.parametrize(
    ("file", "was", "becomes", "named"),
    [
        ("log.jsonl", '"fooled":true', '"fooled":false', "text-0: fooled"),
        ("log.jsonl", '"effect":"surplus"', '"effect":"counts"', r"text-0: votes: 2: effect"),
        ("log.jsonl", '"label":"no","created', '"label":"yes","created', "text-0: votes: 2: label"),
        ("log.jsonl", '"status":"verified"', '"status":"rejected"', "text-0: status"),
        ("log.jsonl", '"validator":"w-', '"validator":"v-', "text-0: votes: 0: validator"),
        ("release.json", '"examples": 2', '"examples": 3', "figures: rounds: 0: examples"),
        ("release.json", '"practice": 0', '"practice": -1', "left_out: practice"),
        ("release.json", '"added": 3', '"added": 2', "changes: added"),
        ("release.json", '"fixed": {}', '"fixed": {"w-1": "test"}', "w-1 is no author"),
        ("README.md", "4\nvotes", "5\nvotes", "README.md"),
        ("croissant.json", '"version": "1.0.0"', '"version": "1.0.1"', "croissant.json"),
        ("data", "", "a row twice", "text-[012]: it is there twice"),
        ("data", "", "a row less", "text-[012] of log.jsonl is in no table"),
    ],
)
def test_what_the_server_itself_would_sign_wrong_is_named(
    released: Callable[..., Path], file: str, was: str, becomes: str, named: str
) -> None:
    folder = released("text", validation={"policy": "two_plus_one"})
    if file == "data":
        table = pq.read_table(one := next(folder.glob("data/*.parquet")))
        pq.write_table(table.take([0, 0]) if becomes == "a row twice" else table[:0], one)
    else:
        text = (folder / file).read_text()
        assert was in text
        (folder / file).write_text(text.replace(was, becomes, 1))
    sign_again(folder, "text", but=file)

    with pytest.raises(Difference, match=named):
        verify(folder)


def test_a_version_follows_another_and_says_what_differs(
    released: Callable[..., Path], manage: Manage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "SETTLED", timedelta(0))  # nobody else is at work
    first, second = released("text"), tmp_path / "text-2"
    log = (first / "log.jsonl").read_text().splitlines()
    changed = [line.replace('"text-2"', '"text-3"') for line in log[2:3]]
    (tmp_path / "more.jsonl").write_text(changed[0].replace("cup of tea", "kind of film"))
    assert manage("import_log", "text", tmp_path / "more.jsonl").status == 0
    Task.objects.get(slug="text").examples.filter(external_id="text-2").update(
        retracted_at="2026-02-02T00:00Z"
    )
    newest = User.objects.filter(examples__external_id="text-3")
    newest.update(closed_at="2026-02-02T00:00Z")

    refused = manage("release", "text", "--out", second, "--version", "1.0.0")
    assert (refused.status, "choose a later one" in refused.errors) == (1, True)
    assert manage("release", "text", "--out", first).status == 1, "what is there is never changed"
    done = manage("release", "text", "--out", second, "--json").summary

    assert (done["version"], done["examples"]) == ("1.1.0", 3)
    assert done["changes"] == {"added": 1, "removed": 1, "changed": 0}
    assert done["left_out"]["withdrawn by their authors"] == 1
    card = (second / "README.md").read_text()
    assert "since 1.0.0: 1 added, 1 removed" in card
    assert "1 author left the server or asked to be forgotten" in card
    names = {row["id"]: row["author"] for row in rows_of(first)}
    assert {row["author"] for row in rows_of(second)} - set(names.values()), "a new author"
    assert all(names.get(row["id"], row["author"]) == row["author"] for row in rows_of(second))
    assert manage("verify", second, "--previous", first).status == 0
    assert manage("verify", first, "--key", "00").status == 1
    assert manage("verify", first, "--previous", second).status == 1


@pytest.mark.once
def test_a_folder_is_whole_or_is_not_there_after_kill_9(
    released: Callable[..., Path], manage: Manage, tmp_path: Path
) -> None:
    released("text")
    task, folder = Task.objects.get(slug="text"), tmp_path / "later"
    order = order_of(task, "1.1.0", str(uuid.uuid4()), {})
    for moment in ("examples", "votes", "record of events"):

        def kill(_: float, stage: str, moment: str = moment) -> None:
            if moment in stage:
                os.kill(os.getpid(), signal.SIGKILL)

        child = os.fork()
        if not child:
            make(order, folder, kill)
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        assert not folder.exists()
        assert len(list(tmp_path.glob(".later*"))) == 1, "what the one before left is gone"

    assert manage("release", "text", "--out", folder).status == 0
    assert not list(tmp_path.glob(".later*"))

    # Killed after the folder was whole, before it was recorded: nothing is taken for published.
    was = task.releases.last()
    assert was is not None
    was.delete()
    again = manage("release", "text", "--out", folder)
    assert (again.status, "choose another name" in again.errors) == (1, True)
    shutil.rmtree(folder)
    again = manage("release", "text", "--out", folder, "--json")
    assert (again.status, again.summary["version"]) == (0, "1.1.0")
    assert task.releases.count() == 2


def test_what_was_erased_is_named_and_all_other_events_are_still_proven(
    manage: Manage, annotator: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "SETTLED", timedelta(0))
    task, author = cast.text_task(), Participant(user=annotator)
    thing = {"input": {"text": "It rained."}, "label": "yes", "fooled": False}
    made = cast.submission(task, annotator, explanation="Call me.", **thing)
    cast.submission(task, annotator, fooled=False, input={"text": "It was dry."}, label="yes")
    for text in ("It is short.", "It is odd."):
        explain(participant=author, uid=made.uid, explanation=text)
    first, second = tmp_path / "first", tmp_path / "second"
    assert manage("release", "texts", "--out", first).status == 0
    proven = manage("verify", first, "--here", "--json")
    assert (proven.status, proven.summary["erased_events"]) == (0, [])
    Contents.objects.update(chain=[[0, ledger.START], _as_it_was_before(task)])
    assert ledger.repeat(task, Contents.objects.get().chain) == []

    retract(participant=author, uid=made.uid, erases=True)

    told = Event.objects.filter(verb="explained").order_by("id")
    assert [set(event.data) for event in told] == [{"erased_sha256"}] * 2
    gone = [event.pk for event in told]
    proven = manage("verify", first, "--here", "--json")
    assert (proven.status, proven.summary["erased_events"]) == (0, gone)
    said = manage("verify", first, "--here").output
    assert f"What 2 events said up to then was erased, as somebody asked: {gone[0]}, " in said
    # What was hashed with its texts carries on, and does not come back to what it was.
    assert manage("release", "texts", "--out", second).status == 0
    then, now = (json.loads((home / LEDGER).read_text())["chain"] for home in (first, second))
    assert (len(then[-1]), len(now[1]), len(now[2])) == (3, 2, 3)
    with pytest.raises(Difference, match=rf"other events after 0 up to {now[1][0]}"):
        ledger.repeat(task, now)

    kept = told[0].data
    other = Event.objects.filter(scope="texts", verb="submitted").order_by("id")[0]
    for event, data in (
        (told[0], {"erased_sha256": "0" * 64}),
        (told[0], {"from": "Call me."}),
        (other, {**other.data, "fooled": None}),
    ):
        Event.objects.filter(pk=event.pk).update(data=data)
        found = manage("verify", first, "--here")
        assert (found.status, "other events after 0" in found.errors) == (1, True)
        Event.objects.filter(pk=event.pk).update(data=event.data)
    assert kept == told[0].data
    assert manage("verify", first, "--here").status == 0


def _as_it_was_before(task: Task) -> list[Any]:
    """The end of the chain of those releases whose lines have the events' texts in them."""
    link, columns = ledger.START, ("actor_id", "verb", "object_type", "object_id")
    made_at, said = Cast("created_at", TextField()), Cast("data", TextField())
    rows = Event.objects.filter(scope=task.slug).order_by("id")
    for row in rows.values_list("id", made_at, *columns, said):
        line = f"{link}\n" + "\t".join(map(str, row))
        link = hashlib.sha256(line.encode()).hexdigest()
    return [row[0], link]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_what_is_committed_late_comes_into_no_chain_in_between(
    monkeypatch: pytest.MonkeyPatch, on_postgres: bool
) -> None:
    """Events are numbered as they are written: a long transaction's come after later ones."""
    if not on_postgres:
        pytest.skip("writers take turns")
    monkeypatch.setattr(ledger, "SETTLED", timedelta(0))
    task, written, go_on = cast.text_task(), threading.Event(), threading.Event()

    def say(verb: str, *, slowly: bool = False) -> None:
        with durable():
            record_event(actor=None, verb=verb, subject=task, scope=task.slug)
            written.set()
            assert not slowly or go_on.wait(cast.PATIENCE)
        if slowly:
            connections.close_all()

    late = threading.Thread(target=lambda: say("late", slowly=True))
    late.start()
    assert written.wait(cast.PATIENCE)
    say("soon")
    chain = ledger.chain_of(task, [], until=ledger.settled())
    go_on.set()
    late.join()

    assert ledger.repeat(task, chain) == []
    carried_on = ledger.chain_of(task, chain, until=ledger.settled())
    assert carried_on[-1] == ledger.chain_of(task, [])[-1]
