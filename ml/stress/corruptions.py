"""Grey arrays, ink 1 on paper 0, as scanners, cameras and clumsy hands would change them.

After MNIST-C (Mu and Gilmer, 2019), written afresh: its transformations, at strengths at which
people still read nearly all. Lengths are places of the array.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ml.stress import Change

Grey = NDArray[np.float32]

ABOUT: Final = "robustness"
OF: Final = np.ndarray


def _moved(ink: Grey, matrix: Any, shift: Any = (0.0, 0.0)) -> Grey:
    """Turned, stretched or leant by a matrix around the middle, then shifted."""
    from scipy.ndimage import affine_transform

    middle = (np.array(ink.shape) - 1) / 2
    back = np.linalg.inv(np.array(matrix, dtype=np.float64))
    offset = middle - back @ (middle + np.array(shift))
    found: Grey = affine_transform(ink, back, offset, order=1).clip(0, 1)
    return found


def _side(rng: Generator) -> float:
    return 1.0 if rng.random() < 0.5 else -1.0


def _cloud(ink: Grey, rng: Generator, width: float) -> Grey:
    """Smooth chance, 0 to 1."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(rng.random(ink.shape), width, mode="wrap")
    found: Grey = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return found


def _line(ink: Grey, rng: Generator, *, zigzag: bool, dotted: bool) -> Grey:
    """A thin line from side to side over what is there."""
    height, width = ink.shape
    places = np.arange(width)
    begin, end = rng.uniform(0.2, 0.8, 2) * (height - 1)
    rows = np.linspace(begin, end, width)
    if zigzag:
        rows = rows + 2 * (np.abs(places % 6 - 3) - 1.5)
    found = ink.copy()
    kept = places % 4 < 2 if dotted else places >= 0
    found[np.rint(rows).astype(int).clip(0, height - 1)[kept], places[kept]] = 1.0
    return found


def _turn(ink: Grey, rng: Generator) -> Grey:
    angle = 0.4 * _side(rng)
    return _moved(ink, [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _translate(ink: Grey, rng: Generator) -> Grey:
    return _moved(ink, np.eye(2), (3 * _side(rng), 3 * _side(rng)))


def _motion_blur(ink: Grey, rng: Generator) -> Grey:
    steps = np.linspace(-2, 2, 5)
    slope = rng.uniform(-1, 1)
    found: Grey = np.mean([_moved(ink, np.eye(2), (slope * s, s)) for s in steps], axis=0)
    return found


def _glass_blur(ink: Grey, rng: Generator) -> Grey:
    """Each place takes what a neighbour has."""
    y, x = np.indices(ink.shape)
    dy, dx = rng.integers(-1, 2, (2, *ink.shape))
    height, width = ink.shape
    found: Grey = ink[(y + dy).clip(0, height - 1), (x + dx).clip(0, width - 1)]
    return found


def _impulse_noise(ink: Grey, rng: Generator) -> Grey:
    hit = rng.random(ink.shape) < 0.08
    return np.where(hit, rng.integers(0, 2, ink.shape), ink)


def _stripe(ink: Grey, rng: Generator) -> Grey:
    """A band of a tenth of the width is turned to its opposite."""
    width = ink.shape[1]
    start = int(rng.integers(width - width // 10))
    found = ink.copy()
    found[:, start : start + width // 10] = 1 - found[:, start : start + width // 10]
    return found


def _edges(ink: Grey, _: Generator) -> Grey:
    from scipy.ndimage import sobel

    found: Grey = np.hypot(sobel(ink, 0), sobel(ink, 1)) / 4
    return found.clip(0, 1)


CHANGES: Final = (
    Change("shot noise", {"photons": 12}, lambda ink, rng: (rng.poisson(ink * 12) / 12).clip(0, 1)),
    Change("impulse noise", {"share": 0.08}, _impulse_noise),
    Change("glass blur", {"reach": 1}, _glass_blur),
    Change("motion blur", {"length": 5}, _motion_blur),
    Change("shear", {"by": 0.4}, lambda ink, rng: _moved(ink, [[1, 0], [0.4 * _side(rng), 1]])),
    Change("scale", {"to": 0.7}, lambda ink, _: _moved(ink, 0.7 * np.eye(2))),
    Change("rotate", {"radians": 0.4}, _turn),
    Change("brightness", {"by": 0.3}, lambda ink, _: (ink + 0.3).clip(0, 1)),
    Change("translate", {"places": 3}, _translate),
    Change("stripe", {"share": 0.1}, _stripe),
    Change(
        "fog", {"width": 4, "share": 0.5},
        lambda ink, rng: ink + (1 - ink) * 0.5 * _cloud(ink, rng, 4),
    ),
    Change(
        "spatter", {"width": 1, "above": 0.75},
        lambda ink, rng: np.maximum(ink, _cloud(ink, rng, 1) > 0.75),
    ),
    Change(
        "dotted line", {"dots": 2}, lambda ink, rng: _line(ink, rng, zigzag=False, dotted=True)
    ),
    Change("zigzag", {"height": 6}, lambda ink, rng: _line(ink, rng, zigzag=True, dotted=False)),
    Change("edges", {}, _edges),
)  # fmt: skip
