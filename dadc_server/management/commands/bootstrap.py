"""`manage.py bootstrap`: load the task library and its base models, create the first admin."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from annotate.models import ModelVersion, Task
from dadc_server import bootstrap
from ml.learners import BadSource, Progress

DIGITS = "digits"  # the task of the option --digits-base


class Command(BaseCommand):
    help = "Load the task library with its base models and create the first admin, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--digits-base",
            default="",
            metavar="sklearn|mnist|DIR",
            help="train the digits task's first model here, instead of taking the library's: on "
            "scikit-learn's digits, MNIST from OpenML, or a folder of IDX files",
        )
        parser.add_argument(
            "--remake",
            action="store_true",
            help="only make the library's base models anew, in this folder of the program",
        )
        parser.add_argument("--json", action="store_true", help="end with a JSON summary")

    def handle(self, *, digits_base: str, remake: bool, json: bool, **_: Any) -> None:
        try:
            if digits_base:
                bootstrap.check_source(digits_base)
            if remake:
                self._remake(json)
            else:
                self._bootstrap(digits_base, json)
        except BadSource as error:
            raise CommandError(str(error)) from error

    def _bootstrap(self, digits_base: str, as_json: bool) -> None:
        with bootstrap.only_one():
            library = bootstrap.load_library()
            new = [task.slug for task, is_new in library if is_new]
            self._say("tasks", f"{', '.join(new)} loaded" if new else "up to date")
            models = [self._model(task, digits_base) for task, _ in library]
            login = bootstrap.create_first_admin()
        if login is not None:
            self._say("first login", f"name {login.username}   password {login.password}")
            self._say("", "(shown this once: sign in and change it)")
        if as_json:
            self._summarise(library, [model for model in models if model], login)

    def _model(self, task: Task, source: str) -> ModelVersion | None:
        """The task's newest model, registered now when it has none."""
        if not bootstrap.lacks_base_model(task):
            return task.models.order_by("-number").first()
        if source and task.slug == DIGITS:
            with self._progress() as show:
                model = bootstrap.train_base_model(task, source, show)
        else:
            model = bootstrap.register_base_model(task)
        self._say("base model", f"{model.name}{_read_share(model.metrics)}")
        return model

    def _remake(self, as_json: bool) -> None:
        summary = {}
        with self._progress() as show:
            for slug, same, made in bootstrap.remake_all(show):
                which = "the same bytes" if same else "other bytes than before, now in its place"
                self._say(slug, f"{which}{_read_share(made['metrics'])}")
                summary[slug] = {"same": same, "sha256": made["sha256"]}
        if as_json:
            self.stdout.write(json.dumps({"remade": summary}))

    @contextmanager
    def _progress(self) -> Iterator[Progress]:
        """A bar on a terminal, lines in a log."""
        with tqdm(
            total=100,
            bar_format="  {desc:<40} {bar:30} {n:.0f} %",
            leave=False,
            disable=None,
        ) as bar:

            def show(fraction: float, sentence: str) -> None:
                bar.set_description_str(sentence, refresh=False)
                bar.update(100 * fraction - bar.n)
                if bar.disable:
                    self._say("", f"{sentence} ({100 * fraction:.0f} %)")

            yield show

    def _summarise(
        self,
        library: list[tuple[Task, bool]],
        models: list[ModelVersion],
        login: bootstrap.Login | None,
    ) -> None:
        summary = {
            "tasks": [{"slug": task.slug, "new": new} for task, new in library],
            "models": [{"name": model.name, "sha256": model.sha256} for model in models],
            "admin": {"username": login.username, "password": login.password} if login else None,
        }
        self.stdout.write(json.dumps(summary))

    def _say(self, step: str, report: str) -> None:
        self.stdout.write(f"  {step:<14} {report}")
        sys.stdout.flush()


def _read_share(metrics: dict[str, Any]) -> str:
    accuracy = metrics.get("clean", {}).get("accuracy")
    return "" if accuracy is None else f" reads {accuracy:.1%} of the held-out items"
