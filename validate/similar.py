"""Examples that look like another one: what an owner compares a doubtful case with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from annotate.models import Example
from core.errors import Refused
from kinds import Prepared, kind_named

CANDIDATES: Final = 120  # the most recent ones with the label: comparing them takes 0.1 s
SHOWN: Final = 6


@dataclass(frozen=True, slots=True)
class Similar:
    """Another example and how far away it is, as its kind measures."""

    example: Example
    distance: float


def similar_examples(example: Example) -> list[Similar]:
    """The nearest among the recent settled examples with the author's label.

    None where the kind of input knows no distance.
    """
    kind = example.task.kind
    own = _prepared(kind.name, example.input)
    if kind.distance is None or own is None:
        return []
    candidates = (
        Example.objects.usable()
        .filter(task_id=example.task_id, label=example.label)
        .exclude(pk=example.pk)
        .exclude(status=Example.Status.OPEN)
        .only("uid", "input", "label", "prediction", "status", "final_label")
        .order_by("-id")[:CANDIDATES]
    )
    found = []
    for candidate in candidates:
        other = _prepared(kind.name, candidate.input)
        if other is not None:
            found.append(Similar(candidate, kind.distance(own, other)))
    return sorted(found, key=lambda one: one.distance)[:SHOWN]


def _prepared(kind: str, stored: Any) -> Prepared | None:
    return _parsed(kind, json.dumps(stored))


@lru_cache(maxsize=2048)  # about 12 MB with the inputs that it is asked by
def _parsed(kind: str, stored: str) -> Prepared | None:
    try:
        return kind_named(kind).parse(json.loads(stored))
    except Refused:  # an imported log may hold anything
        return None
