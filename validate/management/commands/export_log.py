"""`manage.py export_log TASK`: write a task's examples and votes to the standard output."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotate.command_line import task_named
from validate.logs import log_lines


class Command(BaseCommand):
    help = "Print the log of a task as JSON lines: its examples, then the votes on them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", help="the task's slug")

    def handle(self, *_: Any, task: str, **__: Any) -> None:
        try:
            for line in log_lines(task_named(task)):
                self.stdout.write(line, ending="")
            self.stdout.flush()
        except BrokenPipeError:
            # The reader (head, less) has seen enough; Python would complain again at its exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stdout.fileno())
        except OSError as error:
            raise CommandError(f"The log cannot be written: {error.strerror}.") from error
