"""The owner's page of one run: its recipes beside each other, what changed, what was left out."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.caller import person
from annotate.owners import owned_task_or_404
from core.errors import Refused
from training.models import TrainingRun
from training.run_board import flips_of_trial, left_out, trials_of
from training.statements import active_run
from training.trials import choosable, choose_trial, newest_concluded

LONGEST_NUMBER = 3  # digits of which recipe


@require_safe
@never_cache
def run_page(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """One run that has ended."""
    task = owned_task_or_404(request, slug)
    run = get_object_or_404(
        TrainingRun.objects.exclude(status__in=TrainingRun.ACTIVE).select_related(
            "candidate", "parent", "round", "snapshot"
        ),
        task=task,
        pk=number,
    )
    run.task = task
    newest = newest_concluded(task)
    can = newest is not None and newest.pk == run.pk and active_run(task.pk) is None
    trials = trials_of(run, choosable(run) if can else ())
    looked_at = _number(request.GET.get("recipe"), len(trials))
    if looked_at is None:
        looked_at = next((trial.number for trial in trials if trial.is_candidate), 0)
    clean = run.metrics.get("clean_of_people")
    context = {
        "task": task,
        "run": run,
        "trials": trials,
        "looked_at": looked_at,
        "several": len(trials) > 1,
        "can_choose": any(trial.can_be_chosen for trial in trials),
        "flips": flips_of_trial(run, run.trials[looked_at]) if trials else [],
        "knows_flips": bool(trials and "flips" in run.trials[looked_at]),
        "left_out": left_out(run),
        "of_people": {side: len(keys) for side, keys in clean.items()} if clean else None,
    }
    return render(request, "training/run.html", context)


@require_POST
def choose(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Make another of its recipes that passed a candidate."""
    task = owned_task_or_404(request, slug)
    get_object_or_404(TrainingRun, task=task, pk=number)
    given = request.POST.get("recipe", "")
    recipe = int(given) if given.isdecimal() and len(given) <= LONGEST_NUMBER else None
    try:
        chosen = choose_trial(task=task, actor=person(request), run_id=number, number=recipe)
    except Refused as refused:
        messages.error(request, refused.message)
        return redirect("training_run", slug=slug, number=number)
    return redirect("training_run", slug=slug, number=chosen.pk)


def _number(given: str | None, of: int) -> int | None:
    if given is None or not given.isdecimal() or len(given) > LONGEST_NUMBER:
        return None
    return int(given) if int(given) < of else None
