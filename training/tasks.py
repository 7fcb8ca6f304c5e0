"""Jobs of the background worker, and how a run that lost its job or its worker gets another."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import Max, Q, QuerySet
from django.dispatch import receiver
from django.utils import timezone
from django_tasks import TaskResultStatus, task
from django_tasks_db.models import DBTaskResult

from accounts.models import Event, User
from accounts.services import record_event
from annotate.models import ModelVersion, Task
from annotate.registry import model_registered
from core import request_ids
from core.outages import is_outage
from core.request_ids import carry_on
from core.transactions import durable
from training import generated as made_up
from training import judges, regions, services
from training.evaluations import costs_nobody, evaluate_models
from training.heartbeat import heartbeat
from training.models import Discovery, TrainingRun
from training.retraining import carry_out
from training.signals import run_queued
from validate.models import Judge

logger = logging.getLogger(__name__)

# A job row commits with its run, so that a queued run without one has waited for longer than this.
JOB_MISSING_AFTER = timedelta(seconds=10)


@task()
def run_training(run_uid: str, request_id: str = "") -> str:
    """Carry out a queued run; returns how it ended. A run that is not to be had is left alone.

    `request_id` names the request that set it off, in what is logged here.
    """
    with carry_on(request_id):
        ended = _run(UUID(run_uid))
        logger.info("run %s: %s", run_uid, ended)
    return ended


def _run(uid: UUID) -> str:
    claimed = services.claim_run(uid)
    if claimed is None:
        return "not to be had"
    run, claim = claimed
    try:
        with heartbeat(partial(services.report, run, claim), str(run)):
            return carry_out(run, claim).status
    except BaseException as error:
        # The worker is told to stop at once, or its connection is gone: the next one takes it up.
        if is_outage(error):
            connections["default"].close()
        services.requeue(run, claim, stage="It was broken off: waiting for a worker.")
        raise


@receiver(run_queued)
def enqueue(run: TrainingRun, **_: Any) -> None:
    """Add the job in the transaction that queues the run."""
    run_training.enqueue(str(run.uid), request_id=request_ids.current())


@task()
def run_evaluation(slug: str, request_id: str = "") -> dict[str, Any]:
    """Evaluate a task's models; what it came to."""
    beat = partial(_say_that_it_runs, slug, run_evaluation.module_path)
    beat()
    with carry_on(request_id), heartbeat(beat, slug):
        asked = Task.objects.select_related("config").get(slug=slug)
        last = asked.models.aggregate(last=Max("pk"))["last"] or 0
        outcome = evaluate_models(task=asked)
        logger.info("models of %s: %s", slug, outcome.summary())
    if asked.models.filter(pk__gt=last).exists() and costs_nobody(asked):  # came meanwhile
        run_evaluation.enqueue(slug, request_id=request_id)
    return outcome.summary()


@receiver(model_registered)
def evaluate_what_came(model: ModelVersion, actor: User | None, **_: Any) -> None:
    """Score what an owner registers, in its transaction; not what commands and a start bring."""
    if actor is not None and costs_nobody(model.task):
        ask_for_evaluation(model.task)


def ask_for_evaluation(task: Task) -> bool:
    """Give the worker an evaluation to do, unless one waits or runs."""
    if is_evaluating(task):
        return False
    run_evaluation.enqueue(task.slug, request_id=request_ids.current())
    return True


def is_evaluating(task: Task) -> bool:
    """Whether an evaluation of this task waits or runs; one query."""
    return _is_under_way(run_evaluation.module_path, task)


@task()
def run_judges(slug: str, request_id: str = "") -> dict[str, int | str]:
    """Let each judge of a task answer what it has not; of each how many, or why it could not."""
    beat = partial(_say_that_it_runs, slug, run_judges.module_path)
    beat()
    done: dict[str, int | str] = {}
    with carry_on(request_id), heartbeat(beat, slug):
        for judge in Judge.objects.filter(task__slug=slug).select_related("model__task", "task"):
            try:
                done[judge.model.name] = judges.ask(judge)
            except Exception as error:
                logger.warning("%s could not judge", judge.model, exc_info=True)
                done[judge.model.name] = str(error)
    return done


def ask_judges(task: Task) -> bool:
    """Give the worker the judges of a task to ask, unless that waits or runs."""
    if is_judging(task):
        return False
    run_judges.enqueue(task.slug, request_id=request_ids.current())
    return True


def is_judging(task: Task) -> bool:
    """Whether its judges are asked, or wait to be; one query."""
    return _is_under_way(run_judges.module_path, task)


def ask_admitted_judges() -> None:
    """Watch each admitted judge, and let those that stay so see what came since."""
    admitted = Judge.objects.filter(standing=Judge.Standing.ADMITTED)
    for judge in admitted.select_related("task", "model__task"):
        # Also one that nobody can ask: people may settle by and by what it has judged long ago.
        if not judges.watch(judge) and not judges.why_not(judge.model) and judges.unasked(judge):
            ask_judges(judge.task)


