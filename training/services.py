"""Writes about training runs: begin, claim, report, conclude.

A run is carried out by whoever holds its claim. Every write of that process names the claim, so a
process that was thought dead and wakes up again finds that its writes no longer count.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any

from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.text import Truncator

from accounts.models import Event, User
from accounts.services import record_event
from annotate.models import ModelVersion, Round, Task
from annotate.queries import Target, last_target
from annotate.rounds import open_next_round, register_model, standing_rules
from core.errors import Conflict, Refused
from core.transactions import after_commit, durable
from training.gates import GateResult, passed
from training.models import TrainingRun
from training.queries import (
    an_owner_looked,
    is_trainable,
    settings_of,
    trainable_model,
    verified_foolings,
    waiting_foolings,
)
from training.signals import run_queued
from training.statements import active_run
from training.trials import tidy

# A process that carries a run out says so every few seconds (training/heartbeat.py).
STALE_AFTER = timedelta(seconds=30)
# A trial that takes its process with it would do so for ever.
KILLED_AT_MOST = 3
INTERRUPTED = "interrupted"
TIME_LEFT = " About "  # in a stage, before how long the rest takes

Origin = TrainingRun.Origin
Status = TrainingRun.Status


class Superseded(Exception):
    """Another process has taken the run up: this one has to drop it without a word."""


# --- begin ----------------------------------------------------------------------------------------
def start_if_due(task: Task) -> TrainingRun | None:
    """Queue a run when enough new foolings are verified; inside the caller's transaction.

    Two transactions may find it due at once: the database keeps one run, and the other finds none
    to start. Two that each see one fooling too few are caught up with by `start_all_due`.
    """
    if not is_trainable(task) or task.config is None:
        return None
    settings = settings_of(task)
    if settings.trigger is None or active_run(task.pk) is not None:
        return None
    if waiting_foolings(task.pk)[: settings.trigger].count() < settings.trigger:
        return None
    if _would_fail_again(task):
        return None
    target = last_target(task.pk)
    parent = trainable_model(target)
    if target is None or parent is None:
        return None
    return _begin(target, parent, Origin.TRIGGER)


def _would_fail_again(task: Task) -> bool:
    """Whether the newest run was broken off and nothing verified since: an owner decides."""
    newest = TrainingRun.objects.filter(task=task).order_by("-id").first()
    return (
        newest is not None
        and newest.status in TrainingRun.BROKEN_OFF
        and not waiting_foolings(task.pk).filter(settled_at__gt=newest.created_at).exists()
    )


def start_all_due() -> list[TrainingRun]:
    """Queue the runs of every task where one is due."""
    begun = []
    opened = Round.objects.exclude(opened_at=None).values("task")
    for task in Task.objects.filter(pk__in=opened).select_related("config"):
        with durable():
            begun.append(start_if_due(task))
    return [run for run in begun if run is not None]


def request_run(*, actor: User, task: Task) -> TrainingRun:
    """Queue a run because an owner wants one now."""
    if not task.is_owned_by(actor):
        raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
    return _begin_now(task, Origin.OWNER, requested_by=actor)


def begin_here(*, task: Task) -> tuple[TrainingRun, uuid.UUID]:
    """Begin a run that this very process carries out; returns it with its claim."""
    claim = uuid.uuid4()
    return _begin_now(task, Origin.COMMAND, claim=claim), claim


def _begin_now(task: Task, origin: str, **how: Any) -> TrainingRun:
    with durable():
        run = _begin(*_something_to_learn(task), origin, **how)
        if run is None:
            raise Conflict("already_training", f"A training run of {task.slug} is already active.")
    return run


def _something_to_learn(task: Task) -> tuple[Target, ModelVersion]:
    """The round and the model that would learn; Refused says what is missing."""
    if not is_trainable(task):
        raise Refused("not_trainable", "The models of this kind of task are not trained here.")
    target = last_target(task.pk)
    if target is None:
        raise Refused("no_open_round", f"{task.slug} had no open round yet.", status=409)
    parent = trainable_model(target)
    if parent is None:
        raise Refused(
            "no_base_data",
            "The round's model was not trained here: there is no clean data to mix in and to "
            "test with.",
            status=409,
        )
    if not verified_foolings(task.pk).exists():
        raise Refused(
            "nothing_verified", f"{task.slug} has no verified fooling to learn from.", status=409
        )
    return target, parent


def _begin(
    target: Target,
    parent: ModelVersion,
    origin: str,
    *,
    requested_by: User | None = None,
    claim: uuid.UUID | None = None,
) -> TrainingRun | None:
    """Insert the run, queued or claimed; None when another one is active."""
    task, round_ = target.task, target.round
    now = timezone.now()
    run = TrainingRun(
        task=task,
        round=round_,
        parent=parent,
        origin=origin,
        requested_by=requested_by,
        config=settings_of(task).model_dump(mode="json"),
        status=Status.RUNNING if claim else Status.QUEUED,
        stage="Starting." if claim else "Waiting for a worker.",
        claim=claim,
        started_at=now if claim else None,
        heartbeat_at=now if claim else None,
    )
    # The constraint on active runs decides between two at once, without failing the transaction
    # around it, which may be somebody's vote.
    TrainingRun.objects.bulk_create([run], ignore_conflicts=True)
    kept = TrainingRun.objects.filter(uid=run.uid).first()
    if kept is None:
        return None
    record_event(
        actor=requested_by,
        verb="began_training",
        subject=kept,
        scope=task.slug,
        data={"round": round_.number, "model": parent.name, "origin": origin},
    )
    if claim is None:
        run_queued.send(TrainingRun, run=kept)
    return kept


# --- carry out ------------------------------------------------------------------------------------
def claim_run(run_uid: uuid.UUID) -> tuple[TrainingRun, uuid.UUID] | None:
    """Take a queued run, or one whose process has fallen silent; None when it is not to be had."""
    now, claim = timezone.now(), uuid.uuid4()
    free = Q(status=Status.QUEUED) | Q(status=Status.RUNNING, heartbeat_at__lt=now - STALE_AFTER)
    taken = TrainingRun.objects.filter(free, uid=run_uid).update(
        status=Status.RUNNING,
        claim=claim,
        started_at=Coalesce("started_at", now),
        heartbeat_at=now,
        stage="Starting.",
    )
    return (TrainingRun.objects.get(uid=run_uid), claim) if taken else None


def report(run: TrainingRun, claim: uuid.UUID, **values: Any) -> None:
    """Write progress and a heartbeat in one statement; Superseded when the claim is lost."""
    written = TrainingRun.objects.filter(pk=run.pk, claim=claim, status=Status.RUNNING).update(
        heartbeat_at=timezone.now(), **values
    )
    if not written:
        raise Superseded(f"{run} was taken up by another process")


def requeue(run: TrainingRun, claim: uuid.UUID | None, *, stage: str) -> bool:
    """Let another worker take a run up that was broken off; False when the claim was lost."""
    with durable():
        return _requeue(run, claim, stage)


def _requeue(run: TrainingRun, claim: uuid.UUID | None, stage: str) -> bool:
    freed = TrainingRun.objects.filter(pk=run.pk, claim=claim, status=Status.RUNNING).update(
        status=Status.QUEUED, claim=None, stage=stage, progress=0
    )
    if freed:
        run.refresh_from_db()
        run_queued.send(TrainingRun, run=run)
    return bool(freed)


def requeue_silent_runs() -> list[TrainingRun]:
    """Queue every run again whose process was killed: it begins anew by itself."""
    silent = TrainingRun.objects.filter(
        status=Status.RUNNING, heartbeat_at__lt=timezone.now() - STALE_AFTER
    )
    return [run for run in silent if _take_up_again(run)]


def _take_up_again(run: TrainingRun) -> bool:
    """Queue a run whose process was killed, or end it if it was so too often at the same place."""
    with durable():
        stage = run.stage.partition(TIME_LEFT)[0]  # which is another one each time
        claim, data = run.claim, {"trials": len(run.trials), "stage": stage}
        killed = Event.objects.filter(
            object_type="trainingrun", object_id=str(run.pk), verb=INTERRUPTED, data=data
        )
        if killed.count() + 1 < KILLED_AT_MOST:
            if again := _requeue(run, claim, "It was interrupted and begins again."):
                record_event(
                    actor=None, verb=INTERRUPTED, subject=run, scope=run.task.slug, data=data
                )
            return again
    with suppress(Superseded):
        fail(
            run,
            claim,
            reason=f"Its process was killed {KILLED_AT_MOST} times at the same place, most likely "
            "for lack of memory: change the recipe or the machine, and retrain.",
        )
    return False


def conclude(
    run: TrainingRun, claim: uuid.UUID, *, candidate: Mapping[str, Any], gates: list[GateResult]
) -> TrainingRun:
    """Register the candidate with its verdict and promote it if it may be, in one transaction.

    `candidate` is all that its version says of itself.
    A refused candidate is kept: an owner can look at it, and promote it with a reason. So is one
    that passed while the round changed, because it was compared with a model that serves no more.
    """
    with durable():
        run = _locked(run, claim)
        task = run.task
        model = register_model(task=task, parent=run.parent, **candidate)
        run.candidate, run.metrics = model, {**run.metrics, **model.metrics}
        run.gates = [asdict(gate) for gate in gates]
        failed = [gate for gate in gates if not gate.passed]
        if not passed(gates):
            run.status, run.reason = Status.REFUSED, " ".join(gate.sentence for gate in failed)
            gate_names = ", ".join(gate.name for gate in failed)
            run.stage = Truncator(f"{model.name} did not pass: {gate_names}.").chars(200)
        elif obstacle := _obstacle(run):
            run.status, run.reason = Status.PASSED, obstacle
            run.stage = f"{model.name} passed every gate and waits for an owner."
        else:
            opened = _promote(run, model)
            run.status = Status.PROMOTED
            run.stage = f"{model.name} passed every gate and serves round {opened.number}."
        _end(run)
        # Foolings that were verified meanwhile may already be enough for the next run.
        start_if_due(task)
    return run


def _obstacle(run: TrainingRun) -> str:
    """Why a candidate that passed is not promoted by itself; empty when it is."""
    if run.config["promote"] == "by_owner":
        return "The task leaves promotion to its owner."
    if run.config["promote"] == "after_a_look" and not an_owner_looked(run.task):
        return (
            "Nobody has looked yet at what this task's model learns. Once an owner has promoted a "
            "candidate, the next ones follow by themselves."
        )
    target = last_target(run.task_id)
    if target is None or target.round.pk != run.round_id:
        return f"{run.round} was closed while it was trained."
    if target.round.closes_at or Round.objects.filter(task=run.task_id, status="draft").exists():
        return f"{run.round} has an end by the calendar: what follows it an owner opens."
    if standing_rules(run.task).opens_at:
        return "The task's file says when the next round opens: an owner opens it, or plans it."
    return ""


def _promote(run: TrainingRun, model: ModelVersion) -> Round:
    """Open the next round with the candidate in its parent's place.

    Of a closed round models may have been retired meanwhile: the parent goes anyway.
    """
    stay = run.round.targets.filter(Q(retired_at=None) | Q(pk=run.parent_id))
    targets = [model if target.pk == run.parent_id else target for target in stay]
    needed = run.round.needed
    return open_next_round(
        task=run.task,
        models=targets,
        needed=min(needed, len(targets)) if needed and len(targets) > 1 else None,
        reason=f"{model.name} passed every gate.",
    )


def fail(run: TrainingRun, claim: uuid.UUID | None, *, reason: str) -> TrainingRun:
    """End a run that an error stopped, with the sentence that an owner will read."""
    with durable():
        run = _locked(run, claim)
        run.status, run.reason = Status.FAILED, reason
        run.stage = "It stopped before its end."
        _end(run)
    return run


def stop(*, task: Task, actor: User | None = None, run_id: int | None = None) -> TrainingRun:
    """End the active run because an owner wants it no more: its process finds its claim gone.

    With `run_id` that one alone, should another be active by now."""
    with durable():
        if actor is not None and not task.is_owned_by(actor):
            raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
        run = (
            TrainingRun.objects.select_for_update(of=("self",))
            .select_related("task__config")
            .filter(task=task, status__in=TrainingRun.ACTIVE)
            .first()
        )
        if run is None or run_id not in (None, run.pk):
            raise Conflict("not_training", f"No training run of {task.slug} is active.")
        run.status, run.stage = Status.STOPPED, "It was stopped: nothing was promoted."
        run.reason = f"Stopped by {actor.public_name if actor else 'a command'}."
        _end(run)
    return run


def _locked(run: TrainingRun, claim: uuid.UUID | None) -> TrainingRun:
    locked = (
        TrainingRun.objects.select_for_update(of=("self",))
        .select_related("task__config", "round", "parent")
        .filter(pk=run.pk, claim=claim, status=Status.RUNNING)
        .first()
    )
    if locked is None:
        raise Superseded(f"{run} was taken up by another process")
    return locked


def _end(run: TrainingRun) -> None:
    run.claim, run.finished_at, run.progress = None, timezone.now(), 1.0
    run.save()
    after_commit(partial(tidy, run))
    record_event(
        actor=None,
        verb="ended_training",
        subject=run,
        scope=run.task.slug,
        data={
            "status": run.status,
            "model": run.candidate.name if run.candidate else None,
            "reason": run.reason,
        },
    )
