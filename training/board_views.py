"""The page on which registered models are compared, and the owner's button that evaluates them."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from annotate.models import Task
from annotate.owners import owned_task_or_404
from annotate.queries import visible_task
from scoring.dynascore import WEIGHTS
from scoring.plots import FILES, as_file
from scoring.queries import digest
from scoring.telling import Told, live, told
from training.board import (
    Comparison,
    Field,
    compare,
    compare_in,
    comparison_plots,
    field_for,
    in_order,
)
from training.evaluations import wanted
from training.models import Evaluation
from training.pair_board import pair_of
from training.tasks import ask_for_evaluation, is_evaluating

MOST_WEIGHT = 100
MOST_KEPT = 50  # pages of a tenth of a megabyte

_kept: dict[tuple[int, datetime, str], Told] = {}


class WeightsForm(forms.Form):
    """What counts how much; what is no weight counts as usual."""

    performance = forms.IntegerField(min_value=0, max_value=MOST_WEIGHT, required=False)
    throughput = forms.IntegerField(min_value=0, max_value=MOST_WEIGHT, required=False)
    memory = forms.IntegerField(min_value=0, max_value=MOST_WEIGHT, required=False)
    fairness = forms.IntegerField(min_value=0, max_value=MOST_WEIGHT, required=False)
    robustness = forms.IntegerField(min_value=0, max_value=MOST_WEIGHT, required=False)

    @property
    def weights(self) -> dict[str, float]:
        self.full_clean()
        given = {name: self.cleaned_data.get(name) for name in WEIGHTS}
        return {name: WEIGHTS[name] if w is None else w for name, w in given.items()}


@require_safe
@never_cache
def comparison_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Every model on every set; weights and the set are in the address. For htmx what follows by
    itself, or 204 where the page has it already."""
    task, query = _task(request, slug), request.GET.copy()
    query.pop("digest", None)
    field, running = field_for(task, request.user), is_evaluating(task)
    there, all_ = wanted(task) if running else (0, 0)
    known_by = digest(field.digest, task.config_id, running, there, all_)
    context = {
        "task": task,
        "told": partial(_told, task, field, query),  # made where it is shown
        "sets": field.versions,
        "there": there,
        "all": all_,
        "running": running,
        "query": _asked(query),
        "digest": known_by,
    }
    whole, part = "training/comparison.html", "training/parts/comparison.html"
    return live(request, whole, part, context, known_by)


def _told(task: Task, field: Field, query: QueryDict) -> Told:
    """Kept by this process where nobody chose anything: what may be chosen has no end."""
    assert task.config is not None
    key = task.config.pk, task.config.created_at, field.digest
    if not query and key in _kept:
        return _kept[key]
    weights = WeightsForm(query).weights
    found = compare_in(field, query.get("on", ""), weights)
    context = {
        "task": task,
        "form": WeightsForm(initial={name: int(w) for name, w in weights.items()}),
        "found": found,
        "plots": comparison_plots(found),
        "query": _asked(query),
    }
    made = told("training/parts/comparison_told.html", context)
    if not query:
        if len(_kept) >= MOST_KEPT:
            _kept.pop(next(iter(_kept)), None)
        _kept[key] = made
    return made


def _asked(query: QueryDict) -> str:
    return f"?{query.urlencode()}" if query else ""


def _found(task: Task, request: HttpRequest) -> Comparison:
    return compare(task, request.user, request.GET.get("on", ""), WeightsForm(request.GET).weights)


def _task(request: HttpRequest, slug: str) -> Task:
    task = visible_task(request.user, slug)
    if task is None or task.config is None:
        raise Http404
    return task


@require_safe
@never_cache
def comparison_plot(request: HttpRequest, slug: str, name: str, form: str) -> HttpResponse:
    """One of its pictures as SVG, or its numbers as CSV."""
    plot = comparison_plots(_found(_task(request, slug), request)).get(name)
    if plot is None or form not in FILES:
        raise Http404
    return as_file(plot, form, f"{slug}-{name}")


@require_POST
def evaluate(request: HttpRequest, slug: str) -> HttpResponse:
    """Let a worker ask every model about what it has not answered yet."""
    task = owned_task_or_404(request, slug)
    if not ask_for_evaluation(task):
        messages.info(request, "An evaluation is under way already.")
    return redirect("comparison", slug=slug)


def is_asked(name: str) -> bool:
    """Whether it is a set of items with right answers, and no measurement of another sort."""
    return name == Evaluation.CLEAN or name.startswith(Evaluation.ROUND)


@require_safe
@never_cache
def changed(request: HttpRequest, slug: str) -> HttpResponse:
    """Which answers two models of a set differ in, to look at."""
    task = owned_task_or_404(request, slug)
    field = field_for(task, request.user)
    sets = sorted(filter(is_asked, field.versions), key=in_order)
    models = {model.name: model for model in field.models}
    form = PairForm(request.GET or None, sets=sets, models=[*models])
    pair = None
    if form.is_valid():
        chosen = form.cleaned_data
        two = (models[chosen[name]] for name in ("before", "now"))
        pair = pair_of(task, chosen["on"], *two)
    context = {"task": task, "form": form, "pair": pair, "enough": sets and len(models) > 1}
    return render(request, "training/changed.html", context)


class PairForm(forms.Form):
    """Two models, and the set that both answered."""

    on = forms.ChoiceField(label="On")
    before = forms.ChoiceField(label="Before")
    now = forms.ChoiceField(label="Now")

    def __init__(self, *given: Any, sets: list[str], models: list[str]) -> None:
        super().__init__(*given)
        choices = {"on": sets, "before": models[::-1], "now": models}
        for name, field in self.fields.items():
            assert isinstance(field, forms.ChoiceField)
            field.choices = [(one, one) for one in choices[name]]