def _is_under_way(path: str, task: Task) -> bool:
    waits_or_runs = [TaskResultStatus.READY, TaskResultStatus.RUNNING]
    return _jobs(path, *waits_or_runs).filter(args_kwargs__args__0=task.slug).exists()


def _jobs(path: str, *statuses: TaskResultStatus) -> QuerySet[DBTaskResult]:
    return DBTaskResult.objects.filter(status__in=statuses, task_path=path)


def _say_that_it_runs(slug: str, path: str) -> None:
    """In `run_after`, which nobody reads of a job that has begun."""
    running = _jobs(path, TaskResultStatus.RUNNING).filter(args_kwargs__args__0=slug)
    running.update(run_after=timezone.now())


def end_silent_evaluations() -> int:
    """Let what was killed be over: what was answered is kept, and an owner may start another.

    It does not begin anew by itself: a model that takes its worker with it would do so for ever.
    """
    now = timezone.now()
    silent = Q(run_after__lt=now - services.STALE_AFTER)
    silent |= Q(run_after__gt=now, started_at__lt=now - services.STALE_AFTER)  # never told
    return sum(
        _jobs(path, TaskResultStatus.RUNNING)
        .filter(silent)
        .update(status=TaskResultStatus.FAILED, finished_at=now)
        for path in (run_evaluation.module_path, run_judges.module_path)
    )


@task()
def run_discovery(uid: str, request_id: str = "") -> str:
    """Look for regions as somebody asked; how it ended. What has its end already is left alone."""
    with carry_on(request_id):
        discovery = Discovery.objects.select_related("task__config", "model").get(uid=UUID(uid))
        look = made_up if discovery.generated else regions
        ended = look.carry_out(discovery).status
        logger.info("%s: %s", discovery, ended)
    return ended


def ask_for_regions(
    *, actor: User, task: Task, model: ModelVersion, generated: bool = False
) -> None:
    """Give the worker a look for regions to do; Conflict while one of the task waits or runs.

    Should the job be lost on the way, `resume_interrupted` finds it missing.
    """
    # What is made up again is made by another seed.
    seed = task.discoveries.filter(model=model, generated=True).count() if generated else 0
    discovery = regions.begin(task=task, model=model, seed=seed, generated=generated, actor=actor)
    run_discovery.enqueue(str(discovery.uid), request_id=request_ids.current())


def _resume_discoveries() -> None:
    since = timezone.now() - regions.SILENT_AFTER
    silent = Discovery.objects.filter(status__in=Discovery.ACTIVE, heartbeat_at__lt=since)
    for discovery in silent.select_related("task"):
        if not _waits(run_discovery.module_path, discovery.uid) and _may_begin_again(discovery):
            logger.warning("%s were not found yet: they are looked for again", discovery)
            run_discovery.enqueue(str(discovery.uid))


def _may_begin_again(discovery: Discovery) -> bool:
    """Whether its process was not killed too often; counts this time, and ends it if so."""
    if discovery.status != Discovery.Status.RUNNING:  # its job was lost
        return True
    verb = services.INTERRUPTED
    killed = Event.objects.filter(
        object_type="discovery", object_id=str(discovery.pk), verb=verb
    ).count()
    if killed + 1 >= services.KILLED_AT_MOST:
        regions.stop(
            discovery,
            f"Its process was killed {services.KILLED_AT_MOST} times, most likely for lack of "
            "memory: look for them on another machine.",
        )
        return False
    with durable():
        # Whoever takes it up has as long again until it tells how far it is.
        Discovery.objects.filter(pk=discovery.pk).update(heartbeat_at=timezone.now())
        record_event(actor=None, verb=verb, subject=discovery, scope=discovery.task.slug)
    return True


def resume_interrupted() -> list[TrainingRun]:
    """Give a new job to every run whose worker was killed, or whose job was lost with it."""
    resumed = services.requeue_silent_runs()
    lost = TrainingRun.objects.filter(
        status=TrainingRun.Status.QUEUED, created_at__lt=timezone.now() - JOB_MISSING_AFTER
    ).exclude(pk__in=[run.pk for run in resumed])
    for run in lost:
        if not _waits(run_training.module_path, run.uid):
            enqueue(run)
            resumed.append(run)
    for run in resumed:
        logger.warning("%s was interrupted and begins again", run)
    _resume_discoveries()
    return resumed


def _waits(path: str, uid: UUID) -> bool:
    """Whether there is a job for it that nobody has taken yet."""
    return DBTaskResult.objects.filter(
        status=TaskResultStatus.READY, task_path=path, args_kwargs__args__0=str(uid)
    ).exists()
