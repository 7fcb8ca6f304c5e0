"""Photographs in colour, as they are uploaded, for a model that says what is on them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from core.errors import Refused
from kinds import Kind, Prepared
from kinds.answers import ONE_OF_THE_LABELS
from kinds.image.likeness import NEAR, Shape, Shapes, apart, likely_keys, strengths_of
from kinds.image.pixels import SIDE, Gray, InputError
from kinds.photo.photographs import encoded, is_heavy, read
from kinds.words import Words

WAVES: Final = 31  # that say under which number it is kept: shorter ones change when it is shrunk
FLAT: Final = 0.02  # weaker ones are noise, and all there is in a photograph of one colour


def parse(raw: object) -> Prepared:
    """The features are a PIL image in RGB, at most 512 pixels a side: each model takes its own
    view of it (ml/pictures.py)."""
    try:
        kept, image = read(raw)
    except InputError as error:
        raise Refused(error.code, error.message, fields={"input": error.message}) from error
    return Prepared(
        hashlib.sha256(kept).hexdigest(),
        image,
        store=lambda: {"photo": base64.b64encode(kept).decode()},
        form=lambda: shape(image),
    )


def heavy(raw: object) -> bool:
    photo = raw.get("photo") if isinstance(raw, dict) else None
    return isinstance(photo, str) and is_heavy(photo)


def picture(stored: Any) -> str | None:
    photo = stored.get("photo") if isinstance(stored, dict) else None
    return f"data:image/jpeg;base64,{photo}" if isinstance(photo, str) else None


def seen(stored: Any) -> Any:
    """What was kept; of a log's, which stays as it came, without what a camera wrote into it."""
    with suppress(Refused):
        return parse(stored).stored
    return {}


def shape(image: Image.Image) -> Shape:
    """The photograph in small, and its longest waves of light and dark: the same however it was
    shrunk or recompressed, another where colours are others."""
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) / 255
    array = small - small.mean()
    return Shape(array, _longest(array))


def _longest(array: Gray) -> Gray:
    strengths = strengths_of(array.mean(axis=2))
    strengths[np.abs(strengths) < FLAT] = 0
    strengths[WAVES:] = np.inf
    return strengths


class Views(Shapes):
    """A photograph that is mirrored or turned by a quarter shows what it showed: models answer
    nearly the same, and one tag of EXIF does it. Of two that show hardly anything, a wall or a
    colour, what differs by no more than two drawings of one digit may is noise."""

    def looked_up_by(self, one: Prepared, about: str) -> Sequence[int]:
        return [key for view in _views(one.form.array) for key in likely_keys(_longest(view))]

    def distance(self, one: Prepared, other: Prepared) -> float:
        theirs = other.form.array
        return min(apart(view, theirs, least=1 / NEAR) for view in _views(one.form.array))


def _views(array: Gray) -> Iterator[Gray]:
    """All eight ways in which a photograph can lie."""
    for upright in (array, array.transpose(1, 0, 2)):
        yield from (upright, upright[::-1], upright[:, ::-1], upright[::-1, ::-1])


def _view(*colours: tuple[int, int, int]) -> dict[str, str]:
    """A small picture of broad stripes."""
    rows = np.array(colours, np.uint8)[np.arange(64) * len(colours) // 64]
    image = Image.fromarray(np.repeat(rows[None], 64, axis=0))
    return {"photo": base64.b64encode(encoded(image)).decode()}


KIND = Kind(
    name="photo",
    parse=parse,
    answers=ONE_OF_THE_LABELS,
    words=Words(
        act="Choose",
        acting="Choosing",
        thing="photograph",
        alter="Turn {}",
        keys="Space or Enter on the photograph chooses a file, Ctrl V takes one that was copied."
        " The key of a label chooses it, Ctrl Enter submits.",
        flags_not_offered=frozenset({"not_in_language"}),
    ),
    rules=("exact_match",),
    shape='a photograph as `{"photo": "<base64>"}`, JPEG, PNG or WebP',
    heavy=heavy,
    probes=(
        _view((40, 90, 200), (230, 230, 240), (60, 140, 50)),
        _view((150, 40, 30), (20, 20, 20), (220, 180, 60), (90, 60, 120)),
    ),
    picture=picture,
    seen=seen,
    likeness=Views(),
    page_of="image",
    folder=Path(__file__).parent,
)
