"""What people send, checked and brought into the form that is stored and that models read."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import Refused
from ml.images import Drawing, InputError, read

MAX_TEXT = 20_000
_TEXT_FIELDS = {
    "text": ("text",),
    "text_multilabel": ("text",),
    "text_pair": ("context", "hypothesis"),
    "passage_qa": ("context", "question"),
}


@dataclass(frozen=True)
class Prepared:
    """A checked input: `key` names its content; `drawing` is an image's, `text` any other's."""

    key: str
    drawing: Drawing | None = None
    text: Any = None

    @property
    def array(self) -> NDArray[np.float32] | None:
        """What a model reads, (28, 28) float32 with paper 0 and ink 1; None for texts."""
        return None if self.drawing is None else self.drawing.array

    @property
    def stored(self) -> Any:
        """What is kept; of an image a PNG made anew: what was sent may carry a camera's EXIF."""
        if self.drawing is None:
            return self.text
        return {"png": base64.b64encode(self.drawing.png()).decode()}


def read_image(input: object) -> NDArray[np.float32]:
    """The (28, 28) float32 array a model reads; Refused with a sentence when it is no drawing."""
    return _read_drawing(input).array


def _read_drawing(input: object) -> Drawing:
    try:
        return read(input)
    except InputError as error:
        raise Refused(error.code, error.message, fields={"input": error.message}) from error


def prepare(kind: str, input: object) -> Prepared:
    """Check an input of a task's kind; Refused says what is wrong with it."""
    if kind == "image":
        drawing = _read_drawing(input)
        return Prepared(image_key(drawing.array), drawing)
    text = _checked_text(kind, input)
    return Prepared(text_key(text), text=text)


def image_key(array: NDArray[np.float32]) -> str:
    """The same for two drawings that a model cannot tell apart."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def text_key(input: object) -> str:
    """The sha256 of the canonical JSON."""
    canonical = json.dumps(input, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _checked_text(kind: str, input: object) -> Any:
    fields = _TEXT_FIELDS[kind]
    if not isinstance(input, dict):
        raise Refused("bad_input", f"The input must be an object with {' and '.join(fields)}.")
    for field in fields:
        if not isinstance(input.get(field), str) or not input[field].strip():
            raise Refused("bad_input", f"{field} must be a text.", fields={field: "missing"})
        if len(input[field]) > MAX_TEXT:
            raise Refused("too_long", f"{field} has more than {MAX_TEXT} characters.")
    # No more than the contract names: the rest could tell validators what the author says, or make
    # the same text look like another one.
    kept = (*fields, "answer") if kind == "passage_qa" else fields
    return {field: input[field] for field in kept if field in input}
