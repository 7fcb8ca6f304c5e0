"""Training runs and the data they read, in the admin site."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from accounts.curation import Panel
from annotate.admin import OfTask, OfTaskAdmin, pretty
from training.models import Snapshot, TrainingRun


@admin.register(TrainingRun)
class TrainingRunAdmin(OfTaskAdmin):
    list_display = (
        "__str__", "task", "round", "status", "candidate", "reason", "created_at", "finished_at",
    )  # fmt: skip
    list_select_related = ("task", "round", "candidate")
    list_filter = (OfTask, "status")
    fields = (
        "task", "round", "status", "stage", "reason", "requested_by", "parent", "candidate",
        "snapshot", "created_at", "started_at", "finished_at", "settings", "results", "checks",
    )  # fmt: skip
    readonly_fields = fields

    @admin.display(description="config")
    def settings(self, run: TrainingRun) -> SafeString:
        return pretty(run.config)

    @admin.display(description="metrics")
    def results(self, run: TrainingRun) -> SafeString:
        return pretty(run.metrics)

    @admin.display(description="gates")
    def checks(self, run: TrainingRun) -> SafeString:
        return pretty(run.gates)


@admin.register(Snapshot)
class SnapshotAdmin(OfTaskAdmin):
    list_display = ("__str__", "task", "round", "sha256", "created_at")
    list_select_related = ("task", "round")

    def panels(self, request: HttpRequest, instance: Any) -> list[Panel]:
        counts: dict[str, int] = {}
        for split in instance.items.values_list("split", flat=True):
            counts[split] = counts.get(split, 0) + 1
        return [Panel("Examples", ("Split", "Examples"), sorted(counts.items()))]
