"""The background worker of this server: django-tasks' worker that also picks up what was lost."""

from __future__ import annotations

import os
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django_tasks_db.management.commands import db_worker

from dadc_server.jobs.housekeeping import keep_house
from training.files import FilesMissing, require_files

# Live predictions of the same machine go first.
NICENESS = 10


class Command(db_worker.Command):
    help = "Carry out background jobs. Training runs whose worker was killed begin again here."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(queue_name="*", interval=0.5, startup_delay=False, reload=False)

    def configure_logging(self, verbosity: int) -> None:
        """Leave the loggers as the settings have them."""

    def handle(self, **options: Any) -> None:
        try:
            require_files()
        except FilesMissing as missing:
            raise CommandError(str(missing)) from missing
        os.nice(NICENESS)
        done = threading.Event()
        housekeeper = threading.Thread(target=keep_house, args=(done,), daemon=True)
        housekeeper.start()
        try:
            super().handle(**options)
        finally:
            done.set()
            housekeeper.join()
