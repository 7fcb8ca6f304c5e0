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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection

from dadc_server import prepare

PROJECT = Path(__file__).resolve().parent.parent


def instance(data: Path) -> None:
    """Make this the data folder of a server that was never started: its database, its files."""
    copy_to(data / "db.sqlite3")
    with _one_at_a_time():
        prepare.collect_static([])
    shutil.copytree(settings.STATIC_ROOT, data / "static")


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
            _migrate(DATABASE_URL=f"{address}/migrating")
            cursor.execute(f"ALTER DATABASE migrating RENAME TO {made}")
    return made


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
