"""One model's report: where it breaks, how sure it may be, and what programs did to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from annotate.models import ModelVersion
from ml.metrics import COVERAGES, MISSES
from scoring.queries import Rate, wilson_rate
from training.board import Stressed, in_order, stressed
from training.models import Evaluation
from training.versions import shown_versions

SORTS: Final = {
    "label": "label",
    "length": "length",
    "source": "source of the context",
    "words": "words in it",
}


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a set; `worse`: the whole interval lies below what the set has, or is promised."""

    name: str
    right: Rate
    worse: bool


@dataclass(frozen=True, slots=True)
class Sort:
    """The slices of one sort, the weakest first."""

    name: str
    title: str
    slices: tuple[Slice, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """How often it is right on this share of the set, of whose answers it is surest."""

    coverage: float
    right: Rate


@dataclass(frozen=True, slots=True)
class Sets:
    """Sets of labels instead of one: how often they hold the right one, overall and by label.

    They are made so that they lack it in at most `misses` of cases like those of the set `of`.
    """

    of: str
    misses: float
    size: float
    size_interval: tuple[float, float] | None
    held: Rate
    by_label: tuple[Slice, ...]


@dataclass(frozen=True, slots=True)
class SetReport:
    """The model on one frozen set; `own`: its foolings were chosen because it is wrong on them."""

    data: str
    own: bool
    right: Rate
    unanswered: int
    calibration_error: float | None
    calibration_interval: tuple[float, float] | None
    """Older evaluations told none."""
    sorts: tuple[Sort, ...]
    selective: tuple[Kept, ...]
    sets: Sets | None


@dataclass(frozen=True, slots=True)
class Checked:
    """How many inputs, or items, pass a check of the task's file; `must`: what that asks."""

    name: str
    must: str
    passed: Rate


@dataclass(frozen=True, slots=True)
class Report:
    """All that was measured of one model, automatic stress apart."""

    model: ModelVersion
    sets: tuple[SetReport, ...]
    stress: tuple[Stressed, ...]
    checks: tuple[Checked, ...]

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def number(self) -> int:
        return self.model.number

    @property
    def sha256(self) -> str:
        return self.model.sha256


def report_of(model: ModelVersion) -> Report:
    """From its evaluations of the versions of sets that are compared, and of one that it has not
    met from its newest; three queries."""
    shown = {known.pk for met in shown_versions(model.task).values() for known in met.values()}
    own = Evaluation.objects.filter(model=model).exclude(data=Evaluation.SPEED)
    newest: dict[str, Evaluation] = {}
    for one in sorted(own, key=lambda one: (one.pk in shown, one.created_at, one.pk)):
        newest[one.data] = one
    checked = newest.pop(Evaluation.CHECKS, None)
    served = {f"round {number}" for number in model.rounds.values_list("number", flat=True)}
    judged = [name for name in newest if not name.startswith(Evaluation.STRESS)]
    return Report(
        model=model,
        sets=tuple(_set(newest[name], own=name in served) for name in sorted(judged, key=in_order)),
        stress=tuple(stressed(newest[name]) for name in sorted(newest.keys() - set(judged))),
        checks=_checks(checked) if checked is not None else (),
    )


def _checks(found: Evaluation) -> tuple[Checked, ...]:
    """Those that had something to ask."""
    told = found.figures["checks"].items()
    return tuple(
        Checked(name, one["must"], wilson_rate(*one["passed"]))
        for name, one in told
        if one["passed"][1]
    )


def _set(found: Evaluation, *, own: bool) -> SetReport:
    figures, right = found.figures, wilson_rate(found.right, found.items)
    sets = figures.get("sets")
    return SetReport(
        data=found.data,
        own=own,
        right=right,
        unanswered=figures["unanswered"],
        calibration_error=figures.get("expected_calibration_error"),
        calibration_interval=figures.get("calibration_interval"),
        sorts=tuple(
            Sort(sort, SORTS[sort], _slices(slices, right.value or 0))
            for sort, slices in figures.get("slices", {}).items()
        ),
        selective=tuple(
            Kept(coverage, wilson_rate(k, n))
            for coverage, (k, n) in zip(COVERAGES, figures.get("selective", ()), strict=False)
        ),
        sets=sets and _sets(sets, figures["sets_from"]),
    )


def _sets(sets: Mapping[str, Any], of: str) -> Sets:
    held = wilson_rate(*sets["held"])
    size = sets.get("size_interval")  # older evaluations told none
    return Sets(
        of, MISSES, sets["size"], size and tuple(size), held, _slices(sets["by_label"], 1 - MISSES)
    )


def _slices(counts: Mapping[str, Sequence[int]], whole: float) -> tuple[Slice, ...]:
    """Without those that hold nothing."""
    rates = [(name, wilson_rate(k, n)) for name, (k, n) in counts.items() if n]
    found = [Slice(name, rate, rate.interval.high < whole) for name, rate in rates]
    return tuple(sorted(found, key=lambda one: (one.right.count / one.right.of, one.name)))
