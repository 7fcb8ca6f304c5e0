"""`manage.py simulate TASK`: what the task's validation policy would cost and give."""

from __future__ import annotations

from dataclasses import fields, replace
from statistics import fmean
from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from annotate.command_line import SummaryCommand, task_named
from validate.policies import KOfN
from validate.simulation import Pool, Result, simulate


class Command(SummaryCommand):
    help = "Simulate validators on the task's labels and policy, beside five votes on each item."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", help="the task's slug")
        parser.add_argument("--items", type=int, default=1_000)
        parser.add_argument("--validators", type=int, default=40)
        parser.add_argument("--spammers", type=float, default=0.2, help="share who only guess")
        parser.add_argument(
            "--colluding",
            type=float,
            default=0.0,
            help="share who confirm a partner's wrong labels",
        )
        parser.add_argument("--author-right", type=float, default=0.55)
        parser.add_argument("--repetitions", type=int, default=4)
        parser.add_argument("--seed", type=int, default=0)
        super().add_arguments(parser)

    def handle(self, *_: Any, task: str, json: bool, **given: Any) -> None:
        found = task_named(task)
        assert found.config is not None
        file = found.config.file
        labels = len(file.label_values)
        if labels < 2 or not file.kind.answers.few:
            raise CommandError("Only tasks whose answer is one of a few labels can be simulated.")
        if given["items"] < 1 or given["validators"] < 5 or given["repetitions"] < 1:
            raise CommandError("Give at least one item, five validators and one repetition.")
        if given["seed"] < 0:
            raise CommandError("--seed is a whole number from 0.")
        if not all(0 <= given[name] <= 1 for name in ("spammers", "author_right", "colluding")):
            raise CommandError("--spammers, --author-right and --colluding are shares from 0 to 1.")
        settings = file.section("validation")
        pool = Pool(
            validators=given["validators"],
            spammers=given["spammers"],
            items=given["items"],
            labels=labels,
            author_right=given["author_right"],
            colluding=given["colluding"],
            gold_first=settings.gold_first,
            gold_first_items=settings.gold_first_items,
            gold_later=settings.gold_later,
            close_look=settings.close_look,
        )
        summary: dict[str, dict[str, float | None]] = {}
        # Beside what most of the field does: five votes on each, of whomever.
        policies = {
            settings.policy: (settings.rule, pool),
            "three_of_five": (KOfN(n=5, k=3), replace(pool, close_look=0)),
        }
        runs = range(given["repetitions"])
        with tqdm(total=len(policies) * len(runs), disable=None) as bar:
            for name, (policy, people) in policies.items():
                results = []
                for run in runs:
                    results.append(simulate(policy, people, seed=given["seed"] + run))
                    bar.update()
                summary[name] = _mean(results)
        sentences = [
            f"{name}: {numbers['votes_per_item']:.2f} votes an item, precision "
            f"{numbers['precision']:.3f}, recall {numbers['recall']:.3f}, "
            f"{numbers['ambiguous']:.1%} ambiguous"
            for name, numbers in summary.items()
        ]
        self.conclude("\n".join(sentences), summary, as_json=json)


def _mean(results: list[Result]) -> dict[str, float | None]:
    means: dict[str, float | None] = {}
    for field in fields(Result):
        values = [getattr(result, field.name) for result in results]
        known = [value for value in values if value is not None]
        means[field.name] = round(fmean(known), 4) if known else None
    return means
