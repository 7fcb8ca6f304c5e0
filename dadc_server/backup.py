"""A whole instance in one file, and back: its database, its artifacts and its secret key.

The file is a tar whose first member is a manifest that names every other one. Nothing is unpacked
by the names in the tar: a member counts only if the manifest lists it under a name of the few known
forms, and only with the size and SHA-256 that stand there. SQLite is copied by its own means,
PostgreSQL by its own programs.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.db.backends.postgresql.client import DatabaseClient
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tqdm import tqdm
from tqdm.utils import CallbackIOWrapper

from accounts.models import User
from annotate.models import ModelVersion, Task
from ml import artifacts, store
from ml.files import written_whole
from training.files import files_of
from training.provenance import code_revision

MANIFEST = "manifest.json"
SECRET_KEY = "secret_key"  # noqa: S105  (the name of a member)
ARTIFACTS = "artifacts"
SUFFIXES: dict[str, Literal["w", "w:gz"]] = {".tar": "w", ".gz": "w:gz", ".tgz": "w:gz"}
LARGEST_MANIFEST = 64 << 20
COUNTED = {
    "users": "accounts_user",
    "tasks": "annotate_task",
    "examples": "annotate_example",
    "votes": "validate_vote",
    "models": "annotate_modelversion",
}
BUSY = (
    "The database is in use: stop bin/serve and every worker, on all hosts, then restore. "
    "Nothing was changed."
)
KNOWN_NAME = rf"^(database|{SECRET_KEY}|{ARTIFACTS}(/[A-Za-z0-9_][A-Za-z0-9._-]*)+)$"


class BackupError(Exception):
    """A backup cannot be made or used; the message is a sentence for the operator."""


class Member(BaseModel):
    """What a member must be."""

    model_config = ConfigDict(frozen=True)

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """What is in a backup; `rows` by table, `migrations` as app.name in the order applied."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    made_at: datetime
    code: dict[str, str]
    engine: str
    migrations: list[str]
    rows: dict[str, int]
    missing_artifacts: list[str]
    members: dict[Annotated[str, Field(pattern=KNOWN_NAME)], Member]

    def summary(self) -> dict[str, Any]:
        """What was backed up or restored, for the commands to tell."""
        return {
            "engine": self.engine,
            "made_at": self.made_at.isoformat(),
            "bytes": sum(member.size for member in self.members.values()),
            **{name: self.rows.get(table, 0) for name, table in COUNTED.items()},
            "artifacts": sum(name.startswith(f"{ARTIFACTS}/") for name in self.members),
            "missing_artifacts": self.missing_artifacts,
        }


def back_up(archive: Path) -> Manifest:
    """Write the backup while others go on; an artifact that is missing is named in the manifest.

    The database is copied first and the artifacts after it: a model's files are complete before
    its row is committed and never change, so that every row of the copy finds its own.
    """
    if archive.suffix not in SUFFIXES:
        raise BackupError(f"{archive.name}: name the backup .tar, .tar.gz or .tgz.")
    if archive.exists():
        raise BackupError(f"{archive} exists already: choose another name.")
    if not archive.parent.is_dir():
        raise BackupError(f"There is no folder {archive.parent}.")
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=archive.parent) as folder:
        copy = Path(folder) / "database"
        copy_to = _copy_sqlite if connection.vendor == "sqlite" else _copy_postgresql
        migrations, rows, needed = copy_to(copy)
        _fetch(needed)
        files = {"database": copy, **_files_here()}
        manifest = Manifest(
            made_at=timezone.now(),
            code=code_revision(),
            engine=connection.vendor,
            migrations=migrations,
            rows=rows,
            missing_artifacts=sorted(needed - {name.partition("/")[2] for name in files}),
            members={name: describe(path) for name, path in files.items()},
        )
        write(archive, manifest, files)
    return manifest


