"""What a web process makes before anybody waits for it."""

from __future__ import annotations

from annotate.models import Task
from scoring import plots
from scoring.kept import MOST_READ, read_tallies
from scoring.queries import Asked, opened_rounds
from scoring.round_views import told_of
from scoring.views import lines_of, opened_in, tables_of


def warm_up() -> None:
    """Load what pictures need, then make the boards of public tasks, those last played first."""
    plots.warm_up()
    newest = {round_.task_id: round_ for round_ in opened_rounds().order_by("opened_at")}
    tasks = Task.objects.filter(pk__in=newest, public=True).select_related("config")
    for task in sorted(tasks, key=lambda one: -newest[one.pk].pk)[:MOST_READ]:
        if task.config is not None:
            tallies = read_tallies(task)
            lines_of(task, Asked(), tallies)
            tables_of(task, opened_in(task), tallies)
            told_of(task, newest[task.pk].number, tallies)
