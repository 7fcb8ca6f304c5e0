"""`manage.py release TASK --out DIR`: publish a task's data as a folder that others can load."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from annotate.command_line import SummaryCommand, task_named
from core.errors import Refused
from releases import services
from releases.card import in_words
from releases.models import PersonalFind
from releases.orders import bytes_of
from releases.personal import PersonalData
from releases.writing import make


class Command(SummaryCommand):
    help = "Write a version of a task's data: tables, log, card, checksums and signature."

    def create_parser(self, *names: Any, **options: Any) -> CommandParser:
        # Every command has a --version of Django's: here it is the release's.
        return super().create_parser(*names, conflict_handler="resolve", **options)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", help="the task's slug")
        parser.add_argument("--out", type=Path, required=True, help="the folder to make")
        parser.add_argument("--version", default="", help="as in 1.0.0; else the one that is next")
        parser.add_argument("--licence", default="", help="as in CC-BY-4.0")
        parser.add_argument("--settled", action="store_true", help="leave out what waits for votes")
        parser.add_argument(
            "--no-replay",
            action="store_true",
            help="do not ask its models about each fooling again",
        )
        parser.add_argument(
            "--no-models", action="store_true", help="keep the files of the models in the loop"
        )
        parser.add_argument("--description", default="", help="what others should know")
        parser.add_argument("--citation", default="", help="how to cite it; else a BibTeX entry")
        parser.add_argument("--url", default="", help="where it is to be found, as in a DOI's")
        parser.add_argument(
            "--personal",
            choices=PersonalFind.Decision.values,
            help="decide so about all that looks like personal data and is not decided on",
        )
        super().add_arguments(parser)

    def handle(
        self,
        *_: Any,
        task: str,
        out: Path,
        version: str,
        settled: bool,
        no_replay: bool,
        no_models: bool,
        personal: str | None,
        json: bool,
        **words: Any,
    ) -> None:
        found, folder = task_named(task), out.absolute()
        options = {name: words[name] for name in ("licence", "description", "citation", "url")}
        options |= {"waiting": not settled, "replay": not no_replay, "models": not no_models}
        try:
            version = services.checked_version(found, version)
            order = services.order_of(found, version, str(uuid.uuid4()), options)
            with tqdm(total=100, bar_format="{bar:30} {n:3.0f} %  {desc}", disable=None) as bar:

                def show(fraction: float, sentence: str) -> None:
                    bar.set_description_str(sentence, refresh=False)
                    bar.update(100 * fraction - bar.n)

                try:
                    made = make(order, folder, show)
                except PersonalData as data:
                    services.record_finds(found, data.found)
                    if personal is None:
                        raise
                    services.decide_on_finds(actor=None, task=found, decision=personal)
                    order = services.order_of(found, version, order.uid, options)
                    made = make(order, folder, show)
            release = services.record(task=found, made=made, folder=folder, options=options)
        except Refused as refused:
            raise CommandError(refused.message) from refused
        except OSError as error:
            raise CommandError(f"{error.filename or out}: {error.strerror}.") from error
        figures = made.about["figures"]
        summary = {
            "task": found.slug,
            "version": release.version,
            "folder": str(folder),
            "examples": figures["examples"],
            "votes": figures["votes"],
            "authors": figures["authors"],
            "validators": figures["validators"],
            "splits": figures["splits"],
            "left_out": made.about["left_out"],
            "changes": {n: made.about["changes"][0][n] for n in ("added", "removed", "changed")},
            "bytes": bytes_of(folder),
        }
        self.conclude(
            f"{found.slug} {release.version}: {figures['examples']:,} examples and "
            f"{figures['votes']:,} votes in {folder}; {in_words(made.about['changes'][0])}",
            summary,
            as_json=json,
        )