def restore(archive: Path, *, replace: bool) -> Manifest:
    """Put the backup in the place of this instance, or change nothing; nobody may use it meanwhile.

    Everything is unpacked and proved beside the data first, names that are hashes too. Then the
    artifacts and the key are put in place, what was there set aside, and the database is replaced
    in one transaction; what fails puts all back. A backup of older code is migrated.
    """
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=settings.DATA_DIR) as name:
        folder = Path(name)
        manifest = unpack(archive, folder, partial(_require_place, replace=replace))
        replace_by = _replace_sqlite if connection.vendor == "sqlite" else _replace_postgresql
        with _in_place(folder, manifest):
            _share(manifest)
            replace_by(folder / "database", manifest.rows)
    call_command("migrate", verbosity=0, interactive=False)
    connection.close()
    return manifest


def _require_place(manifest: Manifest, *, replace: bool) -> None:
    """Raise BackupError unless this instance can read the backup and has nothing to lose by it."""
    if manifest.engine != connection.vendor:
        raise BackupError(
            f"The backup is of {manifest.engine} and this instance uses {connection.vendor}: take "
            "the logs along instead (manage.py export_log there, import_log here)."
        )
    if "database" not in manifest.members:
        raise BackupError("The backup holds no database.")
    known = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
    if newer := [name for name in manifest.migrations if name not in known]:
        raise BackupError(
            f"The backup is of newer code ({newer[-1]} is not known here): update this one first."
        )
    tables = set(connection.introspection.table_names())
    if not replace and any(
        model._meta.db_table in tables and model._default_manager.exists() for model in (User, Task)
    ):
        raise BackupError(
            "There are people or tasks here already, and all of it would be lost: "
            "restore into an empty instance, or say --replace."
        )


def _fetch(names: Iterable[str]) -> None:
    """Bring the artifacts here that a store alone has, where machines share one."""
    try:
        for name in names:
            artifacts.fetched(Path(settings.ARTIFACT_DIR) / name)
    except artifacts.ArtifactError as error:
        raise BackupError(str(error)) from error


def _share(manifest: Manifest) -> None:
    """Give that store what was put in place."""
    try:
        for name in manifest.members:
            if name.startswith(f"{ARTIFACTS}/"):
                store.put(Path(settings.ARTIFACT_DIR) / name.removeprefix(f"{ARTIFACTS}/"))
    except store.StoreError as error:
        raise BackupError(str(error)) from error


def _files_here() -> dict[str, Path]:
    """Artifacts and key, as members; what is still being written begins with a dot, and is none."""
    home, key = Path(settings.ARTIFACT_DIR), Path(settings.DATA_DIR) / SECRET_KEY
    found = {f"{ARTIFACTS}/{path.relative_to(home)}": path for path in sorted(home.rglob("*"))}
    return {
        name: path
        for name, path in {**found, SECRET_KEY: key}.items()
        if path.is_file() and re.fullmatch(KNOWN_NAME, name)
    }


@contextmanager
def _in_place(unpacked: Path, manifest: Manifest) -> Iterator[None]:
    """Artifacts and key where they belong, and whatever was there again if the block fails."""
    aside = unpacked / "aside"
    moved: list[tuple[Path, Path]] = []  # from, to
    try:
        for name in sorted(manifest.members.keys() - {"database"}):
            home = Path(settings.DATA_DIR) / name
            if name.startswith(f"{ARTIFACTS}/"):
                home = Path(settings.ARTIFACT_DIR) / name.removeprefix(f"{ARTIFACTS}/")
            for source, target in ((home, aside / name), (unpacked / name, home)):
                if source.exists():
                    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    source.replace(target)
                    moved.append((source, target))
        yield
    except BaseException:
        for source, target in reversed(moved):
            target.replace(source)
        raise


