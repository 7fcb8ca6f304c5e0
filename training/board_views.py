"""The page on which registered models are compared, and the owner's button that evaluates them."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from annotate.models import Task
from annotate.owners import owned_task_or_404
from annotate.queries import visible_task
from scoring.dynascore import WEIGHTS
from scoring.plots import FILES, as_file
from training.board import Comparison, compare, comparison_plots
from training.evaluations import wanted
from training.tasks import ask_for_evaluation, is_evaluating

MOST_WEIGHT = 100


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
    """Every model on every set; weights and the set are in the address."""
    task = _task(request, slug)
    form = WeightsForm(request.GET)
    found = _found(task, request)
    there, all_ = wanted(task)
    context = {
        "task": task,
        "form": WeightsForm(initial={name: int(w) for name, w in form.weights.items()}),
        "found": found,
        "plots": comparison_plots(found),
        "there": there,
        "all": all_,
        "running": is_evaluating(task),
        "query": f"?{request.GET.urlencode()}" if request.GET else "",
    }
    return render(request, "training/comparison.html", context)


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
