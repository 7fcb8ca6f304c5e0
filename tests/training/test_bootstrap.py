"""What a fresh installation gets, once."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import Role, User
from annotate import rounds
from annotate.config import parse_task_file
from annotate.contexts import next_context
from annotate.models import Round, Task
from annotate.queries import Participant, open_target
from dadc_server import bootstrap
from ml.learners import Base, Item, learner_named, read_base
from ml.learners.digits import data
from tests import cast
from tests.pins import Pins, shape
from tests.training import world
from training import services
from training.models import TrainingRun
from training.queries import settings_of, trainable_model
from training.retraining import carry_out

pytestmark = pytest.mark.once

SHIPPED = bootstrap.LIBRARY


@pytest.fixture(autouse=True)
def own_library(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    library = tmp_path / "tasks"  # with this task alone, whatever else there is by now
    shutil.copytree(bootstrap.LIBRARY, library)
    for other in set(library.glob("*.yaml")) - {library / "digits.yaml"}:
        other.unlink()
    monkeypatch.setattr(bootstrap, "LIBRARY", library)


def as_sent(item: Item) -> dict[str, list[float]]:
    return {"pixels": item.prepared.features.ravel().tolist()}


def shipped_base() -> Base:
    folder = bootstrap.LIBRARY / "digits"
    made = json.loads((folder / "model.json").read_text())
    return read_base(learner_named("digits"), made["config"]["base"], folder)


def run_bootstrap(*arguments: str) -> tuple[dict[str, Any], str]:
    out = StringIO()
    call_command("bootstrap", "--json", *arguments, stdout=out)
    return json.loads(out.getvalue().splitlines()[-1]), out.getvalue()


@pytest.mark.django_db
def test_chats_are_loaded_where_the_operator_has_a_model_for_them(
    settings: Any, tmp_path: Path
) -> None:
    for slug in ("digits", "chat"):
        (bootstrap.LIBRARY / f"{slug}.yaml").unlink(missing_ok=True)
    for name in ("chat.yaml", "requests.jsonl"):
        shutil.copy(SHIPPED / name, bootstrap.LIBRARY)
    assert bootstrap.load_library() == []
    settings.CHAT_MODEL = str(tmp_path / "model.yaml")
    Path(settings.CHAT_MODEL).write_text("backend: lexicon")
    [(task, new)] = bootstrap.load_library()
    assert (task.slug, new, task.rounds.count()) == ("chat", True, 0), "it cannot talk"
    Path(settings.CHAT_MODEL).write_text("backend: null")
    assert bootstrap.load_library() == [(task, False)]
    assert task.rounds.get().targets.get().name == "chat-1"
    assert Counter(task.contexts.values_list("source", flat=True)) == {"harmless": 20, "harm": 20}
    people = [Participant(user=cast.person(f"p{number}")) for number in range(6)]
    given = [next_context(participant=one, task=task) for one in people]
    asked = [one.context.source for one in given if one]
    assert Counter(asked) == {"harmless": 3, "harm": 3}


@pytest.mark.django_db
def test_a_fresh_server_gets_a_task_a_model_a_round_and_an_admin(
    client: Client, pinned: Pins
) -> None:
    summary, text = run_bootstrap()
    pinned.same("commands", "bootstrap", shape(summary))
    task = Task.objects.get(slug="digits")
    assert summary["tasks"] == [{"slug": "digits", "new": True}]
    assert [model["name"] for model in summary["models"]] == ["digits-1"]
    assert task.rounds.get().status == Round.Status.OPEN
    model = trainable_model(open_target(task.pk))
    assert model is not None
    base = read_base(
        learner_named("digits"), model.config["base"], Path(django_settings.ARTIFACT_DIR)
    )
    assert (len(base.train), len(base.held_out)) == (1438, 359)
    right = [cast.prediction(task, as_sent(item)) == item.label for item in base.held_out[::10]]
    assert sum(right) >= len(right) - 1
    assert model.metrics["clean"]["items"] == 359
    assert model.provenance["check"]["company"] == 0, "it is tried as everybody's are"
    json.dumps(model.metrics, allow_nan=False)
    login = summary["admin"]
    assert client.login(username=login["username"], password=login["password"])
    assert login["password"] in text
    assert User.objects.get(username="admin").role == Role.ADMIN


@pytest.mark.django_db
def test_a_second_time_changes_nothing_and_shows_no_password() -> None:
    run_bootstrap()
    before = (Task.objects.count(), User.objects.count(), Round.objects.count())
    summary, text = run_bootstrap()
    assert (Task.objects.count(), User.objects.count(), Round.objects.count()) == before
    assert summary["admin"] is None
    assert "password" not in text.replace('"password"', "").replace("admin", "")
    assert [model["name"] for model in summary["models"]] == ["digits-1"]


@pytest.mark.django_db
def test_a_task_of_the_library_may_bring_its_first_model() -> None:
    (bootstrap.LIBRARY / "mood.yaml").write_text(
        "{slug: mood, name: Mood, input: text, labels: [good, bad], model: {backend: null}}"
    )
    run_bootstrap()
    summary, _ = run_bootstrap()
    task = Task.objects.get(slug="mood")
    model = task.models.get()
    assert (model.name, model.backend) == ("mood-1", "null")
    assert task.rounds.get().status == Round.Status.OPEN
    assert [model["name"] for model in summary["models"]] == ["digits-1", "mood-1"]


@pytest.mark.django_db
def test_what_an_owner_changed_stays(owner: User) -> None:
    run_bootstrap()
    Task.objects.get().owners.add(owner)
    rounds.load_task(file=parse_task_file(cast.task_file(name="My digits")), actor=owner)
    run_bootstrap()
    assert Task.objects.get().name == "My digits"


@pytest.mark.django_db
def test_somebody_who_signed_up_as_admin_is_not_made_one() -> None:
    cast.person("Admin")
    summary, _ = run_bootstrap()
    assert summary["admin"]["username"] == "admin2"
    assert User.objects.get(username="Admin").role == Role.ANNOTATOR


@pytest.mark.django_db
def test_of_two_at_once_the_second_finds_the_first_ones_model() -> None:
    [(task, _)] = bootstrap.load_library()
    first = bootstrap.register_base_model(task)
    assert bootstrap.register_base_model(task) == first
    assert task.rounds.count() == 1


@pytest.mark.django_db
def test_the_shipped_model_learns_from_what_fools_it(
    owner: User, annotator: User, other_annotator: User
) -> None:
    run_bootstrap()
    task = Task.objects.get()
    task.owners.add(owner)
    retraining = {
        "trigger": 2,
        "promote": "automatic",
        "epochs": 1,
        "epoch_images": 64,
        "gates": world.LENIENT,
    }
    rounds.load_task(file=parse_task_file(cast.task_file(retraining=retraining)), actor=owner)
    task.refresh_from_db()
    world.verified_foolings(task, [annotator, other_annotator], owner, 1)
    claimed = services.claim_run(TrainingRun.objects.get().uid)
    assert claimed is not None
    run = carry_out(*claimed)
    assert run.status == "promoted", run.reason
    model = world.serving(task)
    assert (model.backend, model.config["learner"]) == ("onnx", "digits")
    assert (model.config["epochs"], model.config["epoch_images"]) == (1, 64)
    assert model.config["base"] == run.parent.config["base"]
    assert model.metrics["clean"]["items"] == 359
    assert model.metrics["clean"]["now"] > 0.95


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds instead of a minute: 100 images, one epoch of 100."""
    base = shipped_base()
    few = [int(item.label) for item in base.train[:100]]
    images = data.Images(
        np.stack([item.prepared.features for item in base.train[:100]]), np.array(few), "few"
    )
    monkeypatch.setattr(data, "load_sklearn", lambda: images)
    monkeypatch.setattr("ml.learners.digits.training.EPOCH_IMAGES", 100)
    monkeypatch.setattr("ml.learners.digits.SEEN_IMAGES", 1)
    monkeypatch.setattr("ml.learners.digits.FEWEST_EPOCHS", 1)


