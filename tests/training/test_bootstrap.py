"""What a fresh installation gets, once."""

from __future__ import annotations

import json
import shutil
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
from annotate.models import Round, Task
from annotate.queries import open_target
from dadc_server import bootstrap
from ml import digits
from ml.backends import Source, open_model
from tests import cast
from training import base_data
from training.queries import settings_of, trainable_model


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    """Seconds instead of a minute: 100 images, one epoch of 100."""
    images = digits.load_sklearn().take(np.arange(100))
    monkeypatch.setattr(digits, "load_sklearn", lambda: images)
    monkeypatch.setattr("ml.training.EPOCH_IMAGES", 100, raising=False)
    monkeypatch.setattr(bootstrap, "SEEN_IMAGES", 1)
    monkeypatch.setattr(bootstrap, "FEWEST_EPOCHS", 1)
    settings.DATA_DIR = tmp_path
    library = tmp_path / "library"  # with this task alone, whatever else there is by now
    shutil.copytree(bootstrap.LIBRARY, library)
    for other in set(library.glob("*.yaml")) - {library / "digits.yaml"}:
        other.unlink()
    monkeypatch.setattr(bootstrap, "LIBRARY", library)


def run_bootstrap(*arguments: str) -> tuple[dict[str, Any], str]:
    out = StringIO()
    call_command("bootstrap", "--json", *arguments, stdout=out)
    return json.loads(out.getvalue().splitlines()[-1]), out.getvalue()


@pytest.mark.django_db
def test_a_fresh_server_gets_a_task_a_model_a_round_and_an_admin(client: Client) -> None:
    summary, text = run_bootstrap()
    task = Task.objects.get(slug="digits")
    assert summary["tasks"] == [{"slug": "digits", "new": True}]
    assert [model["name"] for model in summary["models"]] == ["digits-1"]
    assert task.rounds.get().status == Round.Status.OPEN
    model = trainable_model(open_target(task.pk))
    assert model is not None
    folder = Path(django_settings.ARTIFACT_DIR)
    assert open_model("onnx", Source(folder / model.artifact, model.sha256, {})).labels == tuple(
        cast.DIGITS
    )
    base = base_data.read(model.config["base"], folder)
    assert (len(base.train), len(base.held_out)) == (80, 20)
    assert model.metrics["clean"]["items"] == 20
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
    images = digits.load_sklearn()
    first = bootstrap.train_base_model(task, images, lambda *_: None)
    assert bootstrap.train_base_model(task, images, lambda *_: None) == first
    assert task.rounds.count() == 1


@pytest.mark.django_db
def test_bad_base_data_is_refused_with_a_sentence(tmp_path: Path) -> None:
    for source, complaint in [
        (str(tmp_path / "nowhere"), "neither sklearn nor mnist nor a folder"),
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
