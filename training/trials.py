"""The recipes that a run tried beside each other: which are kept, and how an owner chooses one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from accounts.models import User
from accounts.services import record_event
from annotate.models import ModelVersion, Task
from annotate.rounds import register_model
from core.errors import Conflict, Refused
from core.transactions import durable
from ml import artifacts, store
from training.models import TrainingRun
from training.statements import active_run

UNANSWERED: Final = ("unanswered", "unanswered_clean")


def candidate_of(trial: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """All that the version of a trial says of itself; of another trial's `provenance` what is that
    one's alone is taken out."""
    data = dict(provenance["data"])
    left_out = {why: names for why, names in data.pop("left_out", {}).items() if names}
    for why in UNANSWERED:
        left_out.pop(why, None)
    left_out |= {why: names for why, names in trial.get("unanswered", {}).items() if names}
    count = sum(map(len, left_out.values()))
    data["generated"] = trial.get("generated", 0)
    told = {name: value for name, value in {**data, "left_out": left_out}.items() if value}
    return {
        **trial["made"],
        "provenance": {**provenance, "data": told},
        "metrics": trial["figures"] | ({"left_out": count} if count else {}),
    }


def choose_trial(*, task: Task, actor: User, run_id: int, number: int | None) -> TrainingRun:
    """Register a recipe that passed its gates but gained less, because an owner wants that one.

    It is the candidate of a run of its own, with the data and the trials of the first: so whatever
    asks what a model learned finds it. Files of such recipes are kept until the next run ends.
    """
    with durable():
        if not task.is_owned_by(actor):
            raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
        Task.objects.select_for_update(no_key=True).get(pk=task.pk)  # two may choose the same
        # In this order: one that ends between is the newest, and the files of others go.
        active, run = active_run(task.pk), newest_concluded(task)
        if run is None or run.pk != run_id or active is not None:
            raise Conflict("not_newest", "Recipes of the newest run alone can still be chosen.")
        trial = run.trials[number] if number is not None and number < len(run.trials) else None
        if trial is None or trial["made"]["artifact"] not in choosable(run):
            raise Conflict("not_choosable", "This recipe did not pass, or is registered already.")
        assert run.candidate is not None
        model = register_model(
            task=task,
            parent=run.parent,
            actor=actor,
            **candidate_of(trial, run.candidate.provenance),
        )
        now = timezone.now()
        chosen = TrainingRun.objects.create(
            task=task,
            round=run.round,
            parent=run.parent,
            candidate=model,
            snapshot=run.snapshot,
            status=TrainingRun.Status.PASSED,
            origin=TrainingRun.Origin.OWNER,
            requested_by=actor,
            config=run.config,
            metrics={**run.metrics, "left_out": 0, **model.metrics},
            gates=trial["gates"],
            trials=run.trials,
            progress=1.0,
            stage=f"{model.name} passed every gate and waits for an owner.",
            reason=f"Its recipe was chosen by {actor.public_name}.",
            started_at=now,
            finished_at=now,
        )
        data = {"status": chosen.status, "model": model.name, "reason": chosen.reason}
        record_event(actor=actor, verb="ended_training", subject=chosen, scope=task.slug, data=data)
    return chosen


def newest_concluded(task: Task) -> TrainingRun | None:
    """The newest run that came to a verdict: recipes of it that passed can still be chosen."""
    ended = TrainingRun.objects.filter(task=task, status__in=TrainingRun.CONCLUDED)
    return ended.select_related("candidate", "parent", "round").order_by("-id").first()


def choosable(run: TrainingRun) -> set[str]:
    """The files of its recipes that passed every gate, are there, and are no model's yet."""
    files = _passed(run)
    taken = ModelVersion.objects.filter(artifact__in=files).values_list("artifact", flat=True)
    folder = Path(settings.ARTIFACT_DIR)
    return {name for name in files.difference(taken) if store.has(folder / name)}


def tidy(run: TrainingRun, *, late: bool = False) -> None:
    """Leave no checkpoint of a run that has ended, and no file of a trial that lost, but those that
    an owner may still choose.

    The same data and seed make a file of the same name: what an active run has made is left to it.
    So is, by a process that finds its claim gone `late`, what such a run may be about to tell of.
    """
    if run.status in TrainingRun.ACTIVE:  # whoever took it up goes on with them
        return
    folder = Path(settings.ARTIFACT_DIR)
    made = set() if late else _made(run)
    if (newest := newest_concluded(run.task)) is not None:
        earlier = TrainingRun.objects.filter(task=run.task, status__in=TrainingRun.CONCLUDED)
        before = earlier.exclude(pk=newest.pk).order_by("-id").first()
        made = (made | (_made(before) if before else set())) - _passed(newest)
    for other in TrainingRun.objects.filter(status__in=TrainingRun.ACTIVE):
        made -= _made(other)
    used = ModelVersion.objects.filter(artifact__in=made).values_list("artifact", flat=True)
    parts = [path.name for path in folder.glob(f"{run.uid}-*.part")]
    for name in [*made.difference(used), *parts]:
        artifacts.forget(folder / name)


def _made(run: TrainingRun) -> set[str]:
    return {trial["made"]["artifact"] for trial in run.trials}


def _passed(run: TrainingRun) -> set[str]:
    return {
        trial["made"]["artifact"]
        for trial in run.trials
        if all(gate["passed"] for gate in trial["gates"])
    }
