"""`manage.py load_contexts TASK FILE`: bring in what annotators of a task write about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotate.command_line import SummaryCommand, task_named
from annotate.context_files import NotRows, rows_of
from annotate.contexts import load_contexts
from core.errors import Refused


class Command(SummaryCommand):
    help = "Load contexts (JSONL, CSV or Parquet); what was loaded before changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", help="the task's slug")
        parser.add_argument("file", type=Path, help="a context a row: .jsonl, .csv or .parquet")
        parser.add_argument("--source", default="", help="of rows that name none of their own")
        parser.add_argument("--dry-run", action="store_true", help="only say what would come of it")
        super().add_arguments(parser)

    def handle(
        self, *_: Any, task: str, file: Path, source: str, dry_run: bool, json: bool, **__: Any
    ) -> None:
        found = task_named(task)
        try:
            outcome = load_contexts(task=found, rows=rows_of(file), source=source, dry_run=dry_run)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        except NotRows as error:
            raise CommandError(str(error)) from error
        except Refused as refused:
            raise CommandError(refused.message) from refused
        self.conclude(
            f"{outcome.new} contexts {'would be' if dry_run else 'are'} new, "
            f"{outcome.known} were there already.",
            {
                "new": outcome.new,
                "known": outcome.known,
                "refused_rows": len(outcome.refused),
                "refused": outcome.refused_json(),
                "contexts": found.contexts.filter(offered=True).count(),
            },
            as_json=json,
        )
        self.require_all_lines(outcome, "checked" if dry_run else "loaded")
