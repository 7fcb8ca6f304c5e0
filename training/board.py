"""Registered models against each other on frozen sets, with weights that the reader chooses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import fmean
from typing import Any, Final
from uuid import UUID

from annotate.models import ModelQuerySet, ModelVersion, Round, Task, Viewer
from core.transactions import durable
from scoring.dynascore import PERFORMANCE, WEIGHTS, NotComparable, dynascores, pareto
from scoring.plots import Plot
from scoring.queries import Rate, digest, wilson_rate
from scoring.statistics import LEAST_RESAMPLED, Interval
from training.models import Evaluation
from training.versions import Known, shown_versions

THROUGHPUT, MEMORY = "throughput", "memory"
ABOUT: Final = ("robustness", "fairness")  # what suites are signs of


@dataclass(frozen=True, slots=True)
class Cell:
    """One model on one set. `own`: the set is of a round against this very model, whose foolings
    were chosen because it is wrong on them."""

    data: str
    accuracy: Rate | None
    f1: float | None
    f1_interval: tuple[float, float] | None
    calibration_error: float | None
    calibration_interval: tuple[float, float] | None
    own: bool


@dataclass(frozen=True, slots=True)
class Stressed:
    """How often a model answers copies that a program changed as it answers what they copy: the
    mean over items, of which some have more copies than others."""

    suite: str
    about: str
    unchanged: Rate
    by_change: tuple[tuple[str, int, int], ...]

    @property
    def changes(self) -> list[tuple[str, Rate]]:
        """By change, each an item once."""
        return [(name, wilson_rate(kept, of)) for name, kept, of in self.by_change]

    @property
    def weakest(self) -> tuple[str, float] | None:
        """The change after which most copies are answered otherwise, if any is."""
        shares = [(name, kept / of) for name, kept, of in self.by_change if kept < of]
        return min(shares, key=lambda one: one[1], default=None)


@dataclass(frozen=True, slots=True)
class Compared:
    """One model; where it has no Dynascore, `reason` says why."""

    number: int
    name: str
    since: datetime
    cells: tuple[Cell, ...]
    stress: tuple[Stressed, ...]
    per_second: float | None
    memory_gb: float | None
    calibration_error: float | None
    calibration_interval: tuple[float, float] | None
    """On the set that performance is of."""
    robustness: float | None
    fairness: float | None
    """The share of changed copies that are answered as what they copy, 0 to 1."""
    dynascore: float | None
    reason: str
    unbeaten: bool

    def on(self, data: str) -> Cell | None:
        return next((cell for cell in self.cells if cell.data == data), None)

    @property
    def measured(self) -> dict[str, float | None]:
        """What is scored beside performance, in the units of the score."""
        shares = {"robustness": self.robustness, "fairness": self.fairness}
        percent = {name: share and 100 * share for name, share in shares.items()}
        return {THROUGHPUT: self.per_second, MEMORY: self.memory_gb, **percent}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The models by their score, those without one last; scores hold for this `scored` set only."""

    sets: tuple[str, ...]
    suites: tuple[str, ...]
    data: str
    weights: Mapping[str, float]
    scored: tuple[str, ...]
    reason: str
    rows: tuple[Compared, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """Who is compared, on what: all that a comparison follows from but its weights."""

    models: Sequence[ModelVersion]
    versions: Mapping[str, Mapping[int, Known]]

    @property
    def digest(self) -> str:
        own = [(m.pk, m.name, [round_.number for round_ in m.rounds.all()]) for m in self.models]
        return digest(own, sorted((name, *met.items()) for name, met in self.versions.items()))


def field_for(task: Task, viewer: Viewer) -> Field:
    """Every live model that this person may see, and what is known of them; three queries."""
    return _field(ModelVersion.objects.visible_to(viewer), task)


def _field(seen: ModelQuerySet, task: Task) -> Field:
    live = seen.filter(task=task).exclude(backend="")
    models = live.order_by("-number").prefetch_related("rounds")
    return Field(list(models), shown_versions(task))


def compare(
    task: Task, viewer: Viewer, data: str = "", weights: Mapping[str, float] = WEIGHTS
) -> Comparison:
    """The models that this person may see on frozen sets; four queries.

    `data` names the set that performance is measured on: clean data where there is some.
    """
    return compare_in(field_for(task, viewer), data, weights)


def keep_scores(task: Task) -> None:
    """Write each model's Dynascore by the usual weights into its metrics, with the set of models
    that it holds for.

    One that served is scored among those that did: the others are their owners' alone to see.
    """
    all_, served = ModelVersion.objects.all(), Round.objects.exclude(opened_at=None)
    told: dict[int, tuple[Compared, Comparison]] = {}
    for models in (all_, all_.filter(pk__in=served.values("targets"))):
        found = compare_in(_field(models, task))
        told |= {row.number: (row, found) for row in found.rows}
    for row, found in told.values():
        _keep(task, row, found)


def _keep(task: Task, row: Compared, found: Comparison) -> None:
    among: dict[str, Any] = {
        "models": list(found.scored), "on": found.data, "weights": dict(found.weights),
        "reason": row.reason,
    }  # fmt: skip
    with durable():
        model = task.models.select_for_update().get(number=row.number)
        known = model.metrics.get("dynascore_of", among)
        if known["models"] != among["models"]:
            among["before"] = {"dynascore": model.metrics["dynascore"], "models": known["models"]}
        elif "before" in known:
            among["before"] = known["before"]
        metrics = {**model.metrics, "dynascore": row.dynascore, "dynascore_of": among}
        task.models.filter(pk=model.pk).update(metrics=metrics)


def compare_in(field: Field, data: str = "", weights: Mapping[str, float] = WEIGHTS) -> Comparison:
    """Every model of the field on every set; one query."""
    versions, models = field.versions, {model.pk for model in field.models}
    shown = {name: met for name, met in versions.items() if name != Evaluation.CHECKS}
    pks = [known.pk for met in shown.values() for model, known in met.items() if model in models]
    read = Evaluation.objects.in_bulk(pks)
    found = {(one.data, one.model_id): one for one in read.values()}
    suites = tuple(sorted(name for name in shown if name.startswith(Evaluation.STRESS)))
    sets = tuple(sorted(shown.keys() - {Evaluation.SPEED, *suites}, key=in_order))
    data = data if data in sets else next(iter(sets), "")
    run = _run_of_most([one for (name, _), one in found.items() if name == Evaluation.SPEED])
    rows, metrics = [], {}
    for model in field.models:
        speed = found.get((Evaluation.SPEED, model.pk))
        beside = speed.figures if speed is not None and speed.run == run else None
        cells = tuple(_cell(model, name, found.get((name, model.pk))) for name in sets)
        stress = tuple(stressed(done) for name in suites if (done := found.get((name, model.pk))))
        here = next((cell for cell in cells if cell.data == data), None)
        rows.append(
            Compared(
                number=model.number,
                name=model.name,
                since=model.created_at,
                cells=cells,
                stress=stress,
                per_second=beside and beside["per_second"],
                memory_gb=beside and beside["memory_gb"],
                calibration_error=here.calibration_error if here else None,
                calibration_interval=here.calibration_interval if here else None,
                robustness=_unchanged(stress, "robustness"),
                fairness=_unchanged(stress, "fairness"),
                dynascore=None,
                reason="",
                unbeaten=False,
            )
        )
    # What no suite has measured weighs nothing; of speed and memory nothing is known otherwise.
    missing = {name for name in ABOUT if all(row.measured[name] is None for row in rows)}
    used = {name: 0.0 if name in missing else weight for name, weight in weights.items()}
    told = []
    for row in rows:
        reason, metric = _metrics(row, data, used)
        if not reason:
            metrics[row.name] = metric
        told.append((row, reason))
    return _scored(told, metrics, sets, suites, data, used)


def _run_of_most(speeds: Sequence[Evaluation]) -> UUID | None:
    """The pass in which most of them were measured: one that could not be measured anew keeps an
    older one's numbers, whichever row is the youngest."""
    runs = Counter(one.run for one in speeds)
    newest = {one.run: one.created_at for one in speeds}
    return max(runs, key=lambda run: (runs[run], newest[run]), default=None)


def in_order(name: str) -> tuple[bool, int]:
    """Sets as they are told: clean data first, then round by round."""
    return name != Evaluation.CLEAN, int(name.rpartition(" ")[2]) if " " in name else 0


def _cell(model: ModelVersion, name: str, found: Evaluation | None) -> Cell:
    own = name in {f"round {round_.number}" for round_ in model.rounds.all()}
    if found is None:
        return Cell(name, None, None, None, None, None, own)
    rate, figures = wilson_rate(found.right, found.items), found.figures
    # Older evaluations were stored with one of however few.
    resampled = found.items >= LEAST_RESAMPLED and 0 < found.right < found.items
    return Cell(
        name,
        accuracy=rate,
        f1=figures.get("f1"),
        f1_interval=figures.get("f1_interval") if resampled else None,
        calibration_error=figures.get("expected_calibration_error"),
        calibration_interval=figures.get("calibration_interval"),
        own=own,
    )


def _unchanged(stress: Sequence[Stressed], about: str) -> float | None:
    shares = [one.unchanged.value for one in stress if one.about == about]
    some = [share for share in shares if share is not None]
    return fmean(some) if some else None


def stressed(found: Evaluation) -> Stressed:
    """What a suite came to."""
    figures = found.figures
    kept, of = figures.get("over_items", (found.right, found.items))  # all together, once
    return Stressed(
        suite=found.data.removeprefix(Evaluation.STRESS),
        about=figures["about"],
        unchanged=Rate(kept, of, Interval(figures["low"], figures["high"])),
        by_change=tuple((name, *counts) for name, counts in figures["by_change"].items()),
    )


def _metrics(
    row: Compared, data: str, weights: Mapping[str, float]
) -> tuple[str, dict[str, float]]:
    """What a model is scored by, or why it is not."""
    cell = row.on(data)
    if cell is None or cell.accuracy is None or cell.accuracy.value is None:
        return "not evaluated on this set", {}
    if cell.own:
        return "the set was made against it", {}
    metric = {PERFORMANCE: 100 * cell.accuracy.value}
    for name, value in row.measured.items():
        if value is not None:
            metric[name] = value
        elif weights.get(name):
            return _WHY_NOT.get(name, f"its {name} was not measured"), {}
    return "", metric


_WHY_NOT: Final = {
    THROUGHPUT: "its speed was not measured beside the others",
    MEMORY: "its memory is another machine’s",
}


def _scored(
    rows: list[tuple[Compared, str]],
    metrics: dict[str, dict[str, float]],
    sets: tuple[str, ...],
    suites: tuple[str, ...],
    data: str,
    weights: Mapping[str, float],
) -> Comparison:
    why = ""
    try:
        scores = dynascores(metrics, weights)
    except NotComparable as error:
        scores, why = {}, str(error)
    common = set.intersection(*map(set, metrics.values())) if metrics else set()
    best = pareto({name: {key: m[key] for key in common} for name, m in metrics.items()})
    told = [
        replace(
            row,
            dynascore=scores.get(row.name),
            reason=reason or why,
            unbeaten=row.name in best and len(metrics) > 1,
        )
        for row, reason in rows
    ]
    told.sort(key=lambda row: (row.dynascore is None, -(row.dynascore or 0), -row.number))
    names = tuple(name.removeprefix(Evaluation.STRESS) for name in suites)
    return Comparison(sets, names, data, weights, tuple(sorted(metrics)), why, tuple(told))


# --- pictures -------------------------------------------------------------------------------------
def comparison_plots(found: Comparison) -> dict[str, Plot]:
    """Each round's set as models came, and accuracy against speed."""
    rounds = [name for name in found.sets if name != Evaluation.CLEAN][-_MOST:]
    over_time = tuple(
        (name, row.since, 100 * cell.accuracy.value,
         *(100 * end for end in cell.accuracy.interval), row.name)
        for name in rounds
        for row in _since(found, name)
        if (cell := row.on(name)) and cell.accuracy and cell.accuracy.value is not None
    )  # fmt: skip
    points = [
        (row.name, row.per_second, 100 * cell.accuracy.value)
        for row in found.rows
        if row.name in found.scored and row.per_second is not None
        and (cell := row.on(found.data)) and cell.accuracy and cell.accuracy.value is not None
    ]  # fmt: skip
    best = pareto({name: {"fast": fast, "right": right} for name, fast, right in points})
    speed = tuple((*point, point[0] in best) for point in points)
    plots = [
        Plot(
            "over-time", "Each round’s foolings, by the models that came since", "lines",
            ("set", "model of", "accuracy", "low", "high", "model"), over_time,
            "when the model was registered", "right, %",
        ),
        Plot(
            "pareto", f"Right on {found.data}, and how fast (full: unbeaten in both)", "points",
            ("model", "a second", "accuracy", "unbeaten"), speed,
            "answers a second", "right, %",
        ),
    ]  # fmt: skip
    return {plot.name: plot for plot in plots if len(plot.rows) > 1}


def _since(found: Comparison, name: str) -> list[Compared]:
    """The models that came after those that a round's set was made against, as they came."""
    rows = sorted(found.rows, key=lambda row: row.since)
    own = [place for place, row in enumerate(rows) if (cell := row.on(name)) and cell.own]
    return rows[own[-1] + 1 :] if own else rows


_MOST: Final = 5  # sets in one picture, the newest ones: there are as many colours
