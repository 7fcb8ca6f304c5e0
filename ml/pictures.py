"""How a model that was trained on pictures in colour takes one: which part, how large, and as what.

Imports no Django.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from ml.artifacts import ArtifactError
from ml.backends import Options

COLOURS: Final = 3
LARGEST: Final = 1_024

Each = tuple[float, float, float]
Deviation = Annotated[float, Field(gt=0)]


class Picture(Options):
    """The defaults are torchvision's for ImageNet, but for the numbers: those are 0 to 1."""

    size: int | None = Field(
        default=None,
        ge=1,
        le=LARGEST,
        description="Of a side; where the graph says it, not needed.",
    )
    fit: Literal["centre", "stretch"] = Field(
        default="centre", description="A square from the middle, or all of it, out of shape."
    )
    crop: float = Field(
        default=1.0, gt=0, le=1, description="Of the shorter side, the part in the middle: 0.875."
    )
    mean: Each = Field(default=(0.0, 0.0, 0.0), description="Taken from numbers of 0 to 1.")
    std: tuple[Deviation, Deviation, Deviation] = (1.0, 1.0, 1.0)
    order: Literal["rgb", "bgr"] = "rgb"
    filter: Literal["bilinear", "bicubic"] = "bilinear"

    def view(self, sides: Sequence[int]) -> View:
        """For a graph that takes these (-1: any); ArtifactError says what does not fit."""
        if len(sides) != COLOURS or COLOURS not in (sides[0], sides[2]):
            raise ArtifactError(
                f"The graph takes {tuple(sides)} numbers, no picture of three colours."
            )
        last = sides[0] != COLOURS
        own = {side for side in (sides[:2] if last else sides[1:]) if side > 0}
        wanted = own | ({self.size} if self.size else set())
        if len(wanted) != 1:
            told = f"takes {own}" if own else "leaves it open"
            raise ArtifactError(
                f"Say under picture how large a side is (`size`): the graph {told}."
            )
        return View(self, wanted.pop(), last)


@dataclass(frozen=True, slots=True)
class View:
    """A picture as one graph takes it: `colours_last`, or first."""

    how: Picture
    size: int
    colours_last: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        side = self.size
        return (side, side, COLOURS) if self.colours_last else (COLOURS, side, side)

    def of(self, features: Any) -> NDArray[np.float32]:
        """The numbers; ValueError for what is no picture."""
        if not isinstance(features, Image.Image):
            raise ValueError("it takes pictures in colour")
        how = Image.Resampling[self.how.filter.upper()]
        small = features.resize((self.size, self.size), how, box=self._part(*features.size))
        numbers = np.asarray(small, np.float32) / 255
        mean, std = (np.array(each, np.float32) for each in (self.how.mean, self.how.std))
        numbers = (numbers - mean) / std
        if self.how.order == "bgr":
            numbers = numbers[..., ::-1]
        return np.ascontiguousarray(numbers if self.colours_last else numbers.transpose(2, 0, 1))

    def _part(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Which part is looked at: left, top, right, bottom."""
        side = min(width, height)
        seen = (width, height) if self.how.fit == "stretch" else (side, side)
        wide, high = (length * self.how.crop for length in seen)
        left, top = (width - wide) / 2, (height - high) / 2
        return left, top, left + wide, top + high
