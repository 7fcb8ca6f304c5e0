"""Everything between installing and serving, in one process: `python -m dadc_server.prepare`.

Checks the settings, migrates, collects static files and bootstraps the task library. Each step is
a repeatable command of its own; together in one process they start Django once instead of four
times, so that a second start takes seconds.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.core.management.commands import migrate
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

# Names the advisory lock; any number that nobody else takes.
PREPARING = 0xDADC


@contextmanager
def step(name: str) -> Iterator[list[str]]:
    """Print a step with what it reports and its seconds."""
    report: list[str] = []
    print(f"  {name:<14} ", end="", flush=True)
    began = time.perf_counter()
    yield report
    print(f"{' '.join(report) or 'ok'} ({time.perf_counter() - began:.1f} s)", flush=True)


class Migrate(migrate.Command):
    """Django's migrate, one dot a migration instead of a line each."""

    def migration_progress_callback(self, action: str, *args: Any, **kwargs: Any) -> None:
        if action == "apply_success":
            print(".", end="", flush=True)


def migrate_database(report: list[str]) -> None:
    executor = MigrationExecutor(connection)
    count = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    call_command(Migrate(), verbosity=0, interactive=False)
    report.append(f" {count} migrations applied" if count else "up to date")


def static_fingerprint() -> str:
    """A digest of the name, size and time of every static file and of how they are stored."""
    digest = hashlib.sha256(repr(settings.STORAGES["staticfiles"]).encode())
    for finder in get_finders():
        for name, storage in finder.list([]):
            found = Path(storage.path(name)).stat()
            digest.update(f"{name}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def collect_static(report: list[str]) -> None:
    """Collect, hash and compress static files unless none changed since the last time."""
    stamp = Path(f"{settings.STATIC_ROOT}.sha256")
    fingerprint = static_fingerprint()
    if stamp.exists() and stamp.read_text() == fingerprint:
        report.append("unchanged")
        return
    # ReDoc comes beside Swagger's viewer, and no page shows it.
    call_command("collectstatic", verbosity=0, interactive=False, ignore_patterns=["redoc"])
    stamp.write_text(fingerprint)
    report.append("collected")


@contextmanager
def one_start_at_a_time() -> Iterator[None]:
    """Let servers that start together on one data folder prepare it in turn.

    Two would delete each other's static files and, on SQLite, apply the same migrations. The lock
    is the process': one that dies gives it back.
    """
    with (settings.DATA_DIR / "prepare.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def one_machine_at_a_time() -> Iterator[None]:
    """Let machines that start together on one PostgreSQL migrate and bootstrap it in turn.

    The lock is the connection's: a machine that dies gives it back.
    """
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [PREPARING])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [PREPARING])


def prepare() -> None:
    django.setup()
    from training.files import warnings_of_files  # models, once Django is set up

    with step("settings"):
        call_command("check", stdout=io.StringIO())  # says so itself when something is wrong
    with one_start_at_a_time():
        with step("static files") as report:
            collect_static(report)
        with one_machine_at_a_time():
            with step("database") as report:
                migrate_database(report)
            call_command("bootstrap")
    for sentence in warnings_of_files():
        print(f"  warning        {sentence} The task waits for it, all others are served.")


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dadc_server.settings")
    try:
        prepare()
    except (ImproperlyConfigured, CommandError) as error:
        print(f"\nbin/serve: {error}", file=sys.stderr)
    except DatabaseError as error:
        print(f"\nbin/serve: the database cannot be used: {error}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
