"""`manage.py retrain TASK`: one retraining in the foreground, as a worker would do it."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from functools import partial
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from tqdm import tqdm

from annotate.models import Task
from core.errors import Refused
from core.outages import outage_words
from training import services
from training.heartbeat import heartbeat
from training.models import TrainingRun
from training.queries import shown_of
from training.retraining import carry_out


class Command(BaseCommand):
    help = "Train a candidate on verified foolings, test it, and promote it if it may be."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("task", help="the task's slug")
        parser.add_argument(
            "--stop", action="store_true", help="end the run that is active, wherever it is"
        )
        parser.add_argument("--json", action="store_true", help="end with a JSON summary")

    def handle(self, *, task: str, stop: bool, json: bool, **_: Any) -> None:
        found = Task.objects.select_related("config").filter(slug=task).first()
        if found is None:
            raise CommandError(f"There is no task {task}.")
        try:
            if stop:
                run = services.stop(task=found)
            else:
                run, claim = services.begin_here(task=found)
        except Refused as refused:
            raise CommandError(refused.message) from refused
        if not stop:
            run = self._carry_out(run, claim)
        self._report(run)
        if json:
            self.stdout.write(_summary(run))
        if run.status == TrainingRun.Status.FAILED:
            raise CommandError(run.reason)

    def _carry_out(self, run: TrainingRun, claim: UUID) -> TrainingRun:
        try:
            with heartbeat(partial(services.report, run, claim), str(run)), _Bar() as bar:
                return carry_out(run, claim, bar)
        except DatabaseError as error:
            raise CommandError(f"{outage_words(error)} A worker takes the run up.") from error
        except KeyboardInterrupt:
            services.fail(run, claim, reason="It was stopped at the terminal.")
            raise CommandError("Stopped: nothing was promoted.") from None

    def _report(self, run: TrainingRun) -> None:
        for trial in run.trials if len(run.trials) > 1 else ():
            told = shown_of(trial)
            self.stdout.write(
                f"  {told['recipe']}, seed {told['seed']}: clean {told['clean']:+.2f} points, new "
                f"round {told['new_round']:+.2f}; {told['failed'] or 'passes every gate'}"
            )
        for gate in run.gates:
            self.stdout.write(f"  {'passed' if gate['passed'] else 'FAILED':<7} {gate['sentence']}")
        if run.status != TrainingRun.Status.FAILED:
            self.stdout.write(run.stage)


class _Bar:
    """A progress bar on a terminal; elsewhere nothing, because the last line says it all."""

    def __enter__(self) -> _Bar:
        self._bar = tqdm(
            total=100, bar_format="{bar:30} {n:3.0f} %  {desc}", leave=False, disable=None
        )
        return self

    def __call__(self, fraction: float, sentence: str) -> None:
        self._bar.set_description_str(sentence, refresh=False)
        self._bar.update(100 * fraction - self._bar.n)

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def _summary(run: TrainingRun) -> str:
    return json.dumps(
        {
            "run": str(run.uid),
            "status": run.status,
            "parent": run.parent.name,
            "candidate": run.candidate.name if run.candidate else None,
            "snapshot": run.snapshot.sha256 if run.snapshot else None,
            "metrics": run.candidate.metrics if run.candidate else {},
            "trials": [shown_of(trial) for trial in run.trials],
            "gates": {gate["name"]: gate["passed"] for gate in run.gates},
            "reason": run.reason,
        }
    )
