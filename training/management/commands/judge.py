"""`manage.py judge TASK --model NAME [--test]`: let a model judge in shadow, and test it."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from annotate.command_line import SummaryCommand, task_named
from core.errors import Refused
from ml.artifacts import ArtifactError
from ml.backends import Failed
from training import judges
from training.api import JudgeSerializer
from training.judge_board import row_of


class Command(SummaryCommand):
    help = "Let a model judge what validators decide, unseen by them, and hold it against them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", help="the task's slug")
        parser.add_argument("--model", required=True, metavar="NAME")
        parser.add_argument(
            "--test", action="store_true", help="put it to the test; its items serve no other"
        )
        super().add_arguments(parser)

    def handle(self, *_: Any, task: str, model: str, test: bool, json: bool, **__: Any) -> None:
        found = task_named(task)
        with tqdm(disable=not sys.stderr.isatty(), unit="items") as bar:

            def tell(done: int, of: int) -> None:
                bar.total = of
                bar.update(done - bar.n)

            try:
                judge = judges.register_judge(task=found, name=model)
                judges.ask(judge, tell)
                if test:
                    judge = judges.put_to_test(judge=judge).judge
            except Refused as refused:
                raise CommandError(refused.message) from refused
            except (ArtifactError, Failed) as error:
                raise CommandError(f"{model} cannot be asked: {error}") from error
        row = row_of(judge)
        told = f"{model} is {judge.get_standing_display()}: it judged {row.asked:,} items, "
        if row.test is not None and test:
            told += f"and its winning rate is {row.test.winning_rate:.2f} ({row.test.items} items)."
        else:
            told += f"of which people settled {row.ready:,} that no test has used."
        self.conclude(told, {"task": task, **JudgeSerializer(row).data}, as_json=json)
