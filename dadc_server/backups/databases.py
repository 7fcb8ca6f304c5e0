"""Copying and replacing the database: SQLite by its own means, PostgreSQL by its own programs."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from django.db import connection, transaction
from django.db.backends.postgresql.client import DatabaseClient

from accounts.models import User
from annotate.models import ModelVersion, Task
from dadc_server.backups.errors import BackupError
from training.files import files_of

BUSY = (
    "The database is in use: stop bin/serve and every worker, on all hosts, then restore. "
    "Nothing was changed."
)


@dataclass(frozen=True)
class Facts:
    """What a copy holds, read in the same view of the database that was copied."""

    migrations: list[str]
    rows: dict[str, int]
    artifacts: frozenset[str]


class Database(Protocol):
    """One kind of database: how all of it is copied to a file and taken from one."""

    @property
    def engine(self) -> Literal["sqlite", "postgresql"]:
        """What a backup of it is called: one kind is not restored into the other."""

    def copy_to(self, path: Path) -> Facts:
        """Write one consistent copy while others go on reading and writing."""

    def replace_by(self, path: Path, rows: Mapping[str, int]) -> None:
        """Put a copy in place of everything there is, or change nothing.

        BackupError when somebody else is connected, or when the copy does not hold these rows.
        """


def current() -> Database:
    """The database of this instance."""
    return Sqlite() if connection.vendor == "sqlite" else Postgresql()


def is_empty() -> bool:
    """Whether nobody has an account here and there is no task: nothing to lose."""
    tables = set(connection.introspection.table_names())
    return not any(
        model._meta.db_table in tables and model._default_manager.exists() for model in (User, Task)
    )


def read_facts(cursor: Any) -> Facts:
    """The facts of the database behind a cursor of either kind."""
    cursor.execute("SELECT app, name FROM django_migrations ORDER BY id")
    migrations = [f"{app}.{name}" for app, name in cursor.fetchall()]
    cursor.execute(f"SELECT artifact, config FROM {ModelVersion._meta.db_table}")  # noqa: S608
    artifacts = set[str]()
    for artifact, config in cursor.fetchall():
        artifacts |= files_of(artifact, json.loads(config) if isinstance(config, str) else config)
    return Facts(migrations, count_rows(cursor), frozenset(artifacts))


def count_rows(cursor: Any) -> dict[str, int]:
    rows = {}
    for table in connection.introspection.django_table_names(only_existing=True):
        cursor.execute(f'SELECT COUNT(*) FROM "{table}"')  # noqa: S608  (our own tables)
        (rows[table],) = cursor.fetchone()
    return rows


class Sqlite:
    """One file. VACUUM INTO copies it in a read transaction, which stops no writer."""

    engine: Literal["sqlite"] = "sqlite"

    def copy_to(self, path: Path) -> Facts:
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(path)])
        with closing(sqlite3.connect(path)) as copy:
            return read_facts(copy.cursor())

    def replace_by(self, path: Path, rows: Mapping[str, int]) -> None:
        """Overwrite the pages in one transaction of SQLite's: a crash rolls it back."""
        connection.close()
        with (
            closing(sqlite3.connect(path)) as copy,
            closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=2)) as live,
        ):
            _require_sound(copy, rows)
            try:
                # Leaving the write-ahead log takes the file for this connection alone, which
                # fails while any other process has it open, idle ones included.
                live.execute("PRAGMA locking_mode=EXCLUSIVE")
                live.execute("PRAGMA journal_mode=DELETE")
                live.execute("BEGIN EXCLUSIVE")
                live.rollback()
            except sqlite3.OperationalError as error:
                raise BackupError(BUSY) from error
            copy.backup(live)


def _require_sound(copy: sqlite3.Connection, rows: Mapping[str, int]) -> None:
    try:
        found = [text for (text,) in copy.execute("PRAGMA quick_check")]
        held = {
            table: copy.execute(f'SELECT COUNT(*) FROM "{table}"').fetchone()[0]  # noqa: S608
            for table in rows
        }
    except sqlite3.DatabaseError as error:
        raise BackupError(f"The backup's database is damaged: {error}.") from error
    if found != ["ok"]:
        raise BackupError(f"The backup's database is damaged: {found[0]}.")
    if held != rows:
        raise BackupError("The backup's database does not hold the rows that were counted.")


class Postgresql:
    """A server. pg_dump copies the snapshot that the facts were read in."""

    engine: Literal["postgresql"] = "postgresql"

    def copy_to(self, path: Path) -> Facts:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SELECT pg_export_snapshot()")
            (snapshot,) = cursor.fetchone()
            facts = read_facts(cursor)
            self._run(
                "pg_dump",
                *("--format=custom", "--no-owner", "--no-privileges"),
                *(f"--snapshot={snapshot}", f"--file={path}"),
            )
        return facts

    def replace_by(self, path: Path, rows: Mapping[str, int]) -> None:
        """Drop our tables, read the copy and count it in one transaction."""
        # As a script in a file, not through a pipe: half a script would be committed.
        script = path.with_name("database.sql")
        _call(
            [_program("pg_restore"), "--no-owner", "--no-privileges", f"--file={script}", str(path)]
        )
        self._require_unused()
        with connection.cursor() as cursor:
            tables = connection.introspection.table_names(cursor)
        connection.close()
        quoted = ", ".join(map(connection.ops.quote_name, tables))
        drop = f"DROP TABLE {quoted} CASCADE" if tables else "SELECT 1"
        self._run(
            "psql",
            *("--no-psqlrc", "--quiet", "--output=/dev/null", "--single-transaction"),
            *("--set=ON_ERROR_STOP=1", "--command=SET lock_timeout = '10s'", f"--command={drop}"),
            # A dump's script leaves the search path empty.
            *(f"--file={script}", "--command=RESET search_path", f"--command={_assertion(rows)}"),
        )

    def _require_unused(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
            if cursor.fetchone() != (0,):
                raise BackupError(BUSY)

    def _run(self, name: str, *arguments: str) -> None:
        """One of PostgreSQL's programs on our database; the password is not on its command line."""
        program = _program(name)
        command, environment = DatabaseClient.settings_to_cmd_args_env(
            connection.settings_dict, list(arguments)
        )
        _call([program, *command[1:]], environment or {})


def _assertion(rows: Mapping[str, int]) -> str:
    """A block that fails, and with it the transaction, unless every table has its rows."""
    checks = "".join(
        f"IF (SELECT count(*) FROM {connection.ops.quote_name(table)}) <> {count} THEN"  # noqa: S608
        f" RAISE EXCEPTION 'the rows of {table} are not those that were counted'; END IF; "
        for table, count in rows.items()
    )
    return f"DO $$ BEGIN {checks}END $$"


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BackupError(
            f"{name} is missing: install PostgreSQL's client programs, of the server's version or "
            "newer (on Debian and Ubuntu: apt-get install postgresql-client)."
        )
    return found


def _call(command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    ended = subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        words = [line for line in ended.stderr.splitlines() if line.strip()]
        raise BackupError(f"{Path(command[0]).name} failed: {words[0] if words else 'no reason'}")
