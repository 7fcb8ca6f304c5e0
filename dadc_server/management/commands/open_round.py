"""`manage.py open_round TASK`: open or schedule the next round, or change the one there is."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from annotate.command_line import SummaryCommand, task_named
from annotate.models import ModelVersion, Round, Task
from annotate.queries import last_target
from annotate.rounds import open_next_round, standing_rules, targets_with
from annotate.schedule import change_round, read_rules
from annotate.sections import Rounds
from core.errors import Refused
from core.transactions import durable

NONE = "none"


class Command(SummaryCommand):
    help = "Open the next round of a task or, with a time to come, schedule it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", help="the task's slug")
        parser.add_argument("--model", help="its target; else those of the round before")
        parser.add_argument(
            "--beside", action="store_true", help="keep those that serve now beside it"
        )
        parser.add_argument(
            "--needed", type=int, metavar="K", help="ask all of them: K must be fooled"
        )
        which = parser.add_mutually_exclusive_group()
        which.add_argument(
            "--change", type=int, metavar="NUMBER", help="change this round's rules instead"
        )
        which.add_argument("--close", type=int, metavar="NUMBER", help="end this round now")
        parser.add_argument("--reason", default="By command.", help="kept with the round")
        for name in Rounds.model_fields:
            parser.add_argument(
                f"--{name.replace('_', '-')}",
                metavar="TIME" if name.endswith("_at") else "WHEN" if name == "retraction" else "N",
                help=f"as `{name}` of a task file's rounds; {NONE}: not set",
            )
        super().add_arguments(parser)

    def handle(self, *_: Any, task: str, json: bool, **asked: Any) -> None:
        found = task_named(task)
        given = {name: asked[name] for name in Rounds.model_fields if asked[name] is not None}
        rules = {name: None if value == NONE else value for name, value in given.items()}
        if asked["close"] is not None:
            rules["closes_at"] = timezone.now()
        try:
            number = asked["change"] if asked["close"] is None else asked["close"]
            if number is not None:
                round_ = change_round(
                    task=found, number=number, changes=rules, reason=asked["reason"]
                )
            else:
                with durable():
                    round_ = open_next_round(
                        task=found,
                        models=_targets(found, asked["model"], beside=asked["beside"]),
                        needed=asked["needed"],
                        reason=asked["reason"],
                        rules=read_rules(standing_rules(found).model_dump() | rules),
                    )
        except Refused as refused:
            raise CommandError(refused.message) from refused
        status = round_.status if round_.pk else "cancelled"
        told = round_.limits.model_dump(mode="json", exclude_defaults=True)
        scheduled = status == Round.Status.DRAFT
        words = f"opens at {told.get('opens_at')}" if scheduled else f"is {status}"
        self.conclude(
            f"{task}: round {round_.number} {words}.",
            {"round": round_.number, "status": status, "rules": told},
            as_json=json,
        )


def _targets(task: Task, name: str | None, *, beside: bool) -> list[ModelVersion]:
    if name is None:
        last = last_target(task.pk)
        if last is None:
            raise CommandError(f"{task.slug} had no round yet: name its model with --model.")
        return list(last.models)
    model = task.models.filter(name=name).exclude(backend="").first()
    if model is None:
        raise CommandError(f"{task.slug} has no model {name} that answers.")
    return targets_with(task, model, beside=beside)
