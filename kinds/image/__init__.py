"""Drawings and scans: dark on light or the reverse, read as a square of ink."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import Refused
from kinds import Kind, Prepared
from kinds.answers import ONE_OF_THE_LABELS
from kinds.image.likeness import Shapes, shape
from kinds.image.pixels import SIDE, Gray, InputError, is_heavy, png_of, read
from kinds.words import Words


def parse(raw: object) -> Prepared:
    """The features are the (28, 28) float32 array that a model reads, paper 0 and ink 1."""
    try:
        drawing = read(raw)
    except InputError as error:
        raise Refused(error.code, error.message, fields={"input": error.message}) from error
    # The same for two drawings that a model cannot tell apart.
    key = hashlib.sha256(np.ascontiguousarray(drawing.array).tobytes()).hexdigest()
    # A PNG made anew: what was sent may carry a camera's EXIF.
    return Prepared(
        key,
        drawing.array,
        store=lambda: {"png": base64.b64encode(drawing.png()).decode()},
        form=lambda: shape(drawing.ink),
    )


def heavy(raw: object) -> bool:
    png = raw.get("png") if isinstance(raw, dict) else None
    return isinstance(png, str) and is_heavy(png)


def picture(stored: Any) -> str | None:
    png = stored.get("png") if isinstance(stored, dict) else None
    return f"data:image/png;base64,{png}" if isinstance(png, str) else None


def distance(one: Prepared, other: Prepared) -> float:
    """L2 of the framed images, pixels 0 to 1."""
    return float(np.linalg.norm(one.features - other.features))


def altered(features: Gray, rng: np.random.Generator) -> Gray:
    from kinds.image.warps import warp  # torch, which only rehearsals need

    warped: Gray = warp(features[None], rng)[0]
    return warped


def raw(features: Gray) -> dict[str, str]:
    return {"png": base64.b64encode(png_of(features)).decode()}


def _pixels(ink: Callable[[int, int], bool]) -> dict[str, list[int]]:
    return {"pixels": [int(ink(y, x)) for y in range(SIDE) for x in range(SIDE)]}


_BAR = _pixels(lambda y, x: 4 <= y < 24 and 13 <= x < 15)
_RING = _pixels(lambda y, x: 6 < hypot(y - 14, x - 14) < 9)

KIND = Kind(
    name="image",
    parse=parse,
    answers=ONE_OF_THE_LABELS,
    words=Words(
        act="Draw",
        acting="Drawing",
        thing="drawing",
        alter="Bend {} further",
        keys="on the drawing area the arrow keys move the pen (with Shift in longer steps) and"
        " Space puts it down or lifts it. The key of a label chooses it, Enter submits, Ctrl Z"
        " takes back the last stroke.",
        reasons=(
            "Clearly what the author says",
            "Clearly another digit",
            "Could be read either way",
            "Nothing to see, or a scribble",
            "Not a fair attempt",
        ),
        flags_not_offered=frozenset({"not_in_language"}),
    ),
    rules=("exact_match", "numeric"),
    shape='an image as `{"png": "<base64>"}` or `{"pixels": [784 numbers 0..1]}`',
    heavy=heavy,
    probes=(_BAR, _RING),
    picture=picture,
    likeness=Shapes(),
    distance=distance,
    altered=altered,
    raw=raw,
    folder=Path(__file__).parent,
)
