"""The page of one round, its pictures as files, and for owners its verified foolings."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from annotate.models import Round, Task
from annotate.own_work import page_of_work
from annotate.owners import owned_task_or_404
from annotate.queries import visible_task
from scoring.agreement import few_labels
from scoring.plots import FILES, as_file
from scoring.round_facts import verified_of
from scoring.round_plots import round_plots
from scoring.round_report import RoundReport, round_report


@require_safe
@never_cache
def round_page(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Everything that a round's examples say."""
    task, report = _report(request, slug, number)
    return render(
        request,
        "scoring/round.html",
        {"task": task, "report": report, "row": report.row, "plots": round_plots(report)},
    )


@require_safe
@never_cache
def round_plot(request: HttpRequest, slug: str, number: int, name: str, form: str) -> HttpResponse:
    """One of its pictures as SVG, or its numbers as CSV."""
    _, report = _report(request, slug, number)
    plot = round_plots(report).get(name)
    if plot is None or form not in FILES:
        raise Http404
    return as_file(plot, form, f"{slug}-{number}-{name}")


def _report(request: HttpRequest, slug: str, number: int) -> tuple[Task, RoundReport]:
    task = visible_task(request.user, slug)
    report = round_report(task, number) if task is not None and task.config is not None else None
    if task is None or report is None:
        raise Http404
    return task, report


class FoolingFilter(forms.Form):
    """Which verified foolings to show; a choice that is none is as good as no choice."""

    label = forms.ChoiceField(label="It is", required=False)
    prediction = forms.ChoiceField(label="The model said", required=False)
    source = forms.ChoiceField(required=False)

    def __init__(self, *args: Any, task: Task, sources: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert task.config is not None
        labels = [(label.value, label.name) for label in few_labels(task.config.file)]
        choices = {"label": labels, "prediction": labels, "source": [(s, s) for s in sources]}
        for name, some in choices.items():
            if some:
                self.fields[name].choices = [("", "any"), *some]  # type: ignore[attr-defined]
            else:
                del self.fields[name]

    def conditions(self) -> dict[str, str]:
        self.full_clean()
        names = {"source": "context__source"}
        return {names.get(name, name): value for name, value in self.cleaned_data.items() if value}


@require_safe
@never_cache
def round_foolings(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """The verified foolings, newest first: for owners alone, since gold may be among them."""
    task = owned_task_or_404(request, slug)
    round_ = _opened(task, number)
    foolings = verified_of(round_).select_related("task", "round", "model", "context")
    sources = foolings.exclude(context__source="").order_by()
    form = FoolingFilter(
        request.GET,
        task=task,
        sources=sorted(filter(None, sources.values_list("context__source", flat=True).distinct())),
    )
    conditions = form.conditions()
    page = page_of_work(foolings.filter(**conditions).order_by("-id"), request.GET)
    shown = {"task": task, "round": round_, "form": form, "filtered": bool(conditions), **page}
    return render(request, "scoring/foolings.html", shown)


def _opened(task: Task, number: int) -> Round:
    opened = task.rounds.exclude(status=Round.Status.DRAFT)
    found = opened.filter(number=number).first() if number < 2**31 else None
    if found is None:
        raise Http404
    return found
