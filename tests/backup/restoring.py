"""An empty instance that restores a backup: `python -m tests.backup.restoring FILE INPUT`.

Runs in a process of its own, whose environment names the new instance; prints what it met as JSON.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any

import django

# Somebody else's migration that can be undone, so that ours need not be.
OLDER = ("mfa", "0002")


def run(*command: str) -> str:
    """What a command printed, or the sentence that it failed with."""
    from django.core.management import CommandError, call_command

    output = io.StringIO()
    try:
        call_command(*command, stdout=output, stderr=io.StringIO())
    except CommandError as error:
        return f"refused: {error}"
    return output.getvalue()


def prediction(input: Any) -> Any:
    from annotate.inference import live_model
    from annotate.models import Task
    from annotate.queries import open_target
    from kinds.image import KIND as IMAGE

    target = open_target(Task.objects.get(slug="digits").pk)
    assert target is not None
    model = target.models[0]
    return [model.sha256, live_model(model, IMAGE).predict_one(IMAGE.parse(input)).probabilities]


def read_manifest(file: Path) -> Any:
    with tarfile.open(file) as tar:
        return json.loads(tar.extractfile("manifest.json").read())


def with_other_rows(file: Path) -> Path:
    """The same backup, saying that it holds one user more."""
    from dadc_server import backup as backups

    folder = file.parent / "unpacked"
    manifest = backups.unpack(file, folder)
    rows = {**manifest.rows, "accounts_user": manifest.rows["accounts_user"] + 1}
    wrong = file.parent / "wrong.tar"
    files = {name: folder / name for name in manifest.members}
    backups.write(wrong, manifest.model_copy(update={"rows": rows}), files)
    return wrong


def while_somebody_is_connected(act: Any) -> Any:
    from django.db import connections

    connected, done = threading.Event(), threading.Event()

    def stay() -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM accounts_user")
            cursor.fetchall()
            connected.set()
            done.wait(60)
        connections.close_all()

    thread = threading.Thread(target=stay)
    thread.start()
    connected.wait(60)
    try:
        return act()
    finally:
        done.set()
        thread.join()


def main(file: str, input: str) -> None:
    django.setup()
    from django.conf import settings

    from annotate.models import Task

    met: dict[str, Any] = {"restored": run("restore", file, "--json")}
    met["log"] = run("export_log", "digits")
    met["recount"] = run("recompute", "--check", "--json")
    met["prediction"] = prediction(json.loads(input))

    Task.objects.create(slug="made-later", name="Made later")
    met["not empty"] = run("restore", file)
    met["in use"] = while_somebody_is_connected(lambda: run("restore", file, "--replace"))
    artifacts = Path(settings.ARTIFACT_DIR)
    for artifact in artifacts.iterdir():
        artifact.write_bytes(b"what was here")
    met["wrong"] = run("restore", str(with_other_rows(Path(file))), "--replace")
    here = {artifact.read_bytes() for artifact in artifacts.iterdir()}
    met["kept"] = Task.objects.filter(slug="made-later").exists() and here == {b"what was here"}
    met["replaced"] = run("restore", file, "--replace", "--json")
    met["artifacts"] = len(list(artifacts.iterdir()))
    met["gone"] = not Task.objects.filter(slug="made-later").exists()

    older = str(Path(file).with_name("older.tar"))
    run("migrate", *OLDER)
    run("backup", older)
    run("migrate")
    met["older has"] = read_manifest(Path(older))["migrations"]
    met["older"] = run("restore", older, "--replace")
    met["migrated"] = run("migrate", "--check") == ""
    json.dump(met, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
