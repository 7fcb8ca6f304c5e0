"""The owner's page: what the model learned, what it learns now, and which model serves."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.caller import person
from annotate.models import Example, ModelVersion, Round, Task
from annotate.owners import owned_task_or_404
from annotate.queries import Target, last_target, open_target
from annotate.rounds import change_target, standing_rules
from core.errors import Refused
from kinds.answers import in_words
from scoring.queries import Rate, wilson_rate
from training import services
from training.models import TrainingRun
from training.queries import (
    is_trainable,
    sample_of_learned,
    settings_of,
    trainable_model,
    waiting_foolings,
)
from training.round_views import RulesForm
from training.run_board import trials_of
from training.statements import active_run

NO_CONTENT = 204
RUNS_SHOWN = 20
MODELS_SHOWN = 50
LONGEST_NUMBER = 4  # digits of how many


@require_safe
@never_cache
def training_page(request: HttpRequest, slug: str) -> HttpResponse:
    """The whole page."""
    task = owned_task_or_404(request, slug)
    target = open_target(task.pk)
    context = _state(task, target) | _history(task, target)
    return render(request, "training/training.html", context)


@require_safe
@never_cache
def live_part(request: HttpRequest, slug: str) -> HttpResponse:
    """What changes while the page is open; 204 when it is what the page shows already.

    The history comes along only when a run ended or a round began, so that an open table of gates
    stays open while a run goes on.
    """
    task = owned_task_or_404(request, slug)
    target = open_target(task.pk)
    state = _state(task, target)
    if request.GET.get("seen") == state["version"]:
        return HttpResponse(status=NO_CONTENT)
    if request.GET.get("history") != state["history_version"]:
        state |= _history(task, target)
    return render(request, "training/live_answer.html", state)


@require_POST
def start(request: HttpRequest, slug: str) -> HttpResponse:
    """Retrain now."""
    task = owned_task_or_404(request, slug)
    try:
        services.request_run(actor=person(request), task=task)
    except Refused as refused:
        messages.error(request, refused.message)
    return redirect("training", slug=slug)


@require_POST
def stop(request: HttpRequest, slug: str) -> HttpResponse:
    """End the run that is active."""
    task = owned_task_or_404(request, slug)
    try:
        services.stop(task=task, actor=person(request))
    except Refused as refused:
        messages.error(request, refused.message)
    return redirect("training", slug=slug)


@require_http_methods(["GET", "HEAD", "POST"])
def serve(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Ask for a reason, then let this model serve the next round: a promotion or a roll-back."""
    task = owned_task_or_404(request, slug)
    model = get_object_or_404(
        task.models.exclude(backend="").filter(retired_at=None), number=number
    )
    reason, complaint = request.POST.get("reason", ""), ""
    form = RulesForm.of(standing_rules(task))
    if request.method == "POST":
        chosen = "retraction" in request.POST  # the page's own form has it always
        form = RulesForm(request.POST) if chosen else form
        try:
            opened = change_target(
                actor=person(request),
                task=task,
                model=model,
                reason=reason,
                beside=request.POST.get("meets", "") in ("one", "all"),
                needed=_needed(request.POST),
                rules=form.rules if chosen else None,
            )
        except Refused as refused:
            complaint = refused.message
        else:
            when = "is open" if opened.status == opened.Status.OPEN else "is scheduled"
            messages.success(request, f"Round {opened.number} {when} with {model.name}.")
            return redirect("training", slug=slug)
    target = open_target(task.pk)
    run = TrainingRun.objects.filter(candidate=model).select_related("parent").first()
    counts = range(1, (len(target.models) if target else 0) + 2)
    context = {
        "task": task,
        "model": model,
        "run": run,
        "sample": [looked_at(item.example, item.label) for item in sample_of_learned(run)]
        if run
        else [],
        "target": target,
        "form": form,
        "rolls_back": _rolls_back(model, target.models if target else ()),
        "reason": reason,
        "complaint": complaint,
        "meets": request.POST.get("meets", ""),
        "counts": counts,
        "needed": _needed(request.POST) or max(counts),
    }
    return render(request, "training/serve.html", context, status=400 if complaint else 200)


