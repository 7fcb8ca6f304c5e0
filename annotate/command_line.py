"""What commands on a task share: finding it, and the JSON summary as the last line."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotate.models import Task
from core.refused_lines import RefusedLines


class SummaryCommand(BaseCommand):
    """Ends with a sentence for people and, if asked, with one line of JSON for programs."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="end with a JSON summary")

    def conclude(self, sentence: str, summary: dict[str, Any], *, as_json: bool) -> None:
        self.stdout.write(sentence)
        if as_json:
            self.stdout.write(json.dumps(summary))

    def require_all_lines(self, outcome: RefusedLines, others: str) -> None:
        """CommandError with every line that was refused; `others` is what became of the rest."""
        if mistakes := outcome.mistakes:
            listed = "\n".join(f"  {mistake}" for mistake in mistakes)
            raise CommandError(
                f"{len(mistakes)} lines were refused, all others are {others}:\n{listed}"
            )


def task_named(slug: str) -> Task:
    """The task with its config; CommandError when there is none."""
    task = Task.objects.select_related("config").filter(slug=slug).first()
    if task is None or task.config is None:
        raise CommandError(f"There is no task {slug}.")
    return task
