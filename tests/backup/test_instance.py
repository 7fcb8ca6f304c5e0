"""A backup made under load becomes the same instance somewhere else, on either database."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection, connections

from accounts.models import User
from annotate.inference import live_model
from annotate.models import Task
from annotate.queries import open_target
from dadc_server import backup as backups
from kinds.image import KIND as IMAGE
from ml import store
from tests import cast
from tests.backup.restoring import read_manifest
from tests.pins import Pins, shape
from validate.acts.gold import load_gold

PROJECT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def task(owner: User) -> Task:
    """One with a file: a backup takes it along."""
    return cast.digits_task(owner, net=True)


def output_of(*command: str) -> str:
    output = io.StringIO()
    call_command(*command, stdout=output)
    return output.getvalue()


@contextmanager
def people_at_work(task: Task, author: User, validator: User) -> Iterator[None]:
    """Somebody submits and somebody votes, in a thread, until the block ends."""
    done, began = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for seed in range(100, 10_000):
                cast.submission(task, author, seed)
                cast.answer(validator, task)
                began.set()
                if done.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  (told by the main thread)
            failures.append(error)
            began.set()
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    assert began.wait(60)
    try:
        yield
    finally:
        done.set()
        thread.join(60)
    assert not failures


@pytest.fixture
def another_instance(tmp_path: Path, on_postgres: bool) -> Iterator[dict[str, str]]:
    """The environment of an instance with an empty folder and an empty database."""
    environment = os.environ | {"DADC_DATA": str(tmp_path / "another")}
    if not on_postgres:
        yield environment
        return
    name = f"restored_{uuid.uuid4().hex}"
    address = os.environ["DATABASE_URL"].rpartition("/")[0]
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    yield environment | {"DATABASE_URL": f"{address}/{name}"}
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name}")


def test_a_backup_under_load_is_the_same_instance_elsewhere(
    task: Task,
    owner: User,
    annotator: User,
    validator: User,
    other_validator: User,
    tmp_path: Path,
    another_instance: dict[str, str],
    pinned: Pins,
) -> None:
    load_gold(
        actor=owner,
        task=task,
        lines=[json.dumps({"input": cast.drawing(9_000), "answer": "1"}).encode()],
    )
    for seed in (1, 2):
        cast.submission(task, annotator, seed)
    cast.answer(validator, task)
    cast.answer(other_validator, task)
    before = set(output_of("export_log", "digits").splitlines())
    (Path(settings.ARTIFACT_DIR) / ".half.part").write_bytes(b"still being written")

    file = tmp_path / "backup.tar.gz"
    with people_at_work(task, annotator, other_validator):
        made = json.loads(output_of("backup", str(file), "--json").splitlines()[-1])
    after = set(output_of("export_log", "digits").splitlines())

    assert file.stat().st_mode & 0o777 == 0o600
    assert made["missing_artifacts"] == []
    assert (made["models"], made["artifacts"]) == (1, 1)
    target = open_target(task.pk)
    assert target is not None
    model, input = target.models[0], cast.drawing(7)
    answer = live_model(model, IMAGE).predict_one(IMAGE.parse(input)).probabilities

    ended = subprocess.run(
        [sys.executable, "-m", "tests.backup.restoring", str(file), json.dumps(input)],
        cwd=PROJECT,
        env=another_instance,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    met = json.loads(ended.stdout)
    log = set(met["log"].splitlines())
    assert before <= log <= after, "one moment of the history, nothing torn"
    assert sum(json.loads(line)["kind"] == "vote" for line in log) >= 2
    recount = json.loads(met["recount"].splitlines()[-1])
    assert (recount["differences"], recount["examples"]) == (0, made["examples"] - 1), (
        "gold is none"
    )
    restored = json.loads(met["restored"].splitlines()[-1])
    pinned.same("commands", "restore backup.tar.gz", shape(restored))
    assert {name: restored[name] for name in restored} == {name: made[name] for name in restored}
    assert met["prediction"] == [model.sha256, answer]

    assert "say --replace" in met["not empty"]
    assert "is in use" in met["in use"]
    assert "rows" in met["wrong"]
    assert met["kept"], "what failed changed nothing"
    assert met["gone"]
    assert met["artifacts"] == 1
    assert "mfa.0002_authenticator_timestamps" in met["older has"]
    assert "mfa.0003_authenticator_type_uniq" not in met["older has"]
    assert "are back" in met["older"]
    assert met["migrated"], "a backup of older code is brought up to date"


@pytest.fixture
def backup(task: Task, tmp_path: Path) -> Path:
    file = tmp_path / "backup.tar"
    call_command("backup", str(file), stdout=io.StringIO())
    return file


def altered(backup: Path, **changes: Any) -> str:
    """The same backup with another manifest."""
    folder = backup.with_name("unpacked")
    manifest = backups.unpack(backup, folder)
    file = backup.with_name("altered.tar")
    files = {name: folder / name for name in manifest.members}
    backups.write(file, manifest.model_copy(update=changes), files)
    return str(file)


def test_newer_code_and_the_other_database_are_refused(backup: Path, on_postgres: bool) -> None:
    newer = altered(backup, migrations=["annotate.0001_initial", "annotate.9999_later"])
    with pytest.raises(CommandError, match=r"newer code \(annotate.9999_later"):
        call_command("restore", newer, "--replace")
    backup.with_name("unpacked").rename(backup.with_name("unpacked before"))
    other = altered(backup, engine="sqlite" if on_postgres else "postgresql")
    with pytest.raises(CommandError, match="export_log"):
        call_command("restore", other, "--replace")


def test_a_missing_artifact_is_told_and_the_rest_is_kept(task: Task, tmp_path: Path) -> None:
    for artifact in Path(settings.ARTIFACT_DIR).iterdir():
        artifact.unlink()
    file = tmp_path / "backup.tar"
    with pytest.raises(CommandError, match="1 files that models need are not in the artifacts"):
        call_command("backup", str(file), stdout=io.StringIO())
    assert len(read_manifest(file)["missing_artifacts"]) == 1


def test_what_a_store_alone_has_is_in_a_backup_and_what_is_restored_is_put_there(
    owner: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The database of the tests stays as it is: other tests may still be connected to it.
    for name in ("_replace_sqlite", "_replace_postgresql"):
        monkeypatch.setattr(backups, name, lambda *_: None)
    folder, file = Path(settings.ARTIFACT_DIR), tmp_path / "backup.tar"
    try:
        store.put_behind(folder, f"memory://{uuid.uuid4()}/models")
        cast.digits_task(owner, net=True)
        (path,) = folder.iterdir()
        path.unlink()
        call_command("backup", str(file), stdout=io.StringIO())
        store.drop(path)
        call_command("restore", str(file), "--replace", stdout=io.StringIO())
        path.unlink()
        assert store.fetch(path)
    finally:
        store.take_away(folder)


def test_a_backup_is_never_written_over_another(backup: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="exists already"):
        call_command("backup", str(backup))
    with pytest.raises(CommandError, match=r"name the backup \.tar"):
        call_command("backup", str(tmp_path / "backup.zip"))
    with pytest.raises(CommandError, match="There is no folder"):
        call_command("backup", str(tmp_path / "nowhere" / "backup.tar"))


def test_a_missing_program_is_named(
    task: Task, tmp_path: Path, on_postgres: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not on_postgres:
        pytest.skip("SQLite needs no program")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="pg_dump is missing: install"):
        call_command("backup", str(tmp_path / "backup.tar"))
