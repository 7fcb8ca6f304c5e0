"""`manage.py rehearse TASK FILE.yaml`: a task's rounds, played by scripted people beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from annotate.command_line import SummaryCommand, task_named
from core import strict_yaml
from core.errors import Refused
from core.strict_yaml import NotYaml
from training.rehearsal_file import RehearsalFile
from training.rehearsals import rehearse


class Command(SummaryCommand):
    help = "Play a task's rounds with scripted people in a database of their own; keep a report."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", help="the task's slug")
        parser.add_argument("file", type=Path, metavar="FILE.yaml", help="see docs/rounds.md")
        parser.add_argument(
            "--at-once", type=int, default=1, metavar="N", help="seeds played beside each other"
        )
        super().add_arguments(parser)

    def handle(self, *_: Any, task: str, file: Path, at_once: int, json: bool, **__: Any) -> None:
        found = task_named(task)
        if at_once < 1:
            raise CommandError("--at-once is a number from 1.")
        try:
            data = strict_yaml.loads(file.read_bytes())
            asked = strict_yaml.parse(RehearsalFile, data, what="rehearsal")
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        except NotYaml as error:
            raise CommandError(f"{file}: {error}") from error
        if asked.source is not None:  # beside the file
            source = str((file.parent / asked.source).resolve())
            asked = asked.model_copy(update={"source": source})
        with tqdm(total=100, bar_format="  {bar:30} {n:3.0f} %  {desc}", disable=None) as bar:

            def show(fraction: float, sentence: str) -> None:
                bar.set_description_str(sentence, refresh=False)
                bar.update(100 * fraction - bar.n)

            try:
                kept = rehearse(task=found, file=asked, at_once=at_once, listener=show)
            except Refused as refused:
                raise CommandError(refused.message) from refused
        lines = [_line(n, told) for n, told in enumerate(kept.report["rounds"], start=1)]
        cost, days = (kept.report["total"][name]["mean"] for name in ("cost", "days"))
        lines.append(
            f"In all {cost:,.2f} {asked.pay.currency} and {days:.0f} days, the mean of "
            f"{asked.seeds} {'seed' if asked.seeds == 1 else 'seeds'}. All of it is simulated; the "
            f"report is on the training page of {task}."
        )
        summary = {"task": task, "rehearsal": kept.pk, **kept.report}
        self.conclude("\n".join(lines), summary, as_json=json)


def _line(number: int, told: dict[str, Any]) -> str:
    def mean(name: str) -> float:
        return told[name]["mean"] or 0.0

    ends = ", ".join(f"{status} {count}" for status, count in told["ends"].items() if count)
    stopped = f" by {', '.join(told['failed'])}" if told["failed"] else ""
    return (
        f"Round {number}: fooling rate {mean('fooling_rate'):.0%}, {mean('verified'):.0f} verified "
        f"({mean('wrong'):.1f} wrong) by {mean('votes'):.0f} votes in {mean('days'):.1f} days; "
        f"altered {100 * mean('altered_gain'):+.1f}, clean {100 * mean('clean_gain'):+.1f} points; "
        f"{ends}{stopped}."
    )
