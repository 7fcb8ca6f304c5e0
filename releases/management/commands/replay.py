"""`manage.py replay DIR`: ask a release's models about its foolings again."""

from __future__ import annotations

import json as json_
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotate.command_line import SummaryCommand
from releases.card import rate
from releases.orders import ABOUT, REPLAY
from releases.replaying import TIMES, replay_into


class Command(SummaryCommand):
    help = "Run every published fooling of the models that came with a release once more."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, metavar="DIR", help="the release, unpacked")
        parser.add_argument(
            "--times", type=int, default=TIMES, help="how often a model is asked that samples"
        )
        parser.add_argument(
            "--out", type=Path, help="a new file for a line an example: how often, and when"
        )
        super().add_arguments(parser)

    def handle(
        self, *_: Any, folder: Path, times: int, out: Path | None, json: bool, **__: Any
    ) -> None:
        try:
            about = json_.loads((folder / ABOUT).read_text())
            with TemporaryDirectory() as aside:
                found = replay_into(folder, about, out or Path(aside) / REPLAY, max(1, times))
        except (OSError, ValueError, KeyError) as error:
            raise CommandError(f"{folder} cannot be replayed: {error}.") from error
        for one in found:
            share = rate({"count": one["fooled"], "of": one["asked"], **one})
            what = f"fooled {one['fooled']:,} of {one['asked']:,} times, {share}"
            often = f"asked {one['times']} times each" if one["varies"] else "it does not sample"
            self.stdout.write(
                f"{one['model']}: {f'{what}; {often}.' if one['times'] else ''} {one['why_not']}"
            )
        total = sum(one["asked"] for one in found)
        self.conclude(
            f"{total:,} answers to {sum(one['foolings'] for one in found):,} published foolings.",
            {"folder": str(folder), "models": found},
            as_json=json,
        )
