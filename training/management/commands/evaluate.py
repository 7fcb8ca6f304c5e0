"""`manage.py evaluate TASK [--model NAME]`: let every registered model answer every frozen set."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from annotate.command_line import SummaryCommand, task_named
from core.errors import Refused
from training.evaluations import evaluate_models


class Command(SummaryCommand):
    help = "Evaluate a task's models on clean data and on each round's frozen foolings."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", help="the task's slug")
        parser.add_argument("--model", metavar="NAME", help="only this one")
        super().add_arguments(parser)

    def handle(self, *_: Any, task: str, model: str | None, json: bool, **__: Any) -> None:
        with tqdm(disable=not sys.stderr.isatty(), unit="set") as bar:

            def tell(done: int, steps: int, words: str) -> None:
                bar.total = steps
                bar.set_description(words)
                bar.update(done - bar.n)

            try:
                outcome = evaluate_models(task=task_named(task), only=model, listener=tell)
            except Refused as refused:
                raise CommandError(refused.message) from refused
        self.conclude(
            f"{outcome.models} models on {outcome.sets} sets: {outcome.asked} evaluated, "
            f"{outcome.kept} known already.",
            {"task": task, **outcome.summary()},
            as_json=json,
        )
        if outcome.failed:
            listed = "\n".join(f"  {name}: {reason}" for name, reason in outcome.failed.items())
            raise CommandError(f"{len(outcome.failed)} could not be evaluated:\n{listed}")
