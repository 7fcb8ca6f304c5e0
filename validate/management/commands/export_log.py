"""`manage.py export_log TASK`: write a task's examples and votes to the standard output."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from annotate.command_line import task_named
from validate.logs import log_lines


class Command(BaseCommand):
    help = "Print the log of a task as JSON lines: its examples, then the votes on them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", help="the task's slug")

    def handle(self, *_: Any, task: str, **__: Any) -> None:
        for line in log_lines(task_named(task)):
            self.stdout.write(line, ending="")
