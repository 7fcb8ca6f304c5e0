"""`manage.py backup FILE`: database, artifacts and key as one file, while the server runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from annotate.command_line import SummaryCommand
from dadc_server.backup import BackupError, back_up


class Command(SummaryCommand):
    help = "Write the database, the artifacts and the secret key into one file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="a new .tar, .tar.gz or .tgz")
        super().add_arguments(parser)

    def handle(self, *_: Any, file: Path, json: bool, **__: Any) -> None:
        try:
            numbers = back_up(file.absolute()).summary()
        except BackupError as error:
            raise CommandError(str(error)) from error
        except (OSError, DatabaseError) as error:
            raise CommandError(f"The backup was not made: {error}") from error
        self.conclude(
            "{examples} examples, {votes} votes, {models} models and {artifacts} artifacts are in "
            "{file}.".format(file=file, **numbers),
            {"file": str(file), **numbers},
            as_json=json,
        )
        if missing := numbers["missing_artifacts"]:
            raise CommandError(
                f"The backup is made, but {len(missing)} files that models need are not in the "
                f"artifacts folder of this machine: {', '.join(missing)}."
            )
