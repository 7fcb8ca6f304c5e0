"""Foolings that can be run again, and personal data that an owner decides on."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from safetensors.numpy import load_file

from accounts.models import User
from annotate.models import Task
from annotate.queries import Participant
from annotate.registry import ModelFile
from annotate.services import retract
from kinds import kind_named
from ml import artifacts
from ml.backends import Answer, Failed
from ml.backends.null import NullBackend
from releases.models import PersonalFind
from releases.personal import look
from tests import cast
from tests.annotate.test_models_page import RECIPES, REMOTE, registered, task_for
from tests.contract.conftest import Done
from tests.releases.test_release import sign_again
from training.models import Evaluation, Snapshot, TrainingRun

Manage = Callable[..., Done]


def test_every_published_fooling_can_be_run_again(
    manage: Manage,
    owner: User,
    annotator: User,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    task = cast.digits_task(owner, net=True)
    asked = {"task": task, "run": uuid.uuid4(), "figures": {"f1": 0.9}}
    Evaluation.objects.create(
        model=task.models.get(), data="clean", data_sha256="", items=10, right=9, **asked
    )
    for seed in range(3):
        cast.submission(task, annotator, seed, fooled=seed > 0)
    folder = tmp_path / "out"
    assert manage("release", "digits", "--out", folder).status == 0
    (home,) = (folder / "models").iterdir()
    assert {"model.onnx", "model.json", "README.md"} <= {path.name for path in home.iterdir()}
    said = run_the_lines_of(home, monkeypatch, capsys)
    assert "conv1.weight" in said
    from ml.learners.digits.net import read_weights

    own = load_file(home / "model.safetensors")
    net = read_weights(artifacts.load(next(home.glob("*.model")), task.models.get().sha256))
    assert all((own[name] == kept.numpy()).all() for name, kept in net.state_dict().items())
    card = (home / "README.md").read_text()
    assert "| 1 | 3 | 2 | 0 |" in card
    assert "| clean | 90.0%" in card

    assert "2 foolings: fooled 100.0%" in (folder / "README.md").read_text()
    kept = [json.loads(line) for line in (folder / "replay.jsonl").read_text().splitlines()]
    assert [(line["fooled"], line["times"], line["low"] > 0.2) for line in kept] == [
        (1, 1, True)
    ] * 2

    done = manage("replay", folder, "--out", tmp_path / "again.jsonl", "--json")

    (one,) = done.summary["models"]
    assert (one["foolings"], one["fooled"], one["times"], one["varies"]) == (2, 2, 1, False)
    again = [json.loads(line) for line in (tmp_path / "again.jsonl").read_text().splitlines()]
    assert [(line["fooled"], line["times"]) for line in again] == [(1, 1), (1, 1)]
    assert manage("verify", folder).status == 0
    about = (folder / "release.json").read_text()
    sha256 = task.models.get().sha256
    for was, becomes, named in (
        ('"every_time": 2', '"every_time": 1', "every_time"),
        (sha256, "0" * len(sha256), "sha256"),
    ):
        (folder / "release.json").write_text(about.replace(was, becomes, 1))
        sign_again(folder, "image", but="")
        assert named in manage("verify", folder).errors
    (folder / "release.json").write_text(about)
    (folder / "replay.jsonl").write_text(f"{json.dumps(kept[0])}\n" * 2)
    sign_again(folder, "image", but="")
    assert "there twice" in manage("verify", folder).errors

    # Its file stays where the owner says so, and where what taught it was taken back.
    kept_back = manage("release", "digits", "--out", tmp_path / "without", "--no-models", "--json")
    assert kept_back.status == 0
    assert not list((tmp_path / "without").glob("models/*/*"))
    taught = Snapshot.objects.create(task=task, round=task.rounds.get(), sha256="")
    model = task.models.get()
    run = TrainingRun(task=task, round=taught.round, parent=model, candidate=model)
    run.snapshot = taught
    run.save()
    first = task.examples.earliest("pk")
    taught.items.create(example=first, label="1", split="train")
    retract(participant=Participant(user=annotator), uid=first.uid)
    assert manage("release", "digits", "--out", tmp_path / "taught").status == 0
    assert not list((tmp_path / "taught").glob("models/*/*"))
    assert "learned from what was withdrawn" in (tmp_path / "taught" / "README.md").read_text()
    for name in ("without", "taught"):
        assert manage("verify", tmp_path / name).status == 0


def test_a_damaged_file_of_a_model_stays_here(
    manage: Manage, owner: User, annotator: User, tmp_path: Path, settings: Any
) -> None:
    task = cast.digits_task(owner, net=True)
    cast.submission(task, annotator)
    file = Path(settings.ARTIFACT_DIR) / task.models.get().artifact
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"x")
    try:
        assert manage("release", "digits", "--out", tmp_path / "out").status == 0
    finally:
        file.write_bytes(whole)
    assert not list(tmp_path.glob("out/models/*/*.model"))
    assert "not the one that was registered" in (tmp_path / "out" / "release.json").read_text()
    assert manage("verify", tmp_path / "out").status == 0


def run_the_lines_of(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """All that a model's card has of Python, as in a process of its own; what it prints."""
    blocks = re.findall(
        r"^```python\n(.*?)^```", (home / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert blocks
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.chdir(home)
        for lines in blocks:
            assert len(lines.splitlines()) <= 10
            exec(lines, {})
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "recipe",
    [one for one in RECIPES if one.backend not in REMOTE],
    ids=lambda one: f"{one.backend}-{one.name}",
)
def test_each_backends_model_runs_by_the_lines_of_its_card(
    recipe: ModelFile,
    manage: Manage,
    owner: User,
    annotator: User,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    task = task_for(recipe, owner)
    registered(recipe, task, owner, tmp_path)
    input = task.kind.probes[0]
    label = cast.prediction(task, input)
    cast.submission(task, annotator, fooled=False, input=input, label=label)
    folder = tmp_path / "out"
    assert manage("release", task.slug, "--out", folder).status == 0
    assert manage("verify", folder).status == 0
    (home,) = (folder / "models").iterdir()
    said = run_the_lines_of(home, monkeypatch, capsys)
    assert f"Answer(label='{label}'" in said
    assert (home / "model.safetensors").exists() == bool(list(home.glob("*.model")))


def test_a_model_that_samples_is_asked_several_times(
    manage: Manage, task: Task, annotator: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.submission(task, annotator, 1)
    folder = tmp_path / "out"
    assert manage("release", "digits", "--out", folder).status == 0
    label = task.examples.get().label
    others = [digit for digit in cast.DIGITS if digit != label]
    said = iter([label, others[0]] * 100)
    monkeypatch.setattr(
        NullBackend, "answer", lambda _, inputs: [Answer(next(said)) for _ in inputs]
    )

    (one,) = manage("replay", folder, "--times", "4", "--json").summary["models"]

    assert (one["varies"], one["asked"], one["fooled"], one["every_time"]) == (True, 4, 2, 0)
    assert one["low"] < 0.5 < one["high"]


def test_a_model_that_fails_on_the_way_holds_no_release_up(
    manage: Manage, task: Task, annotator: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (1, 2):
        cast.submission(task, annotator, seed)
    label = task.examples.first().label  # type: ignore[union-attr]
    other = next(digit for digit in cast.DIGITS if digit != label)
    calls: list[int] = []

    def answer(_: object, inputs: list[Any]) -> list[Answer]:
        calls.append(len(inputs))
        if len(calls) == 4:  # twice to see whether it varies, once about the first
            raise Failed("It is away.")
        return [Answer(other) for _ in inputs]

    monkeypatch.setattr(NullBackend, "answer", answer)
    monkeypatch.setattr("releases.replaying.BATCH", 1)

    assert manage("release", "digits", "--out", tmp_path / "out").status == 0

    (one,) = json.loads((tmp_path / "out" / "release.json").read_text())["replay"]
    assert (one["asked"], one["why_not"]) == (1, "It is away.")
    assert manage("verify", tmp_path / "out").status == 0


def test_free_answers_and_names_are_looked_through() -> None:
    line: dict[str, Any] = {
        "id": "2025550123 ann@example.org",
        "model": "+49 30 901820",
        "explanation": "",
    }
    line |= {"input": {"context": "Ada wrote.", "question": "Who?"}}
    answers = dict.fromkeys(("label", "prediction", "final_label", "voted_label"), "Ada")
    vote = {"label": {"text": "Ask bob@example.com.", "start": None}}
    found = look(kind_named("passage_qa"), line | answers, [vote])
    told = ["bob@example.com", "ann@example.org", "+49 30 901820"]
    assert [one.text for one in found] == told, "names that a log chose, too"


@pytest.mark.parametrize("decision", PersonalFind.Decision.values)
def test_nothing_personal_leaves_before_an_owner_decides(
    manage: Manage, client: Client, annotator: User, owner: User, tmp_path: Path, decision: str
) -> None:
    task = cast.text_task()
    task.owners.add(owner)
    texts = ["Write to Ann.Bee@example.org today.", "Call +49 30 901820 now.", "It rained 1984."]
    for text in texts:
        cast.submission(task, annotator, fooled=False, input={"text": text}, label="yes")
    folder = tmp_path / "out"
    told = "2 examples hold what looks like personal data (e-mail address: 1, telephone number: 1)"

    refused = manage("release", "texts", "--out", folder)
    assert (refused.status, told in refused.errors, folder.exists()) == (1, True, False)

    client.force_login(owner)
    page = client.get("/tasks/texts/releases/").content.decode()
    assert "Ann.Bee@example.org" in page
    assert "+49 30 901820" in page
    chosen: dict[str, Any] = {
        "decision": decision,
        "example": [str(find.example.uid) for find in PersonalFind.objects.all()],
    }
    client.post("/tasks/texts/releases/personal/", chosen)
    done = manage("release", "texts", "--out", folder, "--json").summary
    assert done["examples"] == (3 if decision == "publish" else 1)
    assert done["left_out"]["kept back for personal data"] == 3 - done["examples"]

    # What is found later is asked about anew; the terminal can decide as well.
    task.examples.filter(input__text=texts[2]).update(explanation="Ask bob@example.com.")
    assert manage("release", "texts", "--out", tmp_path / "2").status == 1
    done = manage("release", "texts", "--out", tmp_path / "2", "--personal", "publish", "--json")
    assert done.status == 0
