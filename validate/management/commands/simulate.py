"""`manage.py simulate TASK`: what the task's verdict policy costs, and how often it errs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from annotate.command_line import SummaryCommand, task_named
from annotate.models import Task
from validate.policies import KOfN, Policy, TwoPlusOne
from validate.simulation import Figures, Pool, Result, simulate


class Command(SummaryCommand):
    help = "Simulate validators under a task's policy, beside two-plus-one and three-of-five."

    def add_arguments(self, parser: CommandParser) -> None:
        usual = Pool()
        parser.add_argument("task", help="the task's slug")
        parser.add_argument("--items", type=int, default=usual.items)
        parser.add_argument("--validators", type=int, default=usual.validators)
        parser.add_argument(
            "--spammers", type=float, default=usual.spammers, help="share who guess (default 0)"
        )
        parser.add_argument(
            "--author-right",
            type=float,
            default=usual.author_right,
            help="how often the author is right (default 0.5)",
        )
        parser.add_argument("--repeats", type=int, default=4)
        parser.add_argument("--seed", type=int, default=0)
        super().add_arguments(parser)

    def handle(self, *_: Any, task: str, json: bool, **options: Any) -> None:
        found = task_named(task)
        repeats, seed = options["repeats"], options["seed"]
        try:
            pool = Pool(
                labels=_weighable_labels(found),
                **{name: options[name] for name in ("items", "validators", "spammers")},
                author_right=options["author_right"],
            )
            results = {}
            for name, policy in _policies(found).items():
                with tqdm(total=pool.items * repeats, desc=name, leave=False, disable=None) as bar:
                    results[name] = simulate(
                        policy, pool, repeats=repeats, seed=seed, progress=bar.update
                    )
        except ValueError as error:
            raise CommandError(str(error)) from error
        for line in _table(results):
            self.stdout.write(line)
        self.conclude(
            f"Means of {repeats} repetitions of {pool.items} items, ± between repetitions.",
            {name: result.as_json() for name, result in results.items()},
            as_json=json,
        )


def _weighable_labels(task: Task) -> int:
    assert task.config is not None
    return max(2, len(task.config.file.labels))


def _policies(task: Task) -> dict[str, Policy]:
    """The task's own policy first, then what it is usually compared with."""
    assert task.config is not None
    settings = task.config.file.section("validation")
    usual: dict[str, Policy] = {"two_plus_one": TwoPlusOne(), "k_of_n 3 of 5": KOfN(n=5, k=3)}
    own = {f"{task.slug}: {settings.policy}": settings.rule}
    return own | {name: policy for name, policy in usual.items() if policy != settings.rule}


def _table(results: dict[str, Result]) -> list[str]:
    names = tuple(Figures.__dataclass_fields__)
    width = max(len(name) for name in results)
    lines = [f"{'policy':<{width}}" + "".join(f"{name:>18}" for name in names)]
    for policy, result in results.items():
        cells = (
            f"{getattr(result.mean, name):.3f} ± {getattr(result.deviation, name):.3f}"
            for name in names
        )
        lines.append(f"{policy:<{width}}" + "".join(f"{cell:>18}" for cell in cells))
    return lines
