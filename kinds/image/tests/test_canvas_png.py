"""What the quick reader takes it reads as Pillow does, and whatever else it leaves to Pillow."""

import base64
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from kinds.image import pixels as images
from kinds.image.canvas_png import gray_levels, gray_png
from kinds.image.pixels import InputError, normalise

MOST = 280
UP = 2
PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, packed, *, depth=8, colour=6, interlace=0, parts=2, extra=b""):
    """A PNG of what is packed already, in so many IDAT."""
    header = struct.pack(">II5B", width, height, depth, colour, 0, 0, interlace)
    size = -(-len(packed) // parts)
    bodies = [packed[at : at + size] for at in range(0, len(packed), size)]
    data = b"".join(chunk(b"IDAT", body) for body in bodies)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + data + chunk(b"IEND", b"")


def filtered(pixels, kind=UP):
    """The bytes of (H, W, channels) pixels with one of PNG's first three filters."""
    height = len(pixels)
    rows = pixels.reshape(height, -1)
    if kind == 1:
        left = np.pad(pixels, ((0, 0), (1, 0), (0, 0)))[:, :-1]
        rows = (pixels - left).reshape(height, -1)
    elif kind == UP:
        rows = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
    return np.insert(rows, 0, kind, axis=1).tobytes()


def canvas(levels, kind=UP, level=1, alpha=255, **form):
    """A gray picture as Chromium's canvas writes it, or nearly so."""
    pixels = np.dstack([levels] * 3 + [np.full_like(levels, alpha)])
    packed = zlib.compress(filtered(pixels, kind), level)
    return png(levels.shape[1], levels.shape[0], packed, **form)


def interlaced(pixels):
    """The same picture in Adam7, whose seven passes are filtered one by one."""
    height, width, _ = pixels.shape
    passes = [pixels[y::down, x::right] for x, y, right, down in PASSES]
    data = b"".join(filtered(part) for part in passes if part.size)
    return png(width, height, zlib.compress(data, 1), interlace=1)


def drawn(size=(112, 112), seed=0):
    """White strokes with soft edges on black, (H, W)."""
    rng = np.random.default_rng(seed)
    image = Image.new("L", (size[0] * 4, size[1] * 4))
    points = [(float(x * size[0] * 4), float(y * size[1] * 4)) for x, y in rng.random((5, 2))]
    ImageDraw.Draw(image).line(points, fill=255, width=max(2, size[0] // 3), joint="curve")
    return np.asarray(image.reduce(4))


def encoded(image, **options):
    stream = BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


def read(data):
    """The array's bytes or the code of the refusal, and the picture for keeping."""
    try:
        drawing = images.read({"png": base64.b64encode(data).decode()})
    except InputError as error:
        return error.code, b""
    return drawing.array.tobytes(), drawing.png()


def read_by_pillow(data, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(images, "gray_levels", lambda *_: None)
        return read(data)


def read_plainly(data):
    """The array's bytes by the formula itself, on every pixel in float32, or the refusal."""
    with Image.open(BytesIO(data)) as image:
        gray = np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255)
    border = np.concatenate((gray[0], gray[-1], gray[:, 0], gray[:, -1]))
    paper = float(np.median(border))
    grain = 3 * float(np.median(np.abs(border - paper)))
    ink = gray - paper if paper < 0.5 else paper - gray
    try:
        room = max(max(paper, 1 - paper) - grain, 0.1)
        return normalise(np.clip((ink - grain) / room, 0.0, 1.0)).tobytes()
    except InputError as error:
        return error.code


levels_of_pictures = st.one_of(
    st.builds(
        drawn,
        st.tuples(st.integers(1, 290), st.integers(1, 290)),
        st.integers(0, 10_000),
    ),
    st.builds(  # noise
        lambda height, width, seed: np.random.default_rng(seed).integers(
            0, 256, (height, width), dtype=np.uint8
        ),
        st.integers(1, 60),
        st.integers(1, 60),
        st.integers(0, 10_000),
    ),
)


@given(levels_of_pictures, st.integers(1, 3))
def test_a_canvas_is_read_as_pillow_reads_it(levels, parts):
    data = canvas(levels, parts=parts)
    quick = gray_levels(data, MOST)
    if max(levels.shape) > MOST:
        assert quick is None
    else:
        np.testing.assert_array_equal(quick, levels)
        assert quick.dtype == np.uint8
    with pytest.MonkeyPatch.context() as patch:
        assert read(data) == read_by_pillow(data, patch)


@given(
    st.integers(1, 223),
    st.integers(1, 223),
    st.integers(0, 10_000),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 40),
)
def test_levels_are_read_as_the_formula_reads_pixels(width, height, seed, paper, ink, grain):
    rng = np.random.default_rng(seed)
    share = drawn((width, height), seed) / 255
    noise = rng.integers(-grain, grain + 1, share.shape)
    levels = (paper + (ink - paper) * share + noise).clip(0, 255).astype(np.uint8)
    data = encoded(Image.fromarray(levels))
    assert read(data)[0] == read_plainly(data)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("another filter", canvas(drawn(), kind=1)),
        ("no filter", canvas(drawn(), kind=0)),
        ("another level", canvas(drawn(), level=6)),
        ("half transparent", canvas(drawn(), alpha=128)),
        ("clear", canvas(drawn(), alpha=0)),
        ("larger", canvas(drawn((281, 100)))),
        ("more parts", canvas(drawn(), parts=200)),
        ("a comment", canvas(drawn(), extra=chunk(b"tEXt", b"a\0b"))),
        ("a palette", encoded(Image.fromarray(drawn()).convert("P"))),
        ("gray", encoded(Image.fromarray(drawn()))),
        ("gray with alpha", encoded(Image.fromarray(drawn()).convert("LA"))),
        ("no alpha", encoded(Image.fromarray(drawn()).convert("RGB"))),
        ("bits", encoded(Image.fromarray(drawn()).convert("1"))),
        ("16 bits", encoded(Image.fromarray(drawn().astype(np.uint16) * 257))),
        ("Pillow's filters", encoded(Image.fromarray(drawn()).convert("RGBA"))),
        ("interlaced", interlaced(np.dstack([drawn()] * 3 + [np.full_like(drawn(), 255)]))),
        ("bytes after it", canvas(drawn()) + b"more"),
    ],
)
def test_other_forms_are_left_to_pillow(name, data, monkeypatch):
    assert gray_levels(data, MOST) is None
    result = read(data)
    assert result == read_by_pillow(data, monkeypatch)
    assert result[0] != "bad_image"


