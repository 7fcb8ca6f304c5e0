"""From what a person drew or uploaded to the 28x28 image that the nets read."""

import base64
import binascii
import struct
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from kinds.image.canvas_png import Levels, gray_levels, gray_png

Gray = NDArray[np.float32]
Picture = TypeVar("Picture", Gray, Levels)

SIDE: Final = 28
INK_SIDE: Final = 20  # the box that MNIST fits a digit into
MAX_BYTES: Final = 2 * 1024 * 1024
STORED_SIDE: Final = 280
MAX_SIDE: Final = (
    4 * STORED_SIDE
)  # the page sends 280: a picture of 16 times that takes 20 ms to read
LIGHT_BASE64: Final = 64 * 1024  # characters, far more than strokes on a canvas take
WORKING_SIDE: Final = 112  # five times the detail that is left after normalising
FORMATS: Final = ("PNG", "JPEG")
_PNG: Final = b"\x89PNG\r\n\x1a\n"

_FAINTEST_INK: Final = 0.1  # below this contrast there is nothing that a person would call a stroke
_INK_EDGE: Final = 0.02  # at 28 pixels a side: the soft edge of a stroke stays inside its box
_OPAQUE: Final = 255
_INDICES: Final = np.arange(SIDE)
_LEVELS: Final = np.arange(256, dtype=np.float32) / np.float32(255)


class InputError(ValueError):
    """An input that cannot be read; `code` is for programs, `message` is a sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing as a model reads it, (28, 28), the ink that this was made of, and the upright gray
    picture that it was read from."""

    array: Gray
    ink: Gray
    levels: Levels | None = None

    def png(self) -> bytes:
        """The picture for keeping, without metadata: at most 280 pixels a side, read as before."""
        return png_of(self.array) if self.levels is None else gray_png(self.levels)


def read(value: object) -> Drawing:
    """Read a public image input; its array is normalised float32 with ink 1 on paper 0.

    Takes `{"png": "<base64>"}` (PNG or JPEG bytes) or `{"pixels": [784 numbers in 0..1]}`, with
    dark ink on light paper or the reverse. Anything else raises InputError.
    """
    if not isinstance(value, dict) or len(value) != 1:
        raise InputError("bad_input", 'An image is {"png": …} or {"pixels": […]}.')
    if "png" in value:
        levels = _gray_levels(base64_bytes(value["png"]))
        return Drawing(*_read_levels(levels), levels)
    if "pixels" in value:
        array = normalise(_ink(_pixels(value["pixels"])))
        return Drawing(array, array)
    raise InputError("bad_input", 'An image is {"png": …} or {"pixels": […]}.')


def is_heavy(text: str) -> bool:
    """Whether a picture in base64 is none that the page's canvas makes, told by its first bytes."""
    try:
        start = base64.b64decode(text[:32])
    except ValueError:
        return False  # it is refused at once
    width, height = struct.unpack(">II", start[16:24]) if len(start) == 24 else (0, 0)
    light = start[:8] == _PNG and max(width, height) <= STORED_SIDE and len(text) <= LIGHT_BASE64
    return not light


def decode(value: object) -> Gray:
    """The array of `read` alone."""
    return read(value).array


def normalise(gray: Gray, ink: int = 1) -> Gray:
    """Frame an (H, W) drawing as MNIST does: fitted into 20x20, centre of mass in the middle.

    `ink` is the value of full ink, 1 or 0; the other one is paper. The strongest ink becomes 1.
    An MNIST image comes back almost unchanged. No ink raises InputError("empty_drawing").
    """
    drawn = gray if ink else 1.0 - gray
    box, peak = _ink_box(drawn.max(axis=1), drawn.max(axis=0))
    return _framed(np.ascontiguousarray(drawn[box], dtype=np.float32), peak)


def _ink_box(rows: Gray, columns: Gray) -> tuple[tuple[slice, slice], float]:
    """Where the ink is and its peak, by the strongest ink of each row and of each column."""
    # The finer the image, the less a faint pixel is worth, and a JPEG has faint ones all around.
    edge = _INK_EDGE * min(max(max(rows.size, columns.size) / SIDE, 1.0), 6.0)
    peak = float(rows.max())
    inked = (rows > edge).nonzero()[0]
    if inked.size == 0 or peak < _FAINTEST_INK:
        raise InputError("empty_drawing", "There is nothing to read: draw something first.")
    across = (columns > edge).nonzero()[0]
    return (slice(inked[0], inked[-1] + 1), slice(across[0], across[-1] + 1)), peak


