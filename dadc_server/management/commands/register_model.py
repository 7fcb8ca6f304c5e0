"""`manage.py register_model TASK FILE.yaml`: check a model and register it as a new version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotate.command_line import SummaryCommand, task_named
from annotate.registry import ModelFile, read_model_file, register
from core.errors import Refused
from core.strict_yaml import NotYaml


class Command(SummaryCommand):
    help = "Check a model and register it; paths in the file are relative to the file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", help="the task's slug")
        parser.add_argument("file", type=Path, help="the model file (YAML)")
        parser.add_argument(
            "--open-round", action="store_true", help="open the next round against it"
        )
        parser.add_argument(
            "--beside", action="store_true", help="keep those that serve now beside it"
        )
        parser.add_argument(
            "--needed", type=int, metavar="K", help="ask all of them: K must be fooled"
        )
        super().add_arguments(parser)

    def handle(
        self,
        *_: Any,
        task: str,
        file: Path,
        open_round: bool,
        beside: bool,
        needed: int | None,
        json: bool,
        **__: Any,
    ) -> None:
        if (beside or needed) and not open_round:
            raise CommandError("--beside and --needed are about a round: say --open-round, too.")
        found = task_named(task)
        try:
            done = register(
                task=found,
                file=_read(file),
                folder=file.resolve().parent,
                open_round=open_round,
                beside=beside,
                needed=needed,
            )
        except Refused as refused:
            raise CommandError(refused.message) from refused
        round_ = " and opened the next round" if open_round else ""
        self.conclude(
            f"{task}: registered {done.model.name} as number {done.model.number}{round_}.",
            done.summary(),
            as_json=json,
        )


def _read(file: Path) -> ModelFile:
    try:
        return read_model_file(file.read_bytes())
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
    except NotYaml as error:
        raise CommandError(f"{file}: {error}.") from error
