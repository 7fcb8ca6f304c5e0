"""`manage.py train_model TASK DIR`: a first model from clean data, tried and registered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from annotate.command_line import SummaryCommand, task_named
from annotate.registry import take
from core.errors import Refused
from dadc_server.bootstrap import make_base_model
from ml.artifacts import ArtifactError
from ml.learners import NAMES, BadSource, learner_named, learners_of


class Command(SummaryCommand):
    help = "Train a first model of a task from a folder of clean data, and register it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", help="the task's slug")
        parser.add_argument("folder", type=Path, help="as the learner takes it (docs/models.md)")
        parser.add_argument(
            "--learner", choices=NAMES, help="which one, where several learn such inputs"
        )
        parser.add_argument("--name", help="of the model; else made from the task's slug")
        parser.add_argument(
            "--labels",
            nargs="+",
            default=[],
            metavar="DATA=TASK",
            help="what the data call the task's labels, as in 0=negative 1=positive",
        )
        parser.add_argument(
            "--open-round", action="store_true", help="open the next round against it"
        )
        super().add_arguments(parser)

    def handle(
        self,
        *_: Any,
        task: str,
        folder: Path,
        learner: str | None,
        name: str | None,
        labels: list[str],
        open_round: bool,
        json: bool,
        **__: Any,
    ) -> None:
        found = task_named(task)
        assert found.config is not None
        learners = learners_of(found.input_kind)
        if not learners:
            raise CommandError(f"Nothing here learns the inputs of {task}: register a model.")
        chosen = learner_named(learner) if learner else learners[0]
        if chosen not in learners:
            raise CommandError(f"{learner} does not learn the inputs of {task}.")
        if any("=" not in pair for pair in labels):
            raise CommandError("Write labels as DATA=TASK, such as 0=negative.")
        with tqdm(total=100, bar_format="  {desc:<40} {bar:30} {n:.0f} %", disable=None) as bar:

            def show(fraction: float, sentence: str) -> None:
                bar.set_description_str(sentence, refresh=False)
                bar.update(100 * fraction - bar.n)

            try:
                made = make_base_model(
                    chosen,
                    str(folder),
                    found.config.file.label_values,
                    Path(settings.ARTIFACT_DIR),
                    show,
                    dict(pair.split("=", 1) for pair in labels),
                )
                done = take(task=found, made=made, name=name, open_round=open_round)
            except (ArtifactError, BadSource, Refused) as error:
                raise CommandError(str(error)) from error
        clean = made["metrics"]["clean"]
        right = (
            "" if clean["accuracy"] is None else f", {clean['accuracy']:.1%} right on clean data"
        )
        self.conclude(
            f"{task}: registered {done.model.name} as number {done.model.number}{right}.",
            {**done.summary(), "clean": clean},
            as_json=json,
        )
