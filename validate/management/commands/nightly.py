"""`manage.py nightly`: what the worker does once a night, for a cron job or by hand."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from annotate.command_line import SummaryCommand
from annotate.models import Task
from validate.nightly import claim_due, look_over


class Command(SummaryCommand):
    help = "Prove reliabilities, follow up quarantines and audit votes, once a night for each task."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--now", action="store_true", help="every task, due or not")
        super().add_arguments(parser)

    def handle(self, *_: Any, now: bool, json: bool, **__: Any) -> None:
        tasks = Task.objects.exclude(config=None).order_by("pk") if now else claim_due()
        done = {}
        for task in tasks:
            night = look_over(task)
            differ = len(night.audit.disagreements) if night.audit else 0
            self.stdout.write(f"{task.slug}: {night.corrected} corrected, {differ} differ.")
            done[task.slug] = {
                "corrected": night.corrected,
                "quarantines": night.quarantines,
                "ties": night.ties,
                "disagreements": differ,
            }
        self.conclude(f"{len(done)} tasks looked over.", {"tasks": done}, as_json=json)
