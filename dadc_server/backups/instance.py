"""Back up this instance while it works, and put a backup in an instance's place."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from dadc_server.backups import archive, databases
from dadc_server.backups.archive import ARTIFACTS, SECRET_KEY, Manifest, Progress
from dadc_server.backups.errors import BackupError
from training.provenance import code_revision

# Asked for once the number of bytes to come is known.
Meter = Callable[[int], Progress]

COUNTED = {
    "users": "accounts_user",
    "tasks": "annotate_task",
    "examples": "annotate_example",
    "votes": "validate_vote",
    "models": "annotate_modelversion",
}


@dataclass(frozen=True)
class Outcome:
    """What was backed up or restored, and which artifacts were not there to be."""

    manifest: Manifest

    def as_json(self) -> dict[str, Any]:
        manifest = self.manifest
        return {
            "engine": manifest.engine,
            "made_at": manifest.made_at.isoformat(),
            "bytes": manifest.total_size,
            **{name: manifest.rows.get(table, 0) for name, table in COUNTED.items()},
            "artifacts": sum(name.startswith(f"{ARTIFACTS}/") for name in manifest.members),
            "missing_artifacts": manifest.missing_artifacts,
        }


def back_up(file: Path, meter: Meter) -> Outcome:
    """Write the backup while others go on; an artifact that is missing is named in the outcome.

    The database is copied first and the artifacts after it: a model's files are complete before
    its row is committed and never change, so that every row of the copy finds its own.
    """
    archive.mode_of(file)
    if file.exists():
        raise BackupError(f"{file} exists already: choose another name.")
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=_existing(file.parent)) as folder:
        database = databases.current()
        copy = Path(folder) / "database"
        facts = database.copy_to(copy)
        files = {"database": copy}
        home = Path(settings.ARTIFACT_DIR)
        files |= {
            name: home / Path(name).relative_to(ARTIFACTS) for name in archive.names_below(home)
        }
        if (key := _secret_key_file()).exists():
            files[SECRET_KEY] = key
        manifest = Manifest(
            made_at=timezone.now(),
            code=code_revision(),
            engine=database.engine,
            migrations=facts.migrations,
            rows=facts.rows,
            missing_artifacts=sorted(
                name for name in facts.artifacts if f"{ARTIFACTS}/{name}" not in files
            ),
            members={name: archive.describe(path) for name, path in files.items()},
        )
        archive.write(file, manifest, files, meter(manifest.total_size))
    return Outcome(manifest)


def restore(file: Path, meter: Meter, *, replace: bool) -> Outcome:
    """Put the backup in the place of this instance, or change nothing; nobody may use it meanwhile.

    Everything is unpacked and proved beside the data first. Then the artifacts are added, whose
    names are their hashes, so that they take nothing away; the database is replaced in one
    transaction; and last comes the key. A backup of older code is migrated.
    """
    database = databases.current()
    manifest = archive.read_manifest(file)
    _require_readable_here(manifest, database.engine)
    if not replace and not databases.is_empty():
        raise BackupError(
            "There are people or tasks here already, and all of it would be lost: "
            "restore into an empty instance, or say --replace."
        )
    data = Path(settings.DATA_DIR)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=data) as name:
        folder = Path(name)
        archive.unpack(file, folder, meter(manifest.total_size))
        _add_artifacts(folder / ARTIFACTS)
        database.replace_by(folder / "database", manifest.rows)
        if (key := folder / SECRET_KEY).exists():
            key.replace(_secret_key_file())
    call_command("migrate", verbosity=0, interactive=False)
    connection.close()
    return Outcome(manifest)


def _require_readable_here(manifest: Manifest, engine: str) -> None:
    if manifest.engine != engine:
        raise BackupError(
            f"The backup is of {manifest.engine} and this instance uses {engine}: take the logs "
            "along instead (manage.py export_log there, import_log here)."
        )
    if "database" not in manifest.members:
        raise BackupError("The backup holds no database.")
    known = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
    if newer := [name for name in manifest.migrations if name not in known]:
        raise BackupError(
            f"The backup is of newer code ({newer[-1]} is not known here): update this one first."
        )


def _add_artifacts(unpacked: Path) -> None:
    home = Path(settings.ARTIFACT_DIR)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in sorted(unpacked.rglob("*")):
        target = home / path.relative_to(unpacked)
        if path.is_dir():
            target.mkdir(mode=0o700, exist_ok=True)
        else:
            path.replace(target)


def _secret_key_file() -> Path:
    return Path(settings.DATA_DIR) / SECRET_KEY


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise BackupError(f"There is no folder {folder}.")
    return folder
