"""Pictures that show one drawing: moved, scaled, recompressed, or with a speck on them.

Of MNIST's 10,000 test digits none has another within NEAR; as the page draws them two ones have.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np

from kinds import Prepared
from kinds.image.pixels import SIDE, Gray
from kinds.likeness import Likeness, Ruling, number

NEAR: Final = 0.12  # of the stronger one: 1.0 for a digit of usual size
_SPREAD: Final = 7.0  # how far ink is from its centre, by root mean square, when it is compared
_SPECK: Final = 0.2  # fainter ink is noise: far from the centre it would weigh much
_FAINT: Final = np.float32(_SPECK / (1 - _SPECK))
_FAR: Final = (4.0, 5.8)  # squares of distances in spreads; a line ends at 3
_BLANK: Final = 1e-3  # all of one colour, which a drawing never is

# Waves across the picture, the longest first, each of length 1, so that no two pictures differ by
# more in one of them than as a whole. The first three only say how much ink there is and where.
_INDICES: Final = np.arange(SIDE)
_AROUND: Final = (_INDICES - (SIDE - 1) / 2).astype(np.float32)
_WAVES: Final = np.stack(
    [
        np.cos(np.pi * wave * (2 * _INDICES + 1) / (2 * SIDE)) * np.sqrt(2 / SIDE)
        for wave in range(10)
    ]
).astype(np.float32)
_PAIRS: Final = sorted(
    ((down, across) for down in range(10) for across in range(10) if down + across > 1),
    key=lambda pair: (sum(pair), pair),
)[:62]
_PLACES: Final = np.array([down * len(_WAVES) + across for down, across in _PAIRS])
_BITS: Final = 1 << np.arange(len(_PAIRS), dtype=np.int64)

# Of the weakest bits, which are the likeliest to differ in a copy: the least costly changes first.
_WEAK: Final = 12
_LIKELY: Final = sorted(
    (weak for size in range(5) for weak in combinations(range(_WEAK), size)),
    key=lambda weak: sum((place + 1) ** 2 for place in weak),
)[:32]
_CHANGES: Final = np.array(
    [[place in weak for place in range(_WEAK)] for weak in _LIKELY], dtype=np.int64
)


class Shape(NamedTuple):
    """A drawing as it is compared, (28, 28), and how strong each wave is in it."""

    array: Gray
    strengths: Gray


def shape(ink: Gray) -> Shape:
    """The drawing itself, (28, 28): wherever it stands, however large, whatever specks are on it.

    Its centre of mass is in the middle and its ink spread equally far, both to fractions of a
    pixel: fitting it into a box, as models want it, moves it by half a pixel and lets one speck
    shrink all the rest. What lies far from all other ink does not count for that.
    """
    # Every submission comes by here: in few steps, for at this size each costs the same.
    ink = (ink * np.float32(1 / (ink.max() * (1 - _SPECK))) - _FAINT).clip(0.0)
    y, x, spread = _frame(ink)
    away: Gray = (_places(len(ink)) - np.float32(y))[:, None] ** 2
    away = away + (_places(ink.shape[1]) - np.float32(x)) ** 2
    away = away * np.float32(1 / spread**2)
    if np.vdot(away > _FAR[0], ink):
        near = ((np.float32(_FAR[1]) - away) / np.float32(_FAR[1] - _FAR[0])).clip(0.0, 1.0)
        y, x, spread = _frame(ink * near)
    down, across = _sampled(max(ink.shape), (y, x), spread / _SPREAD)
    array = down[:, : len(ink)] @ ink @ across[:, : ink.shape[1]].T
    return Shape(array, strengths_of(array))


def strengths_of(array: Gray) -> Gray:
    """How strong each wave is in a (28, 28) picture."""
    return np.asarray((_WAVES @ array @ _WAVES.T).take(_PLACES), np.float32)


def _frame(ink: Gray) -> tuple[float, float, float]:
    """Where ink is, and the root mean square of its distance from there."""
    height, width = ink.shape
    (mass, x, xx), (y, _, _), (yy, _, _) = (_powers(height).T @ ink @ _powers(width)).tolist()
    y, x = y / mass, x / mass
    spread = yy / mass - y * y + xx / mass - x * x
    return y + (height - 1) / 2, x + (width - 1) / 2, max(spread, 0.25) ** 0.5


@cache
def _places(number: int) -> Gray:
    return np.arange(number, dtype=np.float32)


@cache
def _powers(number: int) -> Gray:
    """Of how far each place is from the middle: its powers 0, 1 and 2, (number, 3)."""
    return np.vander(_places(number) - np.float32((number - 1) / 2), 3, increasing=True)


def _sampled(number: int, middles: tuple[float, float], scale: float) -> Gray:
    """What each of 28 places, `scale` apart around each of both middles, takes of so many."""
    reach = max(scale, 1.0)
    at = np.array(middles, np.float32)[:, None] + _AROUND * np.float32(scale)
    away = np.abs(at[:, :, None] - _places(number))
    weights: Gray = (np.float32(1 / reach) - away * np.float32(1 / reach**2)).clip(0.0)
    return weights


def apart(mine: Gray, theirs: Gray, least: float = _BLANK) -> float:
    """How far two pictures are apart, as a part of the stronger one, or of `least`."""
    strongest = max(float(np.linalg.norm(mine)), float(np.linalg.norm(theirs)), least)
    return float(np.linalg.norm(mine - theirs) / strongest)


def likely_keys(strengths: Gray) -> list[int]:
    """Under which numbers pictures with nearly such waves are kept."""
    weakest = np.argsort(np.abs(strengths))[:_WEAK]
    likely = int(_BITS @ (strengths > 0)) ^ (_CHANGES @ _BITS[weakest])
    found: list[int] = likely.tolist()
    return found


class Shapes(Likeness):
    """Two pictures are as far apart as their shapes: L2, as a part of the stronger one's."""

    def name(self, one: Prepared, about: str) -> int:
        return number(one.key)

    def kept_under(self, one: Prepared, about: str) -> Sequence[int]:
        return [int(_BITS @ (one.form.strengths > 0))]

    def looked_up_by(self, one: Prepared, about: str) -> Sequence[int]:
        return likely_keys(one.form.strengths)

    def distance(self, one: Prepared, other: Prepared) -> float:
        return apart(one.form.array, other.form.array)

    def ruling(self, distance: float, *, same_author: bool, same_answer: bool) -> Ruling:
        return Ruling.COPY if distance <= NEAR else Ruling.DISTINCT
