"""`manage.py import_set NAME DIR`: begin a task with a set that others published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from annotate.command_line import SummaryCommand
from core.errors import Refused
from releases.card import rate
from releases.sets import NAMES
from releases.theirs import held_against, import_set


class Command(SummaryCommand):
    help = "Import a published set with its votes, and hold our verdicts against theirs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=NAMES, help="which set")
        parser.add_argument("folder", type=Path, metavar="DIR", help="its files as published")
        parser.add_argument("--task", default="", help="the task's slug; else the set's name")
        super().add_arguments(parser)

    def handle(self, *_: Any, name: str, folder: Path, task: str, json: bool, **__: Any) -> None:
        try:
            with tqdm(unit="B", unit_scale=True, disable=None) as bar:
                found, outcome = import_set(
                    name=name, folder=folder, slug=task, progress=bar.update
                )
        except Refused as refused:
            raise CommandError(refused.message) from refused
        held = held_against(found).as_json()
        numbers = {"task": found.slug, **outcome.as_json(), "theirs": held}
        share = rate({"count": held["agreed"], "of": held["compared"], **held})
        self.conclude(
            "{task}: {examples} examples ({new_examples} new), {votes} votes ({new_votes} new): "
            "{verified} verified, {rejected} rejected, {relabelled} relabelled, {ambiguous} "
            "ambiguous, {open} open; ".format_map(numbers)
            + f"of {held['compared']:,} with a verdict {share} agree with theirs.",
            numbers,
            as_json=json,
        )
        self.require_all_lines(outcome, "imported")
