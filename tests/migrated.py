"""What was migrated and collected once, of which each test process and each server takes a copy.

Migrating costs ten times as much CPU as most test files. What was migrated stays in the data
folder, or in the PostgreSQL server, under a name that changes with the migrations.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.test import override_settings

from dadc_server import prepare
from tests.services import find_program

PROJECT = Path(__file__).resolve().parent.parent
STORAGES = settings.STORAGES  # of a server; tests have another


def instance(data: Path) -> None:
    """Make this the data folder of a server that was never started: its database, its files."""
    copy_to(data / "db.sqlite3")
    static = Path(settings.STATIC_ROOT)
    with _one_at_a_time(), override_settings(STORAGES=STORAGES):
        prepare.collect_static([])
    shutil.copytree(static, data / "static")
    shutil.copy(f"{static}.sha256", data)  # so that it collects none


def world(environment: Mapping[str, str]) -> None:
    """The same for a server that is started with this environment, on either database."""
    instance(Path(environment["DADC_DATA"]))
    if address := environment.get("DATABASE_URL"):
        with _one_at_a_time():
            _fill(address)


def copy_to(file: Path) -> None:
    """Put a migrated SQLite database there; a log that a killed process left would be read."""
    template = sqlite()
    for left in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        left.unlink(missing_ok=True)
    shutil.copyfile(template, file)


def sqlite() -> Path:
    """The file to copy."""
    made = settings.DATA_DIR / f"migrated-{_fingerprint()}.sqlite3"
    with _one_at_a_time():
        if not made.exists():
            for old in settings.DATA_DIR.glob("migrated-*.sqlite3"):
                old.unlink()
            folder = settings.DATA_DIR / "migrating"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _migrate(DADC_DATA=str(folder), DATABASE_URL="", REDIS_URL="")
            (folder / "db.sqlite3").rename(made)
            shutil.rmtree(folder)
    return made


def postgresql() -> str:
    """The name of the database to copy by CREATE DATABASE … TEMPLATE."""
    made = f"migrated_{_fingerprint()}"
    address = os.environ["DATABASE_URL"].rpartition("/")[0]
    with _one_at_a_time(), connection._nodb_cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [made])
        if not cursor.fetchone():
            cursor.execute("DROP DATABASE IF EXISTS migrating")
            cursor.execute("CREATE DATABASE migrating")
            _fill(f"{address}/migrating")
            cursor.execute(f"ALTER DATABASE migrating RENAME TO {made}")
    return made


def _fill(address: str) -> None:
    """What was migrated, in an empty database of any PostgreSQL server."""
    made = settings.DATA_DIR / f"migrated-{_fingerprint()}.sql"
    if made.exists():
        psql = [find_program("psql"), "--quiet", "--set=ON_ERROR_STOP=1", f"--file={made}"]
        subprocess.run([*psql, address], stdout=subprocess.DEVNULL, check=True)
        return
    _migrate(DATABASE_URL=address)
    dump = made.with_suffix(".part")
    subprocess.run([find_program("pg_dump"), f"--file={dump}", address], check=True)
    dump.rename(made)


def _migrate(**environment: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--no-input"],
        cwd=PROJECT,
        env=os.environ | environment,
        check=True,
    )


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with (settings.DATA_DIR / "migrating.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fingerprint() -> str:
    """Of our own migrations and of the versions of the packages that bring others."""
    digest = hashlib.sha256()
    for path in [PROJECT / "constraints.txt", *sorted(PROJECT.glob("*/migrations/*.py"))]:
        digest.update(f"{path.relative_to(PROJECT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
