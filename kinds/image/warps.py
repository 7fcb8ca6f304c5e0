"""The warps that fool a digits model, as annotators would: what rehearsals and tests submit."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Batch = NDArray[np.float32]

WARPS: Final = ("shift", "rotate", "shrink", "thicken", "thin")


def warp(x: Batch, rng: np.random.Generator, kinds: Sequence[str] = WARPS) -> Batch:
    """Do one of the five warps to each (28, 28) image, in ways that a person still reads.

    Shift by 3 to 7 pixels each way, rotate by 25 to 45 degrees either way, shrink to .45 to .65,
    thicken or thin the stroke.
    """
    n = len(x)
    kind = np.asarray(kinds)[rng.integers(len(kinds), size=n)]
    angle = np.where(kind == "rotate", _either_way(rng, 25, 45, n), 0.0)
    scale = np.where(kind == "shrink", rng.uniform(0.45, 0.65, n), 1.0)
    shift = np.where(kind == "shift", _either_way(rng, 3, 7, (2, n)), 0.0) * 2 / x.shape[-1]
    cos, sin = np.cos(np.radians(angle)) / scale, np.sin(np.radians(angle)) / scale
    matrix = np.stack([np.stack([cos, -sin, shift[0]], -1), np.stack([sin, cos, shift[1]], -1)], 1)
    grid = F.affine_grid(_tensor(matrix), [n, 1, *x.shape[1:]], align_corners=False)
    moved = F.grid_sample(_tensor(x)[:, None], grid, align_corners=False)
    thick = F.max_pool2d(moved, 3, stride=1, padding=1)
    thin = -F.max_pool2d(-F.pad(moved, (0, 1, 0, 1)), 2, stride=1)
    # A hairline has nothing to lose: it stays as it is rather than vanish.
    thin = torch.where(thin.amax(dim=(2, 3), keepdim=True) < 0.5, moved, thin)
    chosen = torch.where(_mask(kind == "thicken"), thick, moved)
    return _array(torch.where(_mask(kind == "thin"), thin, chosen)[:, 0])


def _either_way(
    rng: np.random.Generator, low: float, high: float, size: int | tuple[int, int]
) -> NDArray[np.float64]:
    distance: NDArray[np.float64] = rng.uniform(low, high, size) * rng.choice((-1.0, 1.0), size)
    return distance


def _tensor(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _mask(chosen: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(chosen)[:, None, None, None]


def _array(images: Tensor) -> Batch:
    values: Batch = images.clamp(0, 1).numpy()
    return values
