"""Signs of life of a run while its process is busy training."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, connections

from training.models import TrainingRun
from training.services import Superseded, report

logger = logging.getLogger(__name__)

INTERVAL = 5.0


@contextmanager
def heartbeat(run: TrainingRun, claim: uuid.UUID) -> Iterator[None]:
    """Write a heartbeat every five seconds from a thread of its own until the block ends."""
    done = threading.Event()
    thread = threading.Thread(
        target=_beat, args=(run, claim, done), name=f"heartbeat-{run.pk}", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _beat(run: TrainingRun, claim: uuid.UUID, done: threading.Event) -> None:
    try:
        while not done.wait(INTERVAL):
            try:
                report(run, claim)
            except DatabaseError:  # busy or away for a moment: the next beat tells
                logger.warning("a heartbeat of %s was not written", run, exc_info=True)
            finally:
                connections["default"].close_if_unusable_or_obsolete()
    except Superseded:
        return  # the main thread finds out with its next report
    finally:
        connections.close_all()
