"""The background worker of this server: django-tasks' worker that also picks up what was lost."""

from __future__ import annotations

import logging
import os
import threading
from argparse import ArgumentParser
from itertools import count
from time import monotonic
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError, connections
from django_tasks_db.management.commands import db_worker

from training import pulse, services, tasks
from training.files import FilesMissing, require_files
from validate.tasks import enqueue_due

logger = logging.getLogger(__name__)

LOOK_EVERY = 5.0
# Counting what waits costs 90 ms at 50,000 verified foolings, and the trigger seldom misses one.
LOOKS_PER_COUNT = 12
LOOK_FOR_NIGHT_EVERY = 600.0
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


def keep_house(done: threading.Event) -> None:
    """Look every few seconds for runs that were lost or are due, until `done`.

    Every ten minutes also for tasks whose nightly audit is due.
    """
    next_night = monotonic()
    try:
        for look in count():
            try:
                pulse.beat()
                tasks.resume_interrupted()
                if look % LOOKS_PER_COUNT == 0:
                    services.start_all_due()
                if monotonic() >= next_night:
                    next_night = monotonic() + LOOK_FOR_NIGHT_EVERY
                    enqueue_due()
            except DatabaseError:  # away for a moment: the next look finds what there is
                logger.warning("could not look for what is due", exc_info=True)
            finally:
                connections["default"].close_if_unusable_or_obsolete()
            if done.wait(LOOK_EVERY):
                return
    finally:
        connections.close_all()
