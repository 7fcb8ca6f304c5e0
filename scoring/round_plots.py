"""The pictures of a round's page."""

from __future__ import annotations

from collections.abc import Sequence

from scoring.plots import Plot
from scoring.queries import Rate
from scoring.round_report import RoundReport, Split
from scoring.statistics import wilson

_RANGES = ("rate", "low", "high", "verified", "submitted")
_REST = ("MER", "pending share", "tries", "seconds", "submissions each", "votes each")
_SHARE = "verified of submitted, with 95 % interval"


def round_plots(report: RoundReport) -> dict[str, Plot]:
    """By name, those that there is something to show in."""
    plots = [
        Plot("funnel", "From visits to verified foolings", "bars", ("step", "number"),
             report.funnel),
        _rounds(report),
        _splits("labels", "Verified rate by label", report.by_label),
        _splits("sources", "Verified rate by source", report.by_source),
        _splits("tags", "Verified rate by tag", report.by_tag),
        _surety(report),
    ]  # fmt: skip
    return {plot.name: plot for plot in plots if plot.rows}


def _range(name: str, rate: Rate) -> tuple[object, ...]:
    return name, rate.value, *rate.interval, rate.count, rate.of


def _rounds(report: RoundReport) -> Plot:
    rounds = [(one.number, one.vmer) for one in reversed(report.compared)]
    rounds.append((report.row.number, report.row.vmer))
    rows = [_range(f"Round {number}", rate) for number, rate in rounds]
    some = tuple(rows) if len(rows) > 1 else ()
    return Plot("rounds", "Verified rate by round", "ranges", ("round", *_RANGES), some, _SHARE)


def _splits(name: str, title: str, splits: Sequence[Split]) -> Plot:
    rows = tuple(
        (*_range(split.name, split.vmer), split.mer.value, *_rest(split)) for split in splits
    )
    some = rows if len(rows) > 1 else ()
    return Plot(name, title, "ranges", (name.removesuffix("s"), *_RANGES, *_REST), some, _SHARE)


def _rest(split: Split) -> tuple[object, ...]:
    pending = split.pending / split.fooled if split.fooled else None
    return pending, split.tries, split.seconds, split.submissions_each, split.votes_each


def _surety(report: RoundReport) -> Plot:
    rows = tuple(
        (one.sure, one.right / one.items, *wilson(one.right, one.items), one.items)
        for one in report.bins
    )
    return Plot(
        "surety",
        "How sure the model was, and how often it was right",
        "surety",
        ("sure", "right", "low", "high", "examples"),
        rows,
        "the model’s highest probability",
        "read as its author did",
    )
