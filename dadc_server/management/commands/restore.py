"""`manage.py restore FILE`: put a backup in the place of this instance, which is not running."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from annotate.command_line import SummaryCommand
from dadc_server.backup import BackupError, restore


class Command(SummaryCommand):
    help = "Restore a backup into an empty instance, or in the place of what there is."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="what manage.py backup wrote")
        parser.add_argument(
            "--replace", action="store_true", help="give up the database that is here now"
        )
        super().add_arguments(parser)

    def handle(self, *_: Any, file: Path, json: bool, replace: bool, **__: Any) -> None:
        try:
            numbers = restore(file.absolute(), replace=replace).summary()
        except BackupError as error:
            raise CommandError(str(error)) from error
        except (OSError, DatabaseError) as error:
            raise CommandError(f"Nothing was restored: {error}") from error
        self.conclude(
            "{examples} examples, {votes} votes, {models} models and {artifacts} artifacts are "
            "back, as they were at {made_at}.".format(**numbers),
            numbers,
            as_json=json,
        )
        if missing := numbers["missing_artifacts"]:
            self.stderr.write(
                f"{len(missing)} files that models need were not in the backup: "
                f"{', '.join(missing)}."
            )
