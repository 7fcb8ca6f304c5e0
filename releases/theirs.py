"""Begins a task with a set that others published, and holds what its votes come to against them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from django.db.models import Count

from annotate.config import parse_task_file
from annotate.models import Example, Task
from annotate.rounds import load_task
from core.errors import Refused
from core.transactions import durable
from kinds.answers import in_words, same_answer
from releases.models import Theirs
from releases.sets import log_lines, rows_of, set_named, task_file
from scoring.statistics import UNKNOWN, Interval, clustered, wilson
from validate.logs import Import, import_log

BATCH: Final = 500
LEAST_AUTHORS: Final = 2
Status = Example.Status


def import_set(
    *, name: str, folder: Path, slug: str = "", progress: Callable[[int], object] = lambda _: None
) -> tuple[Task, Import]:
    """Bring a published set into a task, made when it is new; the same again changes nothing.

    Refused when the folder has none, or other columns, or the task is of another kind.
    """
    found = set_named(name)
    slug = slug or name
    theirs = {row.id: row.theirs for row in rows_of(found, folder) if row.theirs is not None}
    task = Task.objects.select_related("config").filter(slug=slug).first()
    if task is None:
        task, _ = load_task(file=parse_task_file(task_file(found, slug)))
    assert task.config is not None
    if task.input_kind != found.kind or not set(found.labels) <= set(task.config.file.label_values):
        raise Refused(
            "other_task", f"{slug} must be a task of {found.kind} with {', '.join(found.labels)}."
        )
    outcome = import_log(task, lambda: log_lines(name, rows_of(found, folder)), progress)
    names = list(theirs)
    for start in range(0, len(names), BATCH):
        some = names[start : start + BATCH]
        there = task.examples.filter(external_id__in=some).values_list("pk", "external_id")
        with durable():
            Theirs.objects.bulk_create(
                [Theirs(example_id=pk, task=task, label=theirs[str(of)]) for pk, of in there],
                ignore_conflicts=True,
            )
    return task, outcome


@dataclass
class Held:
    """How our verdicts stand to theirs; `table[theirs][ours]` counts examples."""

    table: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    authors: defaultdict[int, list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0])
    )

    @property
    def ours(self) -> list[str]:
        """The columns: labels first, then what is none."""
        there = set().union(*self.table.values())
        return sorted(there, key=lambda one: (one.startswith("("), one))

    @property
    def agreed(self) -> int:
        return sum(agreed for agreed, _ in self.authors.values())

    @property
    def compared(self) -> int:
        return sum(number for _, number in self.authors.values())

    @property
    def interval(self) -> Interval:
        """As wide as authors differ, where the set names them."""
        agreed, of = zip(*self.authors.values(), strict=True) if self.authors else ((), ())
        if not of:
            return UNKNOWN
        if len(of) < LEAST_AUTHORS:
            return wilson(sum(agreed), sum(of))
        return clustered(agreed, of)

    def as_json(self) -> dict[str, Any]:
        return {
            "agreed": self.agreed,
            "compared": self.compared,
            "low": round(self.interval.low, 6),
            "high": round(self.interval.high, 6),
            "table": {theirs: dict(row) for theirs, row in sorted(self.table.items())},
        }


def held_against(task: Task) -> Held:
    """Every example of which others published what it is, counted by one query.

    Rejected agrees with another label than its author's; what has no label here is not compared.
    """
    held = Held()
    groups = Theirs.objects.filter(task=task).values_list(
        *("label", "example__status", "example__label", "example__final_label", "example__author")
    )
    for theirs, status, label, final, author, number in groups.annotate(n=Count("pk")).order_by():
        ours = final if status in (Status.VERIFIED, Status.RELABELLED) else None
        column = in_words(ours) if ours is not None else f"({status})"
        held.table[in_words(theirs)][column] += number
        agrees = same_answer(theirs, ours) if ours is not None else not same_answer(theirs, label)
        if ours is not None or status == Status.REJECTED:
            held.authors[author][0] += number * agrees
            held.authors[author][1] += number
    return held
