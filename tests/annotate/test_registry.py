"""Registering models: what is taken serves at once, what may not judge is told what to do."""

from __future__ import annotations

import base64
import json
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import create_token
from annotate import inference, rounds, submissions
from annotate.config import parse_task_file
from annotate.models import Context, Example, ModelVersion, Task, TaskConfig
from annotate.queries import Participant, open_target
from annotate.registry import ModelFile, register
from core.errors import Refused
from kinds import kind_named
from ml import artifacts
from ml.backends import Source, open_model
from tests import cast

pytestmark = pytest.mark.once

LETTERS = list("abcdefghij")


@pytest.fixture
def opinions(owner: User) -> Task:
    file = {"slug": "opinions", "name": "Opinions", "input": "text", "labels": ["good", "bad"]}
    task, _ = rounds.load_task(file=parse_task_file(file), actor=owner)
    return task


@pytest.fixture
def letters(owner: User) -> Task:
    """A task of somebody's own, with pictures and labels that no model of the house knows."""
    file = cast.task_file(slug="letters", labels=LETTERS)
    task, _ = rounds.load_task(file=parse_task_file(file), actor=owner)
    return task


@pytest.fixture
def graph() -> bytes:
    """An ONNX graph of ten probabilities."""
    made = json.loads((cast.SHIPPED / "model.json").read_text())
    return artifacts.load(cast.SHIPPED / made["artifact"], made["sha256"]).members[artifacts.ONNX]


def calling(user: User) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {create_token(user=user)}")
    return client


def test_a_task_of_texts_is_played_against_a_model_that_a_command_registered(
    opinions: Task, annotator: User, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "model.yaml").write_text("name: coin\nbackend: null\n")
    call_command(
        "register_model", "opinions", str(tmp_path / "model.yaml"), "--open-round", "--json"
    )
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {key: summary[key] for key in ("model", "number", "backend")} == {
        "model": "coin",
        "number": 1,
        "backend": "null",
    }
    assert summary["check"]["probabilities"] is True
    client = calling(annotator)
    asked = {"input": {"text": "A fine film."}}
    said = client.post("/api/v1/tasks/opinions/predictions/", asked, format="json").json()
    assert (said["model"], said["round"]) == ("coin", 1)
    other = {"good": "bad", "bad": "good"}[said["prediction"]]
    sent = {**asked, "client_id": str(uuid.uuid4()), "label": other}
    accepted = client.post("/api/v1/tasks/opinions/examples/", sent, format="json")
    assert accepted.status_code == 201, accepted.json()
    assert accepted.json()["fooled"] is True
    assert Example.objects.get().input == {"text": "A fine film."}


def test_an_owner_opens_a_round_of_their_own_pictures_over_rest(
    letters: Task, owner: User, annotator: User, graph: bytes
) -> None:
    sent = {
        "name": "reader",
        "backend": "onnx",
        "content": base64.b64encode(graph).decode(),
        "labels": LETTERS,
        "open_round": True,
    }
    made = calling(owner).post("/api/v1/tasks/letters/models/", sent, format="json")
    assert made.status_code == 201, made.json()
    assert made.json()["check"]["labels"] == LETTERS
    assert cast.prediction(letters, cast.drawing(1)) in LETTERS
    example = submissions.submit(
        participant=Participant(user=annotator),
        task_id=letters.pk,
        client_id=uuid.uuid4(),
        input=cast.drawing(1),
        label="a",
    ).example
    assert example.model.backend == "onnx"
    again = calling(owner).post("/api/v1/tasks/letters/models/", sent, format="json")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "name_taken")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"labels": [*LETTERS[:9], "z"]}, "lacks j and has z"),
        ({"labels": LETTERS[:9]}, "not 9 labels"),
        ({"labels": {**{name: name for name in LETTERS}, "a": "b"}}, "have the same name"),
        ({"content": base64.b64encode(b"no graph").decode()}, "cannot run"),
        ({"content": "%"}, "base64"),
        ({"content": None}, "needs its file"),
        ({"path": "/etc/passwd", "content": None}, "a path is not read from afar"),
        ({"backend": "null"}, "has no file"),
        (
            {"backend": "torch"},
            "Only models for lexicon or onnx or sklearn or transformers can be sent",
        ),
        ({"name": " "}, "name"),
    ],
)
def test_what_may_not_judge_is_refused_and_nothing_is_made(
    letters: Task, owner: User, graph: bytes, changes: dict[str, Any], sentence: str
) -> None:
    given = {
        "name": "reader",
        "backend": "onnx",
        "content": base64.b64encode(graph).decode(),
        "labels": LETTERS,
        **changes,
    }
    with pytest.raises((Refused, ValueError)) as refused:
        register(task=letters, file=ModelFile.model_validate(given), actor=owner)
    assert sentence in str(refused.value)
    assert not ModelVersion.objects.exists()


