"""`manage.py load_gold TASK FILE.jsonl`: bring in examples with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.models import Role, User
from annotate.command_line import SummaryCommand, task_named
from annotate.models import Task
from core.errors import Refused
from validate.acts.gold import load_gold


class Command(SummaryCommand):
    help = 'Load gold (JSON lines with "input" and "answer") that is mixed in for validators.'

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", help="the task's slug")
        parser.add_argument("file", type=Path, help='{"input", "answer", "context"?} a line')
        parser.add_argument("--owner", help="whose gold it is (default: the task's first owner)")
        super().add_arguments(parser)

    def handle(
        self, *_: Any, task: str, file: Path, owner: str | None, json: bool, **__: Any
    ) -> None:
        found = task_named(task)
        try:
            with file.open("rb") as lines:
                outcome = load_gold(actor=_owner(found, owner), task=found, lines=lines)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        except Refused as refused:
            raise CommandError(refused.message) from refused
        self.conclude(
            f"{outcome.new} gold examples are new, {outcome.known} were there already.",
            {
                "new": outcome.new,
                "known": outcome.known,
                "refused_lines": len(outcome.refused),
                "refused": outcome.refused_json(),
                "gold": found.gold.filter(retired_at=None).count(),
            },
            as_json=json,
        )
        self.require_all_lines(outcome, "loaded")


def _owner(task: Task, name: str | None) -> User:
    if name is not None:
        person = User.objects.filter(username=name).first()
        if person is None:
            raise CommandError(f"There is nobody called {name}.")
        return person
    person = task.owners.order_by("pk").first()
    person = person or User.objects.filter(role=Role.ADMIN, is_active=True).order_by("pk").first()
    if person is None:
        raise CommandError("The task has no owner: say with --owner whose gold it is.")
    return person
