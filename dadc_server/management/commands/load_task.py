"""`manage.py load_task FILE.yaml`: create a task, or give it a new config version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.models import Role, User
from annotate.command_line import SummaryCommand
from annotate.config import read_task_file
from annotate.rounds import load_task
from core.errors import Refused
from core.strict_yaml import NotYaml


class Command(SummaryCommand):
    help = "Load a task file; a file that was loaded before changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the task file (YAML)")
        parser.add_argument("--owner", metavar="NAME", help="who may curate the task")
        super().add_arguments(parser)

    def handle(self, *_: Any, file: Path, owner: str | None, json: bool, **__: Any) -> None:
        try:
            task, changed = load_task(file=_read(file), actor=_owner(owner) if owner else None)
        except Refused as refused:
            raise CommandError(refused.message) from refused
        assert task.config is not None
        version = task.config.version
        self.conclude(
            f"{task.slug}: version {version}{'' if changed else ', unchanged'}.",
            {"task": task.slug, "version": version, "changed": changed},
            as_json=json,
        )


def _read(file: Path) -> Any:
    try:
        return read_task_file(file.read_bytes())
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
    except NotYaml as error:
        raise CommandError(f"{file}: {error}.") from error


def _owner(name: str) -> User:
    user = User.objects.filter(username__iexact=name, imported=False).first()
    if user is None:
        raise CommandError(f"There is nobody called {name}.")
    if not user.has_role(Role.OWNER):
        raise CommandError(f"{user.username} is {user.role}: give them the role owner first.")
    return user
