"""What generated regions say today: their pictures, what validators said, later models on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from annotate.models import ModelVersion
from scoring.queries import Rate
from training.generated import Heard, heard
from training.models import Discovery, Region
from training.region_board import LATER, Later, rate

SHOWN: Final = 12  # inputs of a region


@dataclass(frozen=True, slots=True)
class GeneratedRow:
    """One region; the model itself errs on each of its inputs."""

    region: Region
    inputs: int
    shown: Sequence[Any]
    heard: Heard
    later: Sequence[Later]

    def summary(self) -> dict[str, Any]:
        return {
            "label": self.region.label,
            "answer": self.region.answer,
            "name": self.region.name,
            "inputs": self.inputs,
            "confirmed": self.heard.is_confirmed,
        }


def generated_rows(discovery: Discovery) -> list[GeneratedRow]:
    """The regions of one look, the largest first; four queries."""
    said, kind = heard(discovery), discovery.task.kind
    models = {str(model.number): model for model in discovery.task.models.all()}
    return [
        GeneratedRow(
            region=region,
            inputs=len(inputs := region.inputs.all()),
            shown=[kind.picture(one.input) for one in inputs[:SHOWN]],
            heard=said[region.pk],
            later=_later(region, models),
        )
        for region in discovery.regions.order_by("number").prefetch_related("inputs")
    ]


def _later(region: Region, models: dict[str, ModelVersion]) -> list[Later]:
    numbers = sorted((one for one in region.later if one in models), key=int)[-LATER:]
    return [Later(models[one], *_both(region.later[one])) for one in numbers]


def _both(told: dict[str, list[int]]) -> tuple[Rate, Rate]:
    return rate(*told["learned"]), rate(*told["held_out"])
