"""`manage.py audit_votes TASK`: list the verdicts that Dawid and Skene's model sees differently."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from annotate.command_line import SummaryCommand, task_named
from validate.nightly import look_over
from validate.people.audit import summary
from validate.people.ties import named_ties


class Command(SummaryCommand):
    help = (
        "Recompute reliabilities from the votes and list, in the owner's inbox too, the verdicts "
        "that would be another. Changes no verdict."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", help="the task's slug")
        super().add_arguments(parser)

    def handle(self, *_: Any, task: str, json: bool, **__: Any) -> None:
        found_task = task_named(task)
        night = look_over(found_task)
        if night.audit is None:
            raise CommandError(
                f"The answers of {task} are not one of a few labels: there is nothing to audit."
            )
        found = summary(night.audit)
        for one in found["disagreements"]:
            self.stdout.write(
                f"{one['example']}  {one['label']} at {one['probability']:.0%}, "
                f"the verdict at {one['verdict']:.0%}"
            )
        named = named_ties(found_task)
        for tie in named:
            self.stdout.write(
                f"{tie['validator']} confirmed {tie['author']} {tie['confirmed']} of the "
                f"{tie['tried']} times that others did not (chance: {tie['chance']:.0%}; odds "
                f"{tie['odds']:,.0f}) and judges them no more."
            )
        self.conclude(
            f"{found['votes']} votes of {found['validators']} validators on {found['examples']} "
            f"examples: {len(found['disagreements'])} verdicts would differ "
            f"({found['opened']} new in the inbox); {night.corrected} reliabilities corrected.",
            {
                "corrected": night.corrected,
                "quarantines": night.quarantines,
                "ties": named,
                **found,
            },
            as_json=json,
        )
