"""From a photograph as somebody sends it to the one that is kept, shown and asked about."""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from functools import cache
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image, ImageCms, ImageOps

from kinds.image.pixels import MAX_BYTES, InputError, base64_bytes

SIDE: Final = 512  # of the longer one, as it is kept
LEAST: Final = 32
LONGEST: Final = 16  # times as long as wide
MOST: Final = 16_000_000  # pixels: a phone's camera makes 12 million
LIGHT: Final = 400_000  # characters of base64; the page sends a quarter of that
FORMATS: Final = ("JPEG", "PNG", "WEBP")

_QUALITY: Final = 90
_END: Final = b"\xff\xd9"
_MARKER: Final = re.compile(rb"\xff[^\0]")  # none stands in what a scan holds
_SRGB: Final = ImageCms.createProfile("sRGB")


def read(value: object) -> tuple[bytes, Image.Image]:
    """The JPEG that is kept of `{"photo": "<base64>"}`, and the same decoded, in RGB.

    Upright, without metadata, at most 512 pixels a side. One that was made here stays as it is, to
    the byte, so that it is the same photograph however often it is read again. InputError says what
    is wrong.
    """
    if not isinstance(value, dict) or set(value) != {"photo"}:
        raise InputError("bad_input", 'A photograph is {"photo": "<base64>"}.')
    data = base64_bytes(value["photo"])
    kept = data if _is_ours(data) else encoded(_shrunk(data))
    try:
        with Image.open(BytesIO(kept), formats=("JPEG",)) as opened:
            opened.load()
            return kept, opened.copy()
    except OSError:
        raise _unreadable() from None


def is_heavy(text: str) -> bool:
    """Whether reading it takes longer than one that the page has shrunk, by its header."""
    if len(text) > LIGHT:
        return True
    try:
        with Image.open(BytesIO(base64_bytes(text)), formats=FORMATS) as opened:
            return max(opened.size) > SIDE
    except Exception:  # noqa: BLE001 - it is refused at once, in a sentence
        return False


def _shrunk(data: bytes) -> Image.Image:
    """What is shown of a file, whose size is checked before anything is decompressed."""
    if len(data) > MAX_BYTES:
        raise InputError("too_large", "The photograph is larger than 2 MiB.")
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as opened:
            _require_shape(*opened.size)
            opened.draft("RGB", (2 * SIDE, 2 * SIDE))  # a JPEG is shrunk while it is read
            opened.load()
            upright = ImageOps.exif_transpose(opened)
            plain = _on_white(upright)
            plain.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            return _in_srgb(plain, upright)
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many() from None
    except Exception:  # noqa: BLE001 - Pillow's decoders raise a dozen types on broken bytes
        raise _unreadable() from None


def _require_shape(width: int, height: int) -> None:
    if width * height > MOST:
        raise _too_many()
    short, long = sorted((width, height))
    if short < LEAST or long > LONGEST * short:
        raise InputError("bad_image", "The photograph is too small, or too long, to be judged.")


def _too_many() -> InputError:
    return InputError("too_large", f"The photograph has more than {MOST // 10**6} million pixels.")


def _unreadable() -> InputError:
    return InputError("bad_image", "The photograph is not a readable JPEG, PNG or WebP.")


def _on_white(image: Image.Image) -> Image.Image:
    """In RGB, white where it is transparent."""
    if image.mode.startswith("I"):  # 16 bits: Pillow's own conversion would clip, not scale
        deep = np.asarray(image, dtype=np.int32) >> 8
        return Image.fromarray(deep.clip(0, 255).astype("u1")).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layered = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), layered).convert("RGB")


def _in_srgb(plain: Image.Image, upright: Image.Image) -> Image.Image:
    """The colours of its own profile as those that screens and models take for granted."""
    profile = upright.info.get("icc_profile")
    if profile and upright.mode in {"RGB", "RGBA", "P"}:
        with suppress(ImageCms.PyCMSError, OSError):  # one that cannot be read says nothing
            own = ImageCms.ImageCmsProfile(BytesIO(profile))
            found = ImageCms.profileToProfile(plain, own, _SRGB, outputMode="RGB")
            return found or plain
    return plain


def encoded(image: Image.Image) -> bytes:
    """A JPEG of it, without anything else: Pillow would write the comment of the file that it was
    read from."""
    stream = BytesIO()
    Image.fromarray(np.asarray(image)).save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def _is_ours(data: bytes) -> bool:
    """Whether `encoded` may have written it: to the byte its header, one scan, and nothing else.

    Made anew it would lose again; and nothing that somebody took along can be hidden in it.
    """
    head, at = _head()
    size = data[at : at + 4]
    if len(data) <= len(head) or data[: len(head)] != head[:at] + size + head[at + 4 :]:
        return False
    height, width = struct.unpack(">HH", size)
    found = _MARKER.search(data, len(head))
    if min(height, width) < LEAST or max(height, width) > SIDE or found is None:
        return False
    return data[found.start() :] == _END


@cache
def _head() -> tuple[bytes, int]:
    """All that stands before the scan, alike in each of ours but for height and width, and where
    these stand."""
    data = encoded(Image.new("RGB", (LEAST, LEAST)))
    scan = data.index(b"\xff\xda")
    (length,) = struct.unpack(">H", data[scan + 2 : scan + 4])
    return data[: scan + 2 + length], data.index(b"\xff\xc0") + 5