# --- the file -------------------------------------------------------------------------------------
def describe(path: Path, expected: Member | None = None) -> Member:
    """The size and hash of a file; BackupError when they are not the expected ones."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        found = Member(size=file.tell(), sha256=sha256)
    if expected not in (None, found):
        raise BackupError(f"{path.name} is damaged: its bytes are not those that were listed.")
    return found


def write(archive: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
    """Write the archive, all of it or nothing.

    A file that is not what the manifest says by now fails it.
    """
    text = manifest.model_dump_json(indent=1).encode()
    with (
        written_whole(archive) as out,
        tarfile.open(fileobj=out, mode=SUFFIXES[archive.suffix], format=tarfile.PAX_FORMAT) as tar,
        _shown("backing up", manifest.summary()["bytes"]) as advance,
    ):
        entry = tarfile.TarInfo(MANIFEST)
        entry.size, entry.mode = len(text), 0o600
        tar.addfile(entry, io.BytesIO(text))
        for name, member in manifest.members.items():
            entry.name, entry.size = name, member.size
            with files[name].open("rb") as file:
                tar.addfile(entry, CallbackIOWrapper(advance, file))
            describe(files[name], member)


def unpack(
    archive: Path, folder: Path, accept: Callable[[Manifest], None] = lambda _: None
) -> Manifest:
    """Write every member below `folder` and prove that they are all there and undamaged.

    Before anything is written the manifest is shown to `accept`, which may raise.
    """
    with _opened(archive) as tar:
        manifest = _manifest(tar)
        _require_true_names(manifest)
        accept(manifest)
        seen: set[str] = set()
        while (entry := tar.next()) is not None:
            member = manifest.members.get(entry.name)
            content = tar.extractfile(entry) if entry.isreg() else None
            if member is None or content is None or entry.name in seen:
                raise BackupError(f"The backup holds {entry.name!r}, which its list does not name.")
            seen.add(entry.name)
            with written_whole(folder / entry.name) as out:
                shutil.copyfileobj(content, out)
            describe(folder / entry.name, member)
    if lost := manifest.members.keys() - seen:
        raise BackupError(f"The backup is damaged: {', '.join(sorted(lost))} is missing in it.")
    return manifest


def _require_true_names(manifest: Manifest) -> None:
    """BackupError unless each artifact that is named by a hash has that one: models go by it."""
    for name, member in manifest.members.items():
        said = re.fullmatch(r"([0-9a-f]{64})(\..*)?", name.rpartition("/")[2])
        if said and said[1] != member.sha256:
            raise BackupError(f"The backup is damaged: {name} has other contents than its name.")


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    """The archive, read once from its beginning; whatever is wrong with it is a BackupError."""
    try:
        with (
            archive.open("rb") as file,
            _shown("restoring", archive.stat().st_size) as advance,
            tarfile.open(fileobj=CallbackIOWrapper(advance, file), mode="r|*") as tar,
        ):
            yield tar
    except OSError as error:
        if error.filename is None and not error.errno:  # gzip: the bytes, not the disk
            raise BackupError(f"The backup is damaged: {error}.") from error
        raise BackupError(f"{error.filename or archive}: {error.strerror}.") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise BackupError(f"The backup is damaged: {error}.") from error


@contextmanager
def _shown(what: str, total: int) -> Iterator[Callable[[int], object]]:
    """Bytes that come and go, shown on a terminal and nowhere else."""
    with tqdm(desc=what, total=total, unit="B", unit_scale=True, disable=None) as bar:
        yield bar.update


def _manifest(tar: tarfile.TarFile) -> Manifest:
    entry = tar.next()
    if entry is None or entry.name != MANIFEST or entry.size > LARGEST_MANIFEST:
        raise BackupError("This is no backup of DADC: it does not begin with a manifest.")
    content = tar.extractfile(entry)
    assert content is not None
    try:
        return Manifest.model_validate_json(content.read())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BackupError(
            f"The backup's manifest cannot be used: {where}: {first['msg']}."
        ) from None


# --- the database ---------------------------------------------------------------------------------
# The migrations of a copy, its rows and the artifacts that it names, read in the view of the
# database that was copied.
Facts = tuple[list[str], dict[str, int], set[str]]


def _facts(cursor: Any) -> Facts:
    cursor.execute("SELECT app, name FROM django_migrations ORDER BY id")
    migrations = [f"{app}.{name}" for app, name in cursor.fetchall()]
    cursor.execute(f"SELECT artifact, config FROM {ModelVersion._meta.db_table}")  # noqa: S608
    artifacts = set[str]()
    for artifact, config in cursor.fetchall():
        artifacts |= files_of(artifact, json.loads(config) if isinstance(config, str) else config)
    tables = connection.introspection.django_table_names(only_existing=True)
    return migrations, _count(cursor, tables), artifacts


def _count(cursor: Any, tables: Sequence[str]) -> dict[str, int]:
    rows = {}
    for table in tables:
        cursor.execute(f'SELECT COUNT(*) FROM "{table}"')  # noqa: S608  (our own tables)
        (rows[table],) = cursor.fetchone()
    return rows


def _copy_sqlite(path: Path) -> Facts:
    """VACUUM INTO copies in a read transaction, which stops no writer."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(path)])
    with closing(sqlite3.connect(path)) as copy:
        return _facts(copy.cursor())