@pytest.mark.parametrize("channel", range(4))
@pytest.mark.parametrize("place", [(0, 0), (0, 50), (1, 0), (60, 0), (60, 50), (111, 111)])
def test_one_coloured_or_transparent_pixel_is_seen(channel, place, monkeypatch):
    pixels = np.dstack([drawn()] * 3 + [np.full((112, 112), 255, np.uint8)])
    pixels[(*place, channel)] ^= 1
    data = png(112, 112, zlib.compress(filtered(pixels), 1))
    assert gray_levels(data, MOST) is None
    assert read(data) == read_by_pillow(data, monkeypatch)


@given(st.data())
def test_a_damaged_canvas_is_read_or_refused_as_by_pillow(data):
    whole = canvas(drawn((40, 40)), parts=data.draw(st.integers(1, 3)))
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(
        st.sampled_from(
            [
                whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :],
                whole[:at],
                whole[:at] + whole[at + 1 :],
                whole[:at] + whole[at : at + 8] + whole[at:],
            ]
        )
    )
    with pytest.MonkeyPatch.context() as patch:
        assert read(damaged) == read_by_pillow(damaged, patch)


def test_of_two_checksums_the_chunk_s_is_looked_at(monkeypatch):
    """Pillow reads Adler-32 and not CRC-32: this is the one file of which the two think unalike."""
    pixels = np.dstack([drawn()] * 3 + [np.full((112, 112), 255, np.uint8)])
    packed = zlib.compress(filtered(pixels), 1)
    wrong = packed[:-1] + bytes([packed[-1] ^ 1])
    np.testing.assert_array_equal(gray_levels(png(112, 112, wrong), MOST), drawn())
    assert read_by_pillow(png(112, 112, wrong), monkeypatch)[0] == "bad_image"
    damaged = png(112, 112, packed)[:-13] + b"\0" + canvas(drawn())[-12:]
    assert gray_levels(damaged, MOST) is None
    assert read(damaged) == read(png(112, 112, packed))


@pytest.mark.parametrize("rows", [111, 113, 100_000])
def test_more_or_less_than_the_header_says_is_left_to_pillow(rows, monkeypatch):
    levels = np.resize(drawn(), (rows, 112))
    pixels = np.dstack([levels] * 3 + [np.full_like(levels, 255)])
    data = png(112, 112, zlib.compress(filtered(pixels), 1))
    assert gray_levels(data, MOST) is None
    assert read(data) == read_by_pillow(data, monkeypatch)


@pytest.mark.parametrize("length", range(46))
def test_too_few_bytes_are_left_to_pillow(length):
    whole = canvas(drawn())
    data = whole[:length] + whole[-12:]
    assert gray_levels(data, MOST) is None
    assert read(data)[0] == "bad_image"


def test_a_decompression_bomb_is_not_unpacked(monkeypatch):
    asked = []

    class Unpacking:
        def __init__(self, bits):
            self._inner = real(bits)

        def __getattr__(self, name):
            return getattr(self._inner, name)

        def decompress(self, data, most):
            unpacked = self._inner.decompress(data, most)
            asked.append(len(unpacked))
            return unpacked

    real = zlib.decompressobj
    monkeypatch.setattr("kinds.image.canvas_png.zlib.decompressobj", Unpacking)
    bomb = zlib.compress(b"\x02" + bytes(100_000_000), 1)
    assert gray_levels(png(112, 112, bomb), MOST) is None
    assert asked == [112 * 449 + 1]


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (2**31, 1), (1, 2**32 - 1)])
def test_a_size_that_is_none_is_left_to_pillow(size):
    data = png(*size, zlib.compress(bytes(100), 1))
    assert gray_levels(data, MOST) is None
    assert read(data)[0] in {"bad_image", "too_large"}


@pytest.mark.parametrize("shades", [2, 256])
def test_a_gray_picture_is_kept_as_it_is(shades):
    levels = np.zeros((61, 112), np.uint8)
    levels[20:40] = np.random.default_rng(1).integers(0, shades, (20, 112)) * (255 // (shades - 1))

    kept = gray_png(levels)

    with Image.open(BytesIO(kept)) as image:
        image.verify()  # the checksums of its parts
    with Image.open(BytesIO(kept)) as image:
        assert (image.mode, image.info) == ("L", {})
        assert np.array_equal(np.asarray(image), levels)
