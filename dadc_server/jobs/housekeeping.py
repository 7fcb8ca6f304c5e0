"""What the worker looks after besides its jobs: that it is there, what was lost, what is due."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from itertools import count
from time import monotonic

from django.db import DatabaseError, connections
from django.utils import timezone

from annotate.chats import forget_abandoned
from annotate.schedule import follow_the_clock
from core.outages import is_outage
from crowd import tasks as crowd
from crowd.services import look_after
from releases import tasks as releases
from releases.services import follow_withdrawals
from training import services, tasks
from training.models import WorkerPulse
from validate.tasks import enqueue_due

logger = logging.getLogger(__name__)

LOOK_EVERY = 5.0
# Counting what waits costs 90 ms at 50,000 verified foolings, and the trigger seldom misses one.
LOOKS_PER_COUNT = 12
LOOK_FOR_NIGHT_EVERY = 600.0


def beat() -> None:
    """Say that a worker is there; workers of all hosts write the same row."""
    WorkerPulse.objects.update_or_create(pk=1, defaults={"beat_at": timezone.now()})


def seconds_since_beat() -> float | None:
    """How long ago any worker was there; None when there was none yet."""
    at = WorkerPulse.objects.filter(pk=1).values_list("beat_at", flat=True).first()
    return max(0.0, (timezone.now() - at).total_seconds()) if at else None


Chore = Callable[[], object]

EACH_LOOK: list[Chore] = [
    beat,
    follow_the_clock,
    tasks.resume_interrupted,
    tasks.end_silent_evaluations,
    releases.resume_interrupted,
]
EACH_MINUTE: list[Chore] = [services.start_all_due, look_after]
SELDOM: list[Chore] = [
    enqueue_due,
    tasks.ask_admitted_judges,
    follow_withdrawals,
    crowd.enqueue_due,
    forget_abandoned,
]


def _do(chore: Chore) -> bool:
    """One chore's mistake keeps neither the others nor the next look; whether to go on with these.

    Not where the database cannot be reached: each would wait five seconds for it.
    """
    database, outage = connections["default"], False
    try:
        chore()
    except DatabaseError as error:  # away for a moment: the next look finds what there is
        outage = is_outage(error)
        logger.warning("could not look for what is due", exc_info=True)
    except Exception:
        logger.exception("%s failed", chore.__qualname__)
    finally:
        database.close_if_unusable_or_obsolete()
    return not outage or database.connection is not None


def keep_house(done: threading.Event) -> None:
    """Look every few seconds for rounds and runs that are due or were lost, until `done`.

    Every ten minutes also for tasks whose nightly audit is due, for what admitted judges have not
    seen and how they do, for releases that hold what was withdrawn since, and for chats that nobody
    submits.
    """
    next_night = monotonic()
    try:
        for look in count():
            chores = [*EACH_LOOK]
            if look % LOOKS_PER_COUNT == 0:
                chores += EACH_MINUTE
            if monotonic() >= next_night:
                next_night = monotonic() + LOOK_FOR_NIGHT_EVERY
                chores += SELDOM
            for chore in chores:
                if done.is_set() or not _do(chore):
                    break
            if done.wait(LOOK_EVERY):
                return
    finally:
        connections.close_all()
