"""`manage.py discover TASK [--model NAME] [--seed N]`: group verified foolings into regions."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from annotate.command_line import SummaryCommand, task_named
from core.errors import Refused
from training import regions
from training.models import Discovery
from training.region_board import board_of


class Command(SummaryCommand):
    help = "Group the verified foolings of a model into regions: bugs that can be given a name."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", help="the task's slug")
        parser.add_argument(
            "--model", default="", metavar="NAME", help="else the newest that has enough foolings"
        )
        parser.add_argument("--seed", type=int, default=0)
        super().add_arguments(parser)

    def handle(self, *_: Any, task: str, model: str, seed: int, json: bool, **__: Any) -> None:
        found = task_named(task)
        if not 0 <= seed < 2**31 - 1:
            raise CommandError(f"The seed must be from 0 to {2**31 - 2}.")
        try:
            looked_at = regions.model_to_look_at(found, model)
            discovery = regions.begin(task=found, model=looked_at, seed=seed)
        except Refused as refused:
            raise CommandError(refused.message) from refused
        with tqdm(total=100, disable=not sys.stderr.isatty(), unit="%") as bar:

            def tell(fraction: float, words: str) -> None:
                bar.set_description(words)
                bar.update(100 * fraction - bar.n)

            try:
                discovery = regions.carry_out(discovery, tell)
            except KeyboardInterrupt:
                regions.stop(discovery, "It was stopped at the terminal.")
                raise CommandError("Stopped: nothing was changed.") from None
        if discovery.status == Discovery.Status.FAILED:
            raise CommandError(discovery.stage)
        board = board_of(discovery)
        summary = {
            "task": task,
            "model": looked_at.name,
            "seed": seed,
            "space": discovery.space,
            "stability": discovery.stability,
            "foolings": board.base.count,
            "in_regions": board.members,
            "regions": [row.summary() for row in board.rows],
        }
        for row in board.rows:
            self.stdout.write(f"  {row.members:>5} {row.title}")
        self.conclude(
            f"{len(board.rows)} regions hold {board.members} of {board.base.count} verified "
            f"foolings of {looked_at.name}.",
            summary,
            as_json=json,
        )