def test_the_names_of_a_model_are_told_as_the_task_s(
    letters: Task, owner: User, graph: bytes
) -> None:
    names = {f"CLASS_{index}": letter for index, letter in enumerate(LETTERS)}
    file = ModelFile(
        name="reader", backend="onnx", content=base64.b64encode(graph).decode(), labels=names
    )
    register(task=letters, file=file, actor=owner, open_round=True)
    assert cast.prediction(letters, cast.drawing(1)) in LETTERS


def test_only_an_owner_registers(opinions: Task, annotator: User) -> None:
    sent = {"name": "coin", "backend": "null"}
    guest = APIClient().post("/api/v1/tasks/opinions/models/", sent, format="json")
    assert guest.status_code == 401
    for person in (annotator, cast.person("other", "owner")):
        refused = calling(person).post("/api/v1/tasks/opinions/models/", sent, format="json")
        assert refused.status_code == 403
    assert not ModelVersion.objects.exists()


def test_a_file_that_is_not_there_is_named(opinions: Task, tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(
        "name: m\nbackend: onnx\npath: gone.onnx\nlabels: [good, bad]\n"
    )
    with pytest.raises(CommandError, match=r"gone\.onnx cannot be read"):
        call_command("register_model", "opinions", str(tmp_path / "model.yaml"))
    with pytest.raises(CommandError, match="There is no task nothing"):
        call_command("register_model", "nothing", str(tmp_path / "model.yaml"))


# --- what such tasks could be led to --------------------------------------------------------------
@pytest.fixture
def played(opinions: Task, owner: User) -> Task:
    register(
        task=opinions, file=ModelFile(name="coin", backend="null"), actor=owner, open_round=True
    )
    return opinions


def test_a_rule_that_a_stored_file_could_still_name_is_refused_in_words(
    played: Task, annotator: User
) -> None:
    assert played.config is not None
    data = {**played.config.data, "comparator": {"rule": "ask_annotator"}}
    played.config = TaskConfig.objects.create(task=played, version=2, data=data)
    played.save(update_fields=["config"])
    sent = {"client_id": str(uuid.uuid4()), "input": {"text": "So so."}, "label": "good"}
    answer = calling(annotator).post("/api/v1/tasks/opinions/examples/", sent, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_comparable")
    assert not Example.objects.exists()


def test_a_context_is_an_id_that_the_task_gave(played: Task, owner: User, annotator: User) -> None:
    mine = Context.objects.create(task=played, data={"prompt": "A film"}, sha256="1")
    other_file = {"slug": "other", "name": "Other", "input": "text", "labels": ["good", "bad"]}
    other, _ = rounds.load_task(file=parse_task_file(other_file), actor=owner)
    theirs = Context.objects.create(task=other, data={}, sha256="2")
    client = calling(annotator)
    for context, status in [
        ("any words", 400),
        (str(theirs.uid), 400),
        (str(uuid.uuid4()), 400),
        (str(mine.uid), 201),
    ]:
        sent = {
            "client_id": str(uuid.uuid4()),
            "input": {"text": f"So so, {context}."},
            "label": "good",
            "context": context,
        }
        answer = client.post("/api/v1/tasks/opinions/examples/", sent, format="json")
        assert answer.status_code == status, answer.json()
        if status == 400:
            assert answer.json()["error"]["code"] == "unknown_context"
    assert Example.objects.get().context == mine


def test_a_hypothesis_is_sent_without_the_premise_that_was_given(
    owner: User, annotator: User
) -> None:
    file = {"slug": "nli", "name": "NLI", "input": "text_pair", "labels": ["e", "n", "c"]}
    task, _ = rounds.load_task(file=parse_task_file(file), actor=owner)
    register(task=task, file=ModelFile(name="coin", backend="null"), actor=owner, open_round=True)
    given = Context.objects.create(task=task, data={"context": "It rains."}, sha256="1")
    sent = {
        "client_id": str(uuid.uuid4()),
        "input": {"hypothesis": "It is wet."},
        "label": "e",
        "context": str(given.uid),
    }
    calls = [
        calling(annotator).post("/api/v1/tasks/nli/examples/", sent, format="json").status_code
        for _ in range(2)
    ]
    assert calls == [201, 200]
    assert Example.objects.get().input == {"context": "It rains.", "hypothesis": "It is wet."}
    alone = {**sent, "client_id": str(uuid.uuid4()), "context": None}
    refused = calling(annotator).post("/api/v1/tasks/nli/examples/", alone, format="json")
    assert refused.json()["error"]["message"] == "context must be a text."


def test_an_ensemble_s_member_is_drawn_for_a_context_and_kept(
    played: Task, owner: User, annotator: User
) -> None:
    second = register(
        task=played,
        file=ModelFile.model_validate({"name": "coin-2", "backend": "null", "salt": "2"}),
        actor=owner,
    ).model
    first = ModelVersion.objects.get(name="coin")
    page = Client()
    page.force_login(owner)
    asked = f"/tasks/opinions/training/serve/{second.number}/"
    assert "coin-2 or coin: one by lot" in page.get(asked).content.decode()
    page.post(asked, {"reason": "To compare them.", "meets": "one"})
    contexts = [
        Context.objects.create(task=played, data={"n": n}, sha256=str(n)) for n in range(12)
    ]
    drawn = {}
    for context in contexts * 2:
        done = submissions.submit(
            participant=Participant(user=annotator),
            task_id=played.pk,
            client_id=uuid.uuid4(),
            input={"text": f"{context.pk} {len(drawn)} {context.pk in drawn}"},
            label="good",
            context=str(context.uid),
        )
        assert drawn.setdefault(context.pk, done.example.model_id) == done.example.model_id
    assert set(drawn.values()) == {first.pk, second.pk}
    board = page.get("/api/v1/tasks/opinions/rounds/2/").json()
    assert board["round"]["needed"] is None
    counted = {one["name"]: one["submitted"] for one in board["by_target"]}
    mine = Example.objects.filter(round__number=2)
    assert counted == {model.name: mine.filter(model=model).count() for model in (first, second)}
    told = page.get("/tasks/opinions/rounds/2/").content.decode()
    assert "Against one of coin and coin-2" in told
    assert "met one of them, chosen by lot" in told


@pytest.fixture
def critics(opinions: Task, owner: User, tmp_path: Path) -> Task:
    """Three word lists that know other words, of which two must be fooled."""
    for number, word in enumerate(("fine", "great", "kind"), start=1):
        (tmp_path / "words.txt").write_text(f"for: good\n{word}\t4\n")
        file = {"name": word, "backend": "lexicon", "path": "words.txt", "labels": ["good", "bad"]}
        register(
            task=opinions,
            file=ModelFile.model_validate(file),
            folder=tmp_path,
            open_round=True,
            beside=number > 1,
            needed=2 if number == 3 else None,
            actor=owner,
        )
    return opinions


def test_of_three_two_must_be_fooled_and_each_is_counted(
    critics: Task, owner: User, annotator: User
) -> None:
    client = calling(annotator)
    asked = {"input": {"text": "A fine film."}}
    said = client.post("/api/v1/tasks/opinions/predictions/", asked, format="json").json()
    assert said["needed"] == 2
    assert {one["model"]: one["prediction"] for one in said["targets"]} == {
        "fine": "good", "great": "bad", "kind": "bad",
    }  # fmt: skip
    sent = []
    for text, label, fooled in [
        ("The acting was fine all along.", "good", ["great", "kind"]),
        ("Such great music, and fine light!", "good", ["kind"]),
        ("They said great things of kind people.", "bad", ["great", "kind"]),
        ("Nothing happens for two hours.", "bad", []),
    ]:
        body = {"client_id": str(uuid.uuid4()), "input": {"text": text}, "label": label}
        for status in (201, 200):
            answer = client.post("/api/v1/tasks/opinions/examples/", body, format="json")
            assert answer.status_code == status, answer.json()
            told = answer.json()
            assert [one["model"] for one in told["targets"] if one["fooled"]] == fooled
            assert told["fooled"] == (len(fooled) >= 2)
            # What the example says of one model is what it says itself: a log tells as much.
            assert (told["prediction"] != label) == told["fooled"]
        sent.append(told["id"])
    hidden = Example.objects.get(uid=sent[0])
    Example.objects.filter(pk=hidden.pk).update(
        status="verified", settled_at=hidden.created_at, final_label="good"
    )
    by_owner = calling(owner)
    report = by_owner.get("/api/v1/tasks/opinions/rounds/3/").json()
    assert report["round"]["needed"] == 2
    assert report["round"]["counts"]["fooled"] == 2
    assert {
        one["name"]: (one["submitted"], one["fooled"], one["verified"])
        for one in report["by_target"]
    } == {"fine": (4, 0, 0), "great": (4, 2, 1), "kind": (4, 3, 1)}
    models = by_owner.get("/api/v1/tasks/opinions/models/").json()["models"]
    assert {one["name"]: one["mer"]["value"] for one in models} == {
        "fine": 0, "great": 0.5, "kind": 0.75,
    }  # fmt: skip
    page = Client()
    page.force_login(owner)
    round_page = page.get("/tasks/opinions/rounds/3/").content.decode()
    assert "fine, great and kind, of which 2 must be fooled" in round_page
    assert "75 %" in page.get("/tasks/opinions/models/3/").content.decode()


def test_how_many_must_be_fooled_is_a_number_of_them(critics: Task, owner: User) -> None:
    page = Client()
    page.force_login(owner)
    register(task=critics, file=ModelFile(name="coin", backend="null"), actor=owner)
    asked = "/tasks/opinions/training/serve/4/"
    for needed in ("5", "0", "", "two"):
        sent = {"reason": "To compare them.", "meets": "all", "needed": needed}
        refused = page.post(asked, sent)
        assert refused.status_code == 400
        assert "say how many must be" in refused.content.decode()
    page.post(asked, {"reason": "To compare them.", "meets": "all", "needed": "4"})
    target = open_target(critics.pk)
    assert target is not None
    assert target.against == "fine, great, kind and coin, all of which must be fooled"


def test_a_model_that_opens_slowly_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end, kind = Event(), Event(), kind_named("text")
    slow, quick = (ModelVersion(backend="null", sha256=name) for name in ("slow", "quick"))

    def backend_of(model: ModelVersion) -> Any:
        if model is slow:
            begun.set()
            assert may_end.wait(cast.PATIENCE)
        return open_model("null", Source(None, model.sha256, {"labels": ["yes", "no"]}))

    monkeypatch.setattr(inference, "_backend_of", backend_of)
    with ThreadPoolExecutor(2) as other:
        opened = other.submit(inference.live_model, slow, kind)
        assert begun.wait(cast.PATIENCE)
        asked = other.submit(inference.live_model, quick, kind)
        try:
            assert asked.result(cast.PATIENCE) is inference.already_open(quick)
        finally:
            may_end.set()
        opened.result(cast.PATIENCE)


def test_a_large_file_comes_in_pieces_and_waits_for_its_registration(
    letters: Task, owner: User, graph: bytes, tmp_path: Path, settings: Any
) -> None:
    """In a request it would be refused; what is sent again, or out of turn, changes nothing."""
    settings.DATA_DIR = tmp_path
    letters.owners.add(second := cast.person("otto", "owner"))
    client, other = calling(owner), calling(second)
    home, upload = "/api/v1/tasks/letters/models/", str(uuid.uuid4())

    def piece(offset: int, end: int, by: APIClient = client) -> Any:
        sent = base64.b64encode(graph[offset:end]).decode()
        body = {"upload": upload, "offset": offset, "piece": sent}
        return by.post(f"{home}uploads/", body, format="json").json()

    half, whole = len(graph) // 2, len(graph)
    assert piece(half, whole)["received"] == 0, "the first one comes first"
    assert piece(0, half)["received"] == half
    assert piece(0, half)["received"] == half, "its answer was lost, and it is sent again"
    assert piece(0, 10, by=other)["received"] == 10, "everybody has uploads of their own"
    assert piece(half, whole)["received"] == whole

    asked = {"name": "letters", "backend": "onnx", "upload": upload, "labels": ["a", "b"]}
    assert client.post(home, asked, format="json").status_code == 400
    asked["labels"] = LETTERS
    assert other.post(home, asked, format="json").status_code == 400, "ten bytes are no graph"
    assert client.post(home, asked, format="json").status_code == 201
    kept = ModelVersion.objects.get()
    assert (Path(settings.ARTIFACT_DIR) / kept.artifact).read_bytes() == graph
    again = client.post(home, {**asked, "name": "again"}, format="json")
    assert again.json()["error"]["code"] == "no_upload", "it is kept once"

    (left,) = (tmp_path / "sent").iterdir()
    os.utime(left, (0, 0))
    # As one that another process takes away while they are counted.
    (left.parent / f"{owner.pk}-gone").symlink_to(tmp_path / "nowhere")
    assert piece(0, half)["received"] == half
    assert not left.exists(), "nobody comes back for it"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("annotate.uploads.MOST", whole - 1)
        assert piece(half, whole)["error"]["code"] == "too_large"