def _framed(box: Gray, peak: float) -> Gray:
    """Fit what is in the box of ink into 20x20, and put its centre of mass in the middle."""
    scale = INK_SIDE / max(box.shape)
    height, width = (max(1, round(side * scale)) for side in box.shape)
    # Pillow widens the filter when it shrinks, so a thin line fades evenly and is never skipped.
    image = Image.frombytes("F", box.shape[::-1], box)
    fitted = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    # The filter overshoots beside edges: what lies above the drawing's own peak is no ink.
    fitted = (fitted / min(float(fitted.max()), peak)).clip(0.0, 1.0)

    mass = fitted.sum()
    # MNIST puts the mean of the pixels' indices, not of their centres, on 14.
    y = float(fitted.sum(axis=1) @ _INDICES[:height]) / mass
    x = float(fitted.sum(axis=0) @ _INDICES[:width]) / mass
    y0 = min(max(round(SIDE / 2 - y), 0), SIDE - height)
    x0 = min(max(round(SIDE / 2 - x), 0), SIDE - width)
    framed = np.zeros((SIDE, SIDE), dtype=np.float32)
    framed[y0 : y0 + height, x0 : x0 + width] = fitted
    return framed


def png_of(image: Gray) -> bytes:
    """Encode an (H, W) image of 0..1 as an 8-bit grayscale PNG."""
    return gray_png(np.rint(np.clip(image, 0.0, 1.0) * 255).astype(np.uint8))


