"""`manage.py freeze TASK`: freeze what is verified up to now, without training on it."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotate.models import Task
from core.errors import Refused
from training.models import Snapshot, SnapshotItem, Split
from training.queries import settings_of
from training.snapshots import freeze


class Command(BaseCommand):
    help = "Freeze the verified foolings of a task into a snapshot; prints its counts and its hash."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("task", help="the task's slug")
        parser.add_argument("--json", action="store_true", help="end with a JSON summary")

    def handle(self, *, task: str, json: bool, **_: Any) -> None:
        found = Task.objects.select_related("config").filter(slug=task).first()
        if found is None:
            raise CommandError(f"There is no task {task}.")
        latest_round = found.rounds.order_by("-number").first()
        if latest_round is None:
            raise CommandError(f"{task} has had no round yet.")
        try:
            snapshot = freeze(task=found, round_=latest_round, settings=settings_of(found))
        except Refused as refused:
            raise CommandError(refused.message) from refused
        counts = Counter(snapshot.items.values_list("split", flat=True))
        others = snapshot.items.exclude(role=SnapshotItem.Role.FOOLING).count()
        foolings = f"{counts.total() - others} verified foolings"
        if others:
            foolings += f" and {others} other examples"
        apart = f", {counts[Split.ASIDE]} neither" if counts[Split.ASIDE] else ""
        self.stdout.write(
            f"Froze {foolings} of {task}: {counts[Split.TRAIN]} to train on, "
            f"{counts[Split.HELD_OUT]} held out{apart}.\nsha256 {snapshot.sha256}"
        )
        if json:
            self.stdout.write(_summary(found, snapshot, counts))


def _summary(task: Task, snapshot: Snapshot, counts: Counter[str]) -> str:
    return json.dumps(
        {
            "task": task.slug,
            "snapshot": snapshot.pk,
            "sha256": snapshot.sha256,
            "items": counts.total(),
            **{side: counts[side] for side in Split.values},
        }
    )
