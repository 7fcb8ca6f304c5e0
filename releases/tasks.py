"""Jobs of the background worker: make a release, and give one that was interrupted another job."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connections
from django.dispatch import receiver
from django.utils import timezone
from django_tasks import TaskResultStatus, task
from django_tasks_db.models import DBTaskResult

from core import request_ids
from core.request_ids import carry_on
from releases import services
from releases.models import Release
from releases.orders import Progress
from releases.services import Superseded, release_queued

logger = logging.getLogger(__name__)

INTERVAL = 2.0
JOB_MISSING_AFTER = timedelta(seconds=10)


@task()
def make_release(uid: str, request_id: str = "") -> str:
    """Make a queued release; returns how it ended. One that is not to be had is left alone."""
    with carry_on(request_id):
        claimed = services.claim(UUID(uid))
        if claimed is None:
            return "not to be had"
        release, mine = claimed
        try:
            with told(release, mine) as progress:
                return services.carry_out(release, mine, progress).status
        except Superseded:
            return "taken up by another"
        except Exception:
            logger.exception("release %s failed", uid)
            services.fail(release, mine, "It stopped by an error: the server's log has it.")
            return Release.Status.FAILED
        except BaseException:
            services.requeue(release, mine)  # the worker is told to stop at once
            raise


@contextmanager
def told(release: Release, mine: UUID) -> Iterator[Progress]:
    """Write the last progress every two seconds from a thread and a connection of its own.

    The one at work reads all along, and on SQLite cannot write meanwhile.
    """
    done, last = threading.Event(), {"progress": 0.0, "stage": "Starting."}

    def beat() -> None:
        try:
            while not done.wait(INTERVAL):
                try:
                    services.report(release, mine, **last)
                except DatabaseError:  # busy or away for a moment: the next beat tells
                    logger.warning("a heartbeat of %s was not written", release, exc_info=True)
                finally:
                    connections["default"].close_if_unusable_or_obsolete()
        except Superseded:
            return
        finally:
            connections.close_all()

    thread = threading.Thread(target=beat, name=f"release-{release.pk}", daemon=True)
    thread.start()
    try:
        yield lambda fraction, stage: last.update(progress=fraction, stage=stage)
    finally:
        done.set()
        thread.join()


@receiver(release_queued)
def enqueue(release: Release, **_: Any) -> None:
    """Add the job in the transaction that queues the release."""
    make_release.enqueue(str(release.uid), request_id=request_ids.current())


def resume_interrupted() -> None:
    """Give a new job to every release whose worker was killed, or whose job was lost."""
    for release in services.silent():
        if services.requeue(release, release.claim):
            logger.warning("%s was interrupted and begins again", release)
    lost = Release.objects.filter(
        status=Release.Status.QUEUED, created_at__lt=timezone.now() - JOB_MISSING_AFTER
    )
    for release in lost:
        jobs = DBTaskResult.objects.filter(
            status=TaskResultStatus.READY,
            task_path=make_release.module_path,
            args_kwargs__args__0=str(release.uid),
        )
        if not jobs.exists():
            enqueue(release)
