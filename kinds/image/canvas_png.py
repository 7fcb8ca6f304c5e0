"""The PNGs that Chromium's canvases write, read in half of Pillow's time, and kept in a third.

White drawn on black makes a gray, opaque picture of four channels, and Chromium writes each row as
its difference from the row above. Channels that are equal in that form are equal in the picture, so
that they are compared at once, and one of them is all that must be added up.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Levels = NDArray[np.uint8]

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_START: Final = _SIGNATURE + b"\0\0\0\rIHDR"
_RGBA: Final = b"\x08\x06\0\0\0"  # 8 bits a channel, not interlaced
_GRAYS: Final = b"\x08\0\0\0\0"
_END: Final = b"\0\0\0\0IEND\xaeB`\x82"
_HEADER: Final = len(_START) + 17  # sizes, form, checksum
_LEAST: Final = _HEADER + len(_END)
_MOST_PARTS: Final = 64  # Chromium makes two
_CRC_OF_IDAT: Final = zlib.crc32(b"IDAT")
_QUICKEST: Final = b"\x78\x01"  # zlib's header when it packed at its quickest, as for Chromium
_ADLER: Final = 4  # bytes of a checksum after what is packed
_UP: Final = b"\x02"  # what stands before a row that is a difference from the one above
_OPAQUE: Final = np.uint32(0xFF000000)  # the alpha of a little-endian pixel
_GRAY: Final = np.uint32(0x00010101)  # and 1 in its other channels


def gray_levels(data: bytes, most: int) -> Levels | None:
    """What Pillow's conversion to gray gives, (H, W), of at most `most` pixels a side.

    None when Pillow must look: a colour, anything transparent, another form or size, a fault.
    """
    if len(data) < _LEAST or not (data.startswith(_START) and data.endswith(_END)):
        return None
    width, height, form, crc = struct.unpack_from(">II5sI", data, len(_START))
    if form != _RGBA or crc != zlib.crc32(data[12:29]):
        return None
    if not (0 < width <= most and 0 < height <= most):
        return None
    rows = _unpacked(_packed(data), height, 1 + 4 * width)
    if rows is None or rows[:, 0].tobytes() != _UP * height:
        return None
    pixels = rows[:, 1:].copy().view("<u4")
    pixels[0] -= _OPAQUE  # every row after it adds nothing to the alpha
    steps = pixels.astype(np.uint8)
    if not (pixels == steps * _GRAY).all():
        return None
    return np.add.accumulate(steps, axis=0, dtype=np.uint8)


def gray_png(levels: Levels) -> bytes:
    """A gray picture, (H, W), as a PNG without metadata.

    A drawing is runs of one shade, mostly: packed as they are, they take less than what Pillow
    makes of differences between them. What has more than runs is Pillow's to pack.
    """
    height, width = levels.shape
    rows = np.zeros((height, 1 + width), np.uint8)  # a 0 before each: it stands as it is
    rows[:, 1:] = levels
    packing = zlib.compressobj(strategy=zlib.Z_RLE)
    packed = packing.compress(rows.data) + packing.flush()
    if 3 * len(packed) > rows.size:
        stream = BytesIO()
        Image.fromarray(levels).save(stream, "PNG", compress_type=zlib.Z_RLE)
        return stream.getvalue()
    header = struct.pack(">II", width, height) + _GRAYS
    return _SIGNATURE + _part(b"IHDR", header) + _part(b"IDAT", packed) + _END


def _part(name: bytes, body: bytes) -> bytes:
    named = name + body
    return struct.pack(">I", len(body)) + named + struct.pack(">I", zlib.crc32(named))


def _packed(data: bytes) -> bytes:
    """The bodies of all IDAT; empty when one is damaged, or when there is anything else."""
    parts: list[bytes] = []
    at = _HEADER
    while at != len(data) - len(_END):
        length = int.from_bytes(data[at : at + 4])
        body, crc = data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        if data[at + 4 : at + 8] != b"IDAT" or zlib.crc32(body, _CRC_OF_IDAT) != int.from_bytes(
            crc
        ):
            return b""
        parts.append(body)
        if len(parts) > _MOST_PARTS:
            return b""
        at += 12 + length
    return b"".join(parts)


def _unpacked(packed: bytes, height: int, stride: int) -> Levels | None:
    """The rows as they were written, (height, stride); None when there is more, less or a fault.

    Unpacks no more than that: it may be a decompression bomb. Every byte has passed CRC-32 by now;
    Adler-32, a second checksum that Pillow reads instead, would be a third of the time.
    """
    if not packed.startswith(_QUICKEST):
        return None
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = unpacking.decompress(packed[len(_QUICKEST) :], height * stride + 1)
    except zlib.error:
        return None
    if len(data) != height * stride or len(unpacking.unused_data) != _ADLER:
        return None
    return np.frombuffer(data, np.uint8).reshape(height, stride)