def _needed(sent: QueryDict) -> int | None:
    """How many of all must be fooled; one that is no number is refused as too few."""
    if sent.get("meets") != "all":
        return None
    given = sent.get("needed", "")
    return int(given) if given.isdecimal() and len(given) < LONGEST_NUMBER else 0


def _state(task: Task, target: Target | None) -> dict[str, Any]:
    """What the live part shows, with a version that is another whenever it looks different."""
    run = active_run(task.pk)
    settings = settings_of(task)
    waiting = waiting_foolings(task.pk).count()
    ended = (
        TrainingRun.objects.filter(task=task)
        .exclude(status__in=TrainingRun.ACTIVE)
        .order_by("-id")
        .values_list("id", flat=True)
        .first()
    )
    scheduled = Round.objects.filter(task=task, status=Round.Status.DRAFT).first()
    now, later = (
        f"{one.number}{one.limits}" if one else "" for one in (target and target.round, scheduled)
    )
    history_version = f"{ended or 0}.{target.round.number if target else 0}"
    percent = round(100 * run.progress) if run else 0
    shown = (run.pk, run.status, percent, run.stage) if run else ()
    return {
        "task": task,
        "target": target,
        "run": run,
        "percent": percent,
        "settings": settings,
        "waiting": waiting,
        "may_train": trainable_model(target or last_target(task.pk)) is not None,
        "scheduled": scheduled,
        "trained_here": is_trainable(task),
        "history_version": history_version,
        "version": sha256(
            repr((history_version, waiting, settings.trigger, now, later, *shown)).encode()
        ).hexdigest(),
    }


def _history(task: Task, target: Target | None) -> dict[str, Any]:
    """The runs that ended and the models there are, newest first."""
    serving = target.models if target else ()
    runs = (
        TrainingRun.objects.filter(task=task)
        .exclude(status__in=TrainingRun.ACTIVE)
        .select_related("candidate", "parent", "round", "snapshot", "requested_by")
        .prefetch_related("candidate__rounds")
        .order_by("-id")[:RUNS_SHOWN]
    )
    models = (
        task.models.exclude(backend="")
        .select_related("parent")
        .prefetch_related("rounds")
        .order_by("-number")[:MODELS_SHOWN]
    )
    beside = {run.parent_id: _clean_of(run.metrics, "before") for run in runs}
    return {
        "with_history": True,
        "runs": [
            {"run": run, "trials": trials_of(run) if len(run.trials) > 1 else []} for run in runs
        ],
        "models": [
            {
                "model": model,
                "serves": model in serving,
                "rounds": sorted(round_.number for round_ in model.rounds.all()),
                "rolls_back": _rolls_back(model, serving),
                "clean": _clean_of(model.metrics) or beside.get(model.pk),
            }
            for model in models
        ],
    }


def looked_at(example: Example, label: Any = None) -> dict[str, Any]:
    """An example with what it shows of itself, and the label that it was given."""
    kind = example.task.kind
    return {
        "example": example,
        "label": in_words(example.label if label is None else label),
        "said": in_words(example.prediction),
        "picture": kind.picture(example.input),
        "texts": kind.texts(example.whole_input),
    }


def _rolls_back(model: ModelVersion, serving: tuple[ModelVersion, ...]) -> bool:
    """Whether letting it serve is a step back to an older model."""
    return bool(serving) and model.number < max(other.number for other in serving)


def _clean_of(metrics: Mapping[str, Any], name: str = "now") -> Rate | None:
    """How often a model was right on held-out clean data when it was registered or, as the model
    `before`, when another one was held against it."""
    clean = metrics.get("clean", {})
    share, items = clean.get(name, clean.get("accuracy")), clean.get("items")
    return wilson_rate(round(share * items), items) if share is not None and items else None
