"""Counts what the apps announce anyway, so that they need not know of it."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver
from django_tasks import TaskResult
from django_tasks.signals import task_finished

from annotate.facts import Receiver
from annotate.models import Example
from core.metrics import DECISIONS, JOB_SECONDS
from core.transactions import after_commit


class Decisions(Receiver):
    def changed(self, before: Example, example: Example) -> None:
        """Count an example that was open until this transaction, once that has committed."""
        if before.status == Example.Status.OPEN != example.status:
            after_commit(DECISIONS.labels(example.status).inc)


@receiver(task_finished)
def time_job(task_result: TaskResult[Any], **_: Any) -> None:
    """In the background worker, whose figures any web process of the machine can tell."""
    if task_result.started_at and task_result.finished_at:
        seconds = (task_result.finished_at - task_result.started_at).total_seconds()
        JOB_SECONDS.labels(task_result.task.name, task_result.status.lower()).observe(seconds)
