"""`manage.py bootstrap`: load the task library, train its base models, create the first admin."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from annotate.models import ModelVersion, Task
from dadc_server import bootstrap


class Command(BaseCommand):
    help = "Load the task library, train its base models and create the first admin, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--digits-base",
            default="sklearn",
            metavar="sklearn|mnist|DIR",
            help="clean digits: scikit-learn's, MNIST from OpenML, or a folder of IDX files",
        )
        parser.add_argument("--json", action="store_true", help="end with a JSON summary")

    def handle(self, *, digits_base: str, json: bool, **_: Any) -> None:
        try:
            bootstrap.check_base(digits_base)
        except bootstrap.BadBase as error:
            raise CommandError(str(error)) from error
        with bootstrap.only_one():
            library = bootstrap.load_library()
            new = [task.slug for task, is_new in library if is_new]
            self._say("tasks", f"{', '.join(new)} loaded" if new else "up to date")
            models = [self._model(task, digits_base) for task, _ in library]
            login = bootstrap.create_first_admin()
        if login is not None:
            self._say("first login", f"name {login.username}   password {login.password}")
            self._say("", "(shown this once: sign in and change it)")
        if json:
            self._summarise(library, [model for model in models if model], login)

    def _model(self, task: Task, source: str) -> ModelVersion | None:
        """The task's newest model, trained now when it has none."""
        if not bootstrap.lacks_base_model(task):
            return task.models.order_by("-number").first()
        began = time.perf_counter()
        try:
            images = bootstrap.load_base(source)
        except bootstrap.BadBase as error:
            raise CommandError(str(error)) from error
        self._say("base model", f"training on {len(images):,} images ({images.source})")
        with tqdm(
            total=100,
            bar_format="  {desc:<40} {bar:30} {n:.0f} %",
            leave=False,
            disable=None,
        ) as bar:

            def show(fraction: float, sentence: str) -> None:
                bar.set_description_str(sentence, refresh=False)
                bar.update(100 * fraction - bar.n)
                if bar.disable:  # not a terminal: a log wants lines
                    self._say("", f"{sentence} ({100 * fraction:.0f} %)")

            model = bootstrap.train_base_model(task, images, show)
        accuracy = model.metrics["clean"]["accuracy"]
        self._say(
            "base model",
            f"{model.name} reads {accuracy:.1%} of the held-out digits "
            f"({time.perf_counter() - began:.0f} s)",
        )
        return model

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
