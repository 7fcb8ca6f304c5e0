"""Random changes of digit images: the augmentation that trains."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Batch = NDArray[np.float32]

_CANVAS: Final = 48  # augment works at this side, so that a changed stroke width stays smooth
_ELASTIC_KNOTS: Final = 5
# Gaussian bumps, (canvas, knots): a smooth field from few numbers, ten times faster than bicubic.
_SMOOTH: Final = torch.exp(
    -0.5
    * (torch.linspace(0, _ELASTIC_KNOTS - 1, _CANVAS)[:, None] - torch.arange(_ELASTIC_KNOTS)) ** 2
    / 0.6**2
)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How strongly `augment` changes an image; lengths are shares of half the image's side."""

    rotation: float = 12.0  # degrees, standard deviation
    shear: float = 0.22  # standard deviation
    lean: float = 0.1  # mean shear: most people write slanted to the right
    widening: float = 0.12  # mean of the log aspect: scanned forms were narrower than handwriting
    aspect: float = 0.18  # standard deviation of the log aspect
    perspective: float = 0.1
    elastic: float = 0.07
    stroke_low: float = 0.2  # ink level at which the new outline runs: low is thick
    stroke_high: float = 0.9
    ramp_low: float = 0.2  # rise of ink over which the outline fades: low is sharp
    ramp_high: float = 0.5


def augment(x: Batch, rng: np.random.Generator, how: Augmentation | None = None) -> Batch:
    """Redraw (n, 28, 28) digits as another hand and another pen might, as (n, 48, 48).

    The result is larger than the input and is not framed: pass every image through
    `images.normalise`, as whatever is drawn or uploaded is.
    """
    how = how or Augmentation()
    n = len(x)
    theta = np.radians(rng.normal(0, how.rotation, n))
    shear = rng.normal(how.lean, how.shear, n)
    stretch = np.exp(rng.normal(how.widening, how.aspect, n) / 2)
    zoom = 1.3 * np.maximum(stretch, 1)  # keeps the corners inside the canvas
    # Output coordinates to input coordinates: unrotate, unshear, unstretch.
    cos, sin = np.cos(theta), np.sin(theta)
    matrix = np.empty((n, 2, 3))
    matrix[:, 0, 0] = zoom / stretch * (cos + shear * sin)
    matrix[:, 0, 1] = zoom / stretch * (-sin + shear * cos)
    matrix[:, 1, 0] = zoom * stretch * sin
    matrix[:, 1, 1] = zoom * stretch * cos
    matrix[:, :, 2] = 0
    grid = F.affine_grid(_tensor(matrix), [n, 1, _CANVAS, _CANVAS], align_corners=False)
    tilt = _tensor(rng.normal(0, how.perspective, (n, 1, 1, 2)))
    grid = grid * (1 + (grid * tilt).sum(-1, keepdim=True))
    bends = _tensor(rng.normal(0, 1, (n, 2, _ELASTIC_KNOTS, _ELASTIC_KNOTS)))
    strength = _tensor(how.elastic * rng.uniform(0.3, 1.7, (n, 1, 1, 1)))
    field = torch.einsum("yk,nckl,xl->nyxc", _SMOOTH, bends, _SMOOTH)
    grid = grid + field * strength
    drawn = F.grid_sample(_tensor(x)[:, None], grid, mode="bicubic", align_corners=False)[:, 0]
    level = _tensor(rng.uniform(how.stroke_low, how.stroke_high, (n, 1, 1)))
    ramp = _tensor(rng.uniform(how.ramp_low, how.ramp_high, (n, 1, 1)))
    return _array((drawn - level) / ramp + 0.5)


def _tensor(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _array(images: Tensor) -> Batch:
    values: Batch = images.clamp(0, 1).numpy()
    return values