def base64_bytes(text: object) -> bytes:
    """At most MAX_BYTES, nearly."""
    if not isinstance(text, str):
        raise InputError("bad_base64", "The image must be a string of base64.")
    if len(text) > 4 * (MAX_BYTES // 3 + 1):
        raise InputError("too_large", "The image is larger than 2 MiB.")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InputError("bad_base64", "The image is not valid base64.") from None


def _pixels(numbers: object) -> Gray:
    if not isinstance(numbers, list) or len(numbers) != SIDE * SIDE:
        raise InputError("bad_pixels", "Pixels must be a list of 784 numbers.")
    # The comparison also refuses NaN, infinities and integers too large for a float.
    if not all(type(v) in (float, int) and 0 <= v <= 1 for v in numbers):
        raise InputError("bad_pixels", "Every pixel must be a number from 0 to 1.")
    return np.array(numbers, dtype=np.float32).reshape(SIDE, SIDE)


def _read_levels(levels: Levels) -> tuple[Gray, Gray]:
    """What `normalise` makes of the ink in a picture, told by its bytes for as long as can be; and
    that ink.

    The paper and the box of ink are found among them in a third of the time, and to the same
    result: the strongest level of a row has its strongest ink.
    """
    if (times := max(levels.shape) // WORKING_SIDE) > 1:
        levels = np.asarray(Image.fromarray(levels).reduce(times))
    levels = _unframed(levels, 127)
    border = levels.take(_lines(levels.shape, 0))
    ink, most = _ink_of_levels(*_paper(_LEVELS.take(border)))
    box, peak = _ink_box(ink[most.reduce(levels, axis=1)], ink[most.reduce(levels, axis=0)])
    drawn = ink.take(levels[box])
    return _framed(drawn, peak), drawn


@lru_cache(maxsize=64)
def _ink_of_levels(paper: float, grain: float) -> tuple[Gray, np.ufunc]:
    """The ink of each of 256 levels, and how to choose the level that has the most."""
    return _scaled(_LEVELS, paper, grain), np.maximum if paper < 0.5 else np.minimum


def _unframed(picture: Picture, middle: float) -> Picture:
    """The picture without the thin dark frame that a scanner leaves round a light page, or the
    reverse: its paper would be taken for ink.

    The page does the same (static/canvas.js).
    """
    deep = max(2, max(picture.shape) // 32)
    if min(picture.shape) < 8 * deep:
        return picture
    inside = _is_light(picture, deep, middle)
    depth = 0
    while _is_light(picture, depth, middle) != inside:
        depth += 1
    if depth:
        depth += 1  # the frame's soft edge
        return picture[depth:-depth, depth:-depth]
    return picture


def _is_light(picture: Picture, depth: int, middle: float) -> bool:
    """Whether most of a picture is light, so far from its border."""
    lines = picture.take(_lines(picture.shape, depth))
    return 2 * int(np.count_nonzero(lines > middle)) > lines.size


@lru_cache(maxsize=64)
def _lines(shape: tuple[int, ...], depth: int) -> NDArray[np.intp]:
    """Where the four lines are that run so far from the border, as `take` counts: a copy of each
    line alone would take longer than all else of `_unframed`."""
    places = np.arange(shape[0] * shape[1]).reshape(shape)
    last = -1 - depth
    return np.concatenate((places[depth], places[last], places[:, depth], places[:, last]))


def _ink(gray: Gray) -> Gray:
    """Turn a drawing of either polarity into ink 1 on paper 0, taking the border for the paper."""
    gray = _unframed(gray, 0.5)
    return _scaled(gray, *_paper(gray.take(_lines(gray.shape, 0))))


def _paper(border: Gray) -> tuple[float, float]:
    """How light the paper is, and how much its grain may differ from it."""
    if (border == border[0]).all():  # as on a canvas
        return float(border[0]), 0.0
    paper = _median(border)
    return paper, 3 * _median(np.abs(border - paper))  # a photo has some


def _scaled(gray: Gray, paper: float, grain: float) -> Gray:
    ink = gray - paper if paper < 0.5 else paper - gray
    room = max(paper, 1 - paper)
    scaled: Gray = np.clip((ink - grain) / max(room - grain, _FAINTEST_INK), 0.0, 1.0)
    return scaled


def _median(values: NDArray[np.float32]) -> float:
    """The median of an even number of values: np.median takes ten times as long for 448."""
    ordered = np.sort(values)
    middle = len(ordered) // 2
    return float((ordered[middle - 1] + ordered[middle]) / 2)


def _gray_levels(data: bytes) -> Levels:
    if len(data) > MAX_BYTES:
        raise InputError("too_large", "The image is larger than 2 MiB.")
    levels = gray_levels(data, STORED_SIDE)
    return np.asarray(_gray_image(data)) if levels is None else levels


def _gray_image(data: bytes, size: int = STORED_SIDE) -> Image.Image:
    """Open PNG or JPEG bytes as an upright 8-bit gray image of at most `size` pixels a side.

    Format and dimensions are checked on the header, before any pixel is decompressed.
    """
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as opened:
            if max(opened.size) > MAX_SIDE:
                raise InputError("too_large", f"The image is over {MAX_SIDE} pixels wide or high.")
            opened.draft("L", (2 * size, 2 * size))  # lets the JPEG decoder shrink as it reads
            opened.load()
            upright = ImageOps.exif_transpose(opened) if opened.getexif() else opened
            gray = _flatten(upright)
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(
            "too_large", f"The image is over {MAX_SIDE} pixels wide or high."
        ) from None
    except Exception:  # noqa: BLE001 - Pillow's decoders raise a dozen types on broken bytes
        raise InputError("bad_image", "The image is not a readable PNG or JPEG.") from None
    gray.thumbnail((size, size), Image.Resampling.BOX)
    return gray


def _flatten(image: Image.Image) -> Image.Image:
    """Convert any mode to 8-bit gray; what is transparent becomes the paper."""
    if image.mode.startswith("I"):  # 16 bits: Pillow's own conversion would clip, not scale
        return Image.fromarray((np.asarray(image, dtype=np.int32) >> 8).clip(0, 255).astype("u1"))
    if not image.has_transparency_data:
        return image.convert("L")
    layered = image if image.mode in {"RGBA", "LA"} else image.convert("RGBA")
    gray, alpha = layered.convert("L"), layered.getchannel("A")
    if alpha.getextrema()[0] == _OPAQUE:  # what a canvas with a background sends
        return gray
    shades = np.array(gray.histogram(mask=alpha))  # of whatever is not entirely clear
    light = float(shades @ np.arange(shades.size)) / max(int(shades.sum()), 1)
    # A clear canvas has no colour of its own: give it the one against which its ink shows.
    paper = Image.new("L", gray.size, 0 if light > _OPAQUE / 2 else _OPAQUE)
    paper.paste(gray, mask=alpha)
    return paper
