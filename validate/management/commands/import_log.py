"""`manage.py import_log TASK FILE.jsonl`: bring examples and votes of a log into a task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from annotate.command_line import SummaryCommand, task_named
from validate.logs import import_log


class Command(SummaryCommand):
    help = "Import a log (JSON lines) into a task; importing it again changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", help="the task's slug")
        parser.add_argument("file", type=Path, help="the log, as export_log writes it")
        super().add_arguments(parser)

    def handle(self, *_: Any, task: str, file: Path, json: bool, **__: Any) -> None:
        found = task_named(task)

        def read() -> Iterator[bytes]:
            with file.open("rb") as lines:
                yield from lines

        try:
            size = file.stat().st_size
            with tqdm(total=2 * size, unit="B", unit_scale=True, disable=None) as bar:
                outcome = import_log(found, read, bar.update)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        numbers = outcome.as_json()
        self.conclude(
            "{examples} examples ({new_examples} new), {votes} votes ({new_votes} new, {surplus} "
            "surplus): {verified} verified, {rejected} rejected, {ambiguous} ambiguous, {open} "
            "open.".format_map(numbers),
            numbers,
            as_json=json,
        )
        self.require_all_lines(outcome, "imported")
