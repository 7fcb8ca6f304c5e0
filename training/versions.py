"""Which evaluations are shown: of each set the version that the most models have met."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from django.db.models import Q

from annotate.models import Task
from training.models import Evaluation


class Known(NamedTuple):
    """That there is an evaluation, and since when: made anew, it is another."""

    pk: int
    made: datetime


def shown_versions(task: Task) -> dict[str, Mapping[int, Known]]:
    """By name of the set what each model was evaluated on of it; one query, without figures.

    What is verified since, or another rule of what is right, makes another version. It takes over
    when as many models have met it as the one before: else one model that is evaluated first would
    empty the column of all others. Retired ones, which are asked no more, do not hold it up.
    """
    rows = Evaluation.objects.filter(task=task).order_by("id")
    asked = Q(model__retired_at=None)
    versions: defaultdict[str, dict[str, dict[int, Known]]] = defaultdict(dict)
    still: defaultdict[tuple[str, str], int] = defaultdict(int)
    for pk, made, data, sha256, model, live in rows.annotate(live=asked).values_list(
        "pk", "created_at", "data", "data_sha256", "model_id", "live"
    ):
        versions[data].setdefault(sha256, {})[model] = Known(pk, made)
        still[data, sha256] += live
    chosen: dict[str, Mapping[int, Known]] = {}
    for data, found in versions.items():
        since = {sha256: max(one.made for one in met.values()) for sha256, met in found.items()}
        chosen[data] = found[max(found, key=lambda sha256: (still[data, sha256], since[sha256]))]
    return chosen
