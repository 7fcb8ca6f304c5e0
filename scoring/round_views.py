"""The page of one round, its pictures as files, and for owners its verified foolings."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from annotate.models import Round, Task
from annotate.own_work import page_of_work
from annotate.owners import owned_task_or_404
from annotate.queries import visible_task
from scoring.agreement import few_labels
from scoring.kept import Tallies, read_tallies
from scoring.plots import FILES, Plot, as_file
from scoring.queries import opened_round, row_of
from scoring.round_facts import tagged, verified_of
from scoring.round_plots import round_plots
from scoring.round_report import RoundReport, report_of
from scoring.telling import LIVE, Told, live, told


@require_safe
@never_cache
def round_page(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Everything that a round's examples say; for htmx the numbers alone, or 204 where the page has
    these already."""
    task, round_ = _opened(request, slug, number)
    tallies = read_tallies(task)
    found = told_of(task, number, tallies)
    context = {"task": task, "round": round_, "row": row_of(round_, tallies), "told": found}
    return live(request, "scoring/round.html", LIVE, context, found.digest)


def told_of(task: Task, number: int, tallies: Tallies) -> Told:
    """The same for whoever reads these tallies."""
    return tallies.once(
        ("round's page", number, task.config_id), lambda tallies: _told(task, number, tallies)
    )


def _told(task: Task, number: int, tallies: Tallies) -> Told:
    report, plots = report_of(task, number, tallies), _plots(task, number, tallies)
    context = {"task": task, "report": report, "row": report.row, "plots": plots}
    return told("scoring/parts/round_told.html", context)


def _plots(task: Task, number: int, tallies: Tallies) -> dict[str, Plot]:
    return tallies.once(
        ("plots", number, task.config_id),
        lambda tallies: round_plots(report_of(task, number, tallies)),
    )


@require_safe
@never_cache
def round_plot(request: HttpRequest, slug: str, number: int, name: str, form: str) -> HttpResponse:
    """One of its pictures as SVG, or its numbers as CSV."""
    task, _ = _opened(request, slug, number)
    plot = _plots(task, number, read_tallies(task)).get(name)
    if plot is None or form not in FILES:
        raise Http404
    return as_file(plot, form, f"{slug}-{number}-{name}")


def _opened(request: HttpRequest, slug: str, number: int) -> tuple[Task, Round]:
    task = visible_task(request.user, slug)
    if task is None or task.config is None:
        raise Http404
    return task, _round_or_404(task, number)


def _round_or_404(task: Task, number: int) -> Round:
    found = opened_round(task, number)
    if found is None:
        raise Http404
    return found


class FoolingFilter(forms.Form):
    """Which verified foolings to show; a choice that is none is as good as no choice."""

    label = forms.ChoiceField(label="It is", required=False)
    prediction = forms.ChoiceField(label="The model said", required=False)
    source = forms.ChoiceField(required=False)
    tag = forms.ChoiceField(required=False)

    def __init__(self, *args: Any, task: Task, of: RoundReport, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert task.config is not None
        labels = [(label.value, label.name) for label in few_labels(task.config.file)]
        choices = {"label": labels, "prediction": labels}
        choices |= {"source": [(s, s) for s in of.sources], "tag": [(s, s) for s in of.tags]}
        for name, some in choices.items():
            if some:
                self.fields[name].choices = [("", "any"), *some]  # type: ignore[attr-defined]
            else:
                del self.fields[name]

    def conditions(self) -> list[Q]:
        self.full_clean()
        given = {name: value for name, value in self.cleaned_data.items() if value}
        tags = [tagged(given.pop("tag"))] if "tag" in given else []
        names = {"source": "context__source"}
        return [*tags, *(Q(**{names.get(name, name): one}) for name, one in given.items())]


@require_safe
@never_cache
def round_foolings(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """The verified foolings, newest first: for owners alone, since gold may be among them."""
    task = owned_task_or_404(request, slug)
    round_ = _round_or_404(task, number)
    # Its parts as the round's page counts them: asking the examples would read them all.
    tallies = read_tallies(task)
    form = FoolingFilter(request.GET, task=task, of=report_of(task, number, tallies))
    conditions = form.conditions()
    foolings = verified_of(round_, tallies.left_out).filter(*conditions).order_by("-id")
    page = page_of_work(foolings, request.GET, of=task)
    shown = {"task": task, "round": round_, "form": form, "filtered": bool(conditions), **page}
    return render(request, "scoring/foolings.html", shown)
