"""The owner's page of rehearsals: what was rehearsed, a table over its rounds and a picture."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from annotate.owners import owned_task_or_404
from scoring.plots import FILES, as_file
from training.models import Rehearsal
from training.rehearsals import plot_of

SHOWN = 50


@require_safe
@never_cache
def newest(request: HttpRequest, slug: str) -> HttpResponse:
    """The newest one; how to make one where there is none."""
    task = owned_task_or_404(request, slug)
    found = Rehearsal.objects.filter(task=task).order_by("-id").first()
    if found is not None:
        return redirect("rehearsal", slug=slug, number=found.pk)
    return render(request, "training/rehearsals.html", {"task": task})


@require_safe
@never_cache
def rehearsal_page(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """One of them, with links to the others."""
    shown = _owned(request, slug, number)
    others = Rehearsal.objects.filter(task=shown.task).exclude(pk=number).order_by("-id")
    report, currency = shown.report, shown.file["pay"]["currency"]
    context = {
        "task": shown.task,
        "rehearsal": shown,
        "rounds": [_row(n, told, currency) for n, told in enumerate(report["rounds"], start=1)],
        "total": [
            _cell("cost", report["total"]["cost"], f",.2f {currency}"),
            _cell("days", report["total"]["days"], ",.0f"),
            _cell("votes", report["total"]["votes"], ",.0f"),
            _cell("verified foolings", report["total"]["verified"], ",.0f"),
        ],
        "plot": plot_of(shown),
        "file": yaml.safe_dump(shown.file, sort_keys=False, allow_unicode=True),
        "others": others[:SHOWN],
    }
    return render(request, "training/rehearsals.html", context)


@require_safe
@never_cache
def rehearsal_plot(
    request: HttpRequest, slug: str, number: int, name: str, form: str
) -> HttpResponse:
    """Its picture as SVG, or the numbers of it as CSV."""
    plot = plot_of(_owned(request, slug, number))
    if name != plot.name or form not in FILES:
        raise Http404
    return as_file(plot, form, f"{slug}-rehearsal-{number}")


def _owned(request: HttpRequest, slug: str, number: int) -> Rehearsal:
    task = owned_task_or_404(request, slug)
    shown = get_object_or_404(Rehearsal, task=task, pk=number)
    shown.task = task
    return shown


class Cell(NamedTuple):
    """A figure as people read it, and the range that it lies in over other seeds."""

    name: str
    text: str
    range: str


def _row(number: int, told: dict[str, Any], currency: str) -> dict[str, Any]:
    ends = {status: count for status, count in told["ends"].items() if count}
    seeds = sum(ends.values())
    return {
        "number": number,
        "cells": [
            _cell("fooling rate", told["fooling_rate"], ".0f %", 100),
            _cell("verified", told["verified"], ",.0f"),
            _cell("of these wrong", told["wrong"], ",.1f"),
            _cell("votes", told["votes"], ",.0f"),
            _cell("days", told["days"], ",.1f"),
            _cell("cost", told["cost"], f",.2f {currency}"),
            _cell("gain on altered, points", told["altered_gain"], "+.1f", 100),
            _cell("gain on clean, points", told["clean_gain"], "+.1f", 100),
        ],
        "ends": [
            {
                "text": status if seeds == 1 else f"{status} {count} of {seeds}",
                "colour": "good" if status == "promoted" else "warn",
            }
            for status, count in ends.items()
        ],
        "failed": told["failed"],
    }


def _cell(name: str, told: dict[str, float | None], form: str, times: float = 1) -> Cell:
    digits, _, unit = form.partition(" ")

    def text(value: float) -> str:
        return f"{times * value:{digits}}".replace("-", "−") + (f" {unit}" if unit else "")

    mean, low, high = told["mean"], told["low"], told["high"]
    if mean is None:
        return Cell(name, "–", "")
    if low is None or high is None:
        return Cell(name, text(mean), "")
    return Cell(name, text(mean), f"{text(low).removesuffix(f' {unit}')} to {text(high)}")
