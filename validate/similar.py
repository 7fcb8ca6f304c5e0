"""Examples that look like another one: what an owner compares a doubtful case with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from annotate.inputs import read_image
from annotate.models import Example
from core.errors import Refused

CANDIDATES: Final = 120  # the most recent ones with the label: comparing them takes 0.1 s
SHOWN: Final = 6


@dataclass(frozen=True, slots=True)
class Similar:
    """Another example and how far away it is: L2 of the normalised images, pixels 0 to 1."""

    example: Example
    distance: float


def similar_examples(example: Example) -> list[Similar]:
    """The nearest among the recent settled drawings with the author's label; none for texts."""
    if example.task.input_kind != "image":
        return []
    candidates = (
        Example.objects.usable()
        .filter(task_id=example.task_id, label=example.label)
        .exclude(pk=example.pk)
        .exclude(status=Example.Status.OPEN)
        .only("uid", "input", "label", "prediction", "status", "final_label")
        .order_by("-id")[:CANDIDATES]
    )
    own = _pixels_of(example)
    if own is None:
        return []
    found = []
    for candidate in candidates:
        pixels = _pixels_of(candidate)
        if pixels is not None:
            found.append(Similar(candidate, float(np.linalg.norm(pixels - own))))
    return sorted(found, key=lambda one: one.distance)[:SHOWN]


def _pixels_of(example: Example) -> NDArray[np.float32] | None:
    png = example.input.get("png") if isinstance(example.input, dict) else None
    return _pixels(png) if isinstance(png, str) else None


@lru_cache(maxsize=2048)  # about 12 MB with the pictures that it is asked by
def _pixels(png: str) -> NDArray[np.float32] | None:
    try:
        return read_image({"png": png})
    except Refused:  # an imported log may hold anything
        return None
