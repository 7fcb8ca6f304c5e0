"""`manage.py discover TASK [--model NAME] [--seed N] [--generated [--ask]]`: find regions."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from annotate.command_line import SummaryCommand, task_named
from core.errors import Refused
from training import generated as made_up
from training import regions
from training.generated_board import generated_rows
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
        parser.add_argument(
            "--generated", action="store_true", help="of inputs that a program makes up: ideas"
        )
        parser.add_argument("--ask", action="store_true", help="ask validators about these")
        super().add_arguments(parser)

    def handle(
        self, *_: Any, task: str, model: str, seed: int, generated: bool, ask: bool, json: bool,
        **__: Any,
    ) -> None:  # fmt: skip
        found = task_named(task)
        if not 0 <= seed < 2**31 - 1:
            raise CommandError(f"The seed must be from 0 to {2**31 - 2}.")
        if ask and not generated:
            raise CommandError("--ask is about inputs that --generated makes up.")
        try:
            which = made_up.model_to_try if generated else regions.model_to_look_at
            looked_at = which(found, model)
            discovery = regions.begin(task=found, model=looked_at, seed=seed, generated=generated)
        except Refused as refused:
            raise CommandError(refused.message) from refused
        with tqdm(total=100, disable=not sys.stderr.isatty(), unit="%") as bar:

            def tell(fraction: float, words: str) -> None:
                bar.set_description(words)
                bar.update(100 * fraction - bar.n)

            try:
                discovery = (made_up if generated else regions).carry_out(discovery, tell)
            except KeyboardInterrupt:
                regions.stop(discovery, "It was stopped at the terminal.")
                raise CommandError("Stopped: nothing was changed.") from None
        if discovery.status == Discovery.Status.FAILED:
            raise CommandError(discovery.stage)
        about = {
            "task": task,
            "model": looked_at.name,
            "seed": seed,
            "space": discovery.space,
            "stability": discovery.stability,
        }
        if generated:
            self._tell_made_up(discovery, about, ask=ask, json=json)
            return
        board = board_of(discovery)
        summary = {
            **about,
            "foolings": board.base.count,
            "in_regions": board.members,
            "regions": [row.summary() for row in board.rows],
        }
        for row in board.rows:
            self.stdout.write(f"  {row.members:>5} {row.region.title}")
        self.conclude(
            f"{len(board.rows)} regions hold {board.members} of {board.base.count} verified "
            f"foolings of {looked_at.name}.",
            summary,
            as_json=json,
        )

    def _tell_made_up(
        self, discovery: Discovery, about: dict[str, Any], *, ask: bool, json: bool
    ) -> None:
        asked = made_up.ask_validators(actor=None, discovery=discovery) if ask else 0
        rows = generated_rows(discovery)
        for row in rows:
            self.stdout.write(f"  {row.inputs:>5} {row.region.title}")
        self.conclude(
            f"{len(rows)} regions of inputs that nobody made: hints, until people confirm them.",
            {**about, "asked": asked, "regions": [row.summary() for row in rows]},
            as_json=json,
        )