@pytest.mark.django_db
def test_an_operator_may_train_the_first_model_here(quick: None) -> None:
    summary, text = run_bootstrap("--digits-base", "sklearn")
    model = trainable_model(open_target(Task.objects.get().pk))
    assert model is not None
    assert [made["sha256"] for made in summary["models"]] == [model.sha256]
    assert (model.config["images"], model.config["base"]["held_out"]) == (81, 19)
    assert model.metrics["clean"]["items"] == 19
    assert "of the held-out items" in text


@pytest.mark.django_db
def test_remaking_replaces_what_differs_and_leaves_what_does_not(quick: None) -> None:
    library = bootstrap.LIBRARY
    before = set((library / "digits").iterdir())
    out = StringIO()
    call_command("bootstrap", "--remake", "--json", stdout=out)
    assert json.loads(out.getvalue().splitlines()[-1])["remade"]["digits"]["same"] is False
    after = set((library / "digits").iterdir())
    assert len(before) == len(after) == 3
    call_command("bootstrap", "--remake", stdout=out)
    assert "the same bytes" in out.getvalue()
    assert set((library / "digits").iterdir()) == after
    assert not Task.objects.exists()


@pytest.mark.django_db
def test_bad_base_data_is_refused_with_a_sentence(tmp_path: Path) -> None:
    for source, complaint in [
        (str(tmp_path / "nowhere"), "neither sklearn nor mnist nor"),
        (str(tmp_path), "cannot be read"),
    ]:
        with pytest.raises(CommandError, match=complaint):
            run_bootstrap("--digits-base", source)


@pytest.mark.django_db
def test_the_library_says_what_the_digits_task_promises() -> None:
    [(task, _)] = bootstrap.load_library()
    assert task.config is not None
    file = task.config.file
    assert file.label_values == cast.DIGITS
    assert [label.key for label in file.labels] == cast.DIGITS
    assert settings_of(task).trigger == 10
    assert settings_of(task).gate_settings.min_verified == 10
    validation = file.section("validation")
    assert (validation.policy, validation.sample) == ("two_plus_one", 0.1)
    for picture in file.instructions.pictures:
        assert (Path(django_settings.BASE_DIR) / "static" / picture.image).is_file()