def _replace_sqlite(path: Path, rows: Mapping[str, int]) -> None:
    """Overwrite the pages in one transaction of SQLite's: a crash rolls it back.

    BackupError when somebody else is connected, or when the copy does not hold these rows.
    """
    connection.close()
    with (
        closing(sqlite3.connect(path)) as copy,
        closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=2)) as live,
    ):
        try:
            found = [text for (text,) in copy.execute("PRAGMA quick_check")]
            held = _count(copy.cursor(), list(rows))
        except sqlite3.DatabaseError as error:
            raise BackupError(f"The backup's database is damaged: {error}.") from error
        if found != ["ok"]:
            raise BackupError(f"The backup's database is damaged: {found[0]}.")
        if held != rows:
            raise BackupError("The backup's database does not hold the rows that were counted.")
        try:
            # Leaving the write-ahead log takes the file for this connection alone, which fails
            # while any other process has it open, idle ones included.
            live.execute("PRAGMA locking_mode=EXCLUSIVE")
            live.execute("PRAGMA journal_mode=DELETE")
            live.execute("BEGIN EXCLUSIVE")
            live.rollback()
        except sqlite3.OperationalError as error:
            raise BackupError(BUSY) from error
        copy.backup(live)


def _copy_postgresql(path: Path) -> Facts:
    """pg_dump copies the snapshot that the facts were read in."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT pg_export_snapshot()")
        (snapshot,) = cursor.fetchone()
        facts = _facts(cursor)
        _run_on_ours(
            "pg_dump",
            *("--format=custom", "--no-owner", "--no-privileges"),
            *(f"--snapshot={snapshot}", f"--file={path}"),
        )
    return facts


def _replace_postgresql(path: Path, rows: Mapping[str, int]) -> None:
    """Drop our tables, read the copy and count it in one transaction; errors as for SQLite."""
    # As a script in a file, not through a pipe: half a script would be committed.
    script = path.with_name("database.sql")
    _run("pg_restore", ["--no-owner", "--no-privileges", f"--file={script}", str(path)])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        if cursor.fetchone() != (0,):
            raise BackupError(BUSY)
        tables = connection.introspection.table_names(cursor)
    connection.close()
    quoted = ", ".join(map(connection.ops.quote_name, tables))
    drop = f"DROP TABLE {quoted} CASCADE" if tables else "SELECT 1"
    checks = "".join(
        f"IF (SELECT count(*) FROM {connection.ops.quote_name(table)}) <> {count} THEN"  # noqa: S608
        f" RAISE EXCEPTION 'the rows of {table} are not those that were counted'; END IF; "
        for table, count in rows.items()
    )
    _run_on_ours(
        "psql",
        *("--no-psqlrc", "--quiet", "--output=/dev/null", "--single-transaction"),
        *("--set=ON_ERROR_STOP=1", "--command=SET lock_timeout = '10s'", f"--command={drop}"),
        # A dump's script leaves the search path empty.
        *(f"--file={script}", "--command=RESET search_path"),
        f"--command=DO $$ BEGIN {checks}END $$",
    )


def _run_on_ours(program: str, *arguments: str) -> None:
    """One of PostgreSQL's programs on our database; the password is not on its command line."""
    command, environment = DatabaseClient.settings_to_cmd_args_env(
        connection.settings_dict, list(arguments)
    )
    _run(program, command[1:], environment or {})


def _run(program: str, arguments: Sequence[str], environment: Mapping[str, str] = {}) -> None:
    if (found := shutil.which(program)) is None:
        raise BackupError(
            f"{program} is missing: install PostgreSQL's client programs, of the server's version "
            "or newer (on Debian and Ubuntu: apt-get install postgresql-client)."
        )
    ended = subprocess.run(
        [found, *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        words = [line for line in ended.stderr.splitlines() if line.strip()]
        raise BackupError(f"{program} failed: {words[0] if words else 'no reason'}")
