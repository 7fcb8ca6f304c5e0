"""Drawings and uploads become MNIST-like images, or a clear refusal."""

import base64
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from kinds.image.pixels import (
    MAX_BYTES,
    STORED_SIDE,
    InputError,
    decode,
    normalise,
    png_of,
)
from kinds.image.pixels import read as read_input
from ml.learners.digits.data import load_idx

MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist"


def drawing(mode="L", paper=0, ink=255, size=(112, 112)):
    image = Image.new(mode, size, paper)
    width, height = size
    points = [(0.3 * width, 0.2 * height), (0.7 * width, 0.3 * height), (0.4 * width, 0.8 * height)]
    ImageDraw.Draw(image).line(points, fill=ink, width=width // 12)
    return image


def encoded(image, kind="PNG", **options):
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def as_input(data):
    return {"png": base64.b64encode(data).decode()}


def read(image, kind="PNG", **options):
    return decode(as_input(encoded(image, kind, **options)))


def png_chunk(kind, data):
    return (
        struct.pack(">I", len(data))
        + kind
        + data
        + struct.pack(">I", zlib.crc32(kind + data) & 0xFFFFFFFF)
    )


def png_of_size(width, height):
    """A small PNG whose header promises width x height pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1_000_000), 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", data)
        + png_chunk(b"IEND", b"")
    )


def code_of(value):
    with pytest.raises(InputError) as caught:
        decode(value)
    assert caught.value.message.endswith(".")
    assert str(caught.value) == caught.value.message
    return caught.value.code


def test_a_drawing_is_framed_like_mnist():
    image = read(drawing())
    assert image.shape == (28, 28)
    assert image.dtype == np.float32
    assert image.min() == 0
    assert image.max() == 1
    rows, columns = np.nonzero(image > 0.02)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    for axis in (0, 1):
        centre = image.sum(axis=1 - axis) @ np.arange(28) / image.sum()
        assert abs(centre - 14) <= 0.5


@pytest.mark.parametrize(
    "other",
    [
        drawing(paper=255, ink=0),
        drawing("RGB", (255, 255, 255), (0, 0, 0)),
        drawing("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)),
        drawing("RGBA", (255, 255, 255, 0), (255, 255, 255, 255)),
        drawing("RGBA", (255, 255, 255, 255), (0, 0, 0, 255)),
        drawing("LA", (0, 0), (0, 255)),
        drawing("1", 0, 1),
        drawing("I;16", 0, 65535),
        drawing().convert("P"),
    ],
    ids=["dark", "rgb", "clear-dark", "clear-light", "opaque", "la", "bits", "sixteen", "palette"],
)
def test_polarity_transparency_and_mode_do_not_matter(other):
    np.testing.assert_allclose(read(other), read(drawing()), atol=0.02)


def test_place_and_size_do_not_matter():
    moved = Image.new("L", (200, 160))
    moved.paste(drawing(), (80, 40))
    np.testing.assert_allclose(read(moved), read(drawing()), atol=1e-6)
    finer = read(drawing(size=(224, 224)))
    # Whole pixels: the centre of mass of a finer drawing may round to the neighbour.
    near = [np.roll(finer, shift, (0, 1)) for shift in np.ndindex(2, 2)]
    near += [np.roll(finer, (-y, -x), (0, 1)) for y, x in np.ndindex(2, 2)]
    assert min(np.abs(image - read(drawing())).mean() for image in near) < 0.02


def test_a_jpeg_reads_like_the_png():
    assert (
        np.abs(read(drawing(paper=255, ink=0), "JPEG", quality=90) - read(drawing())).mean() < 0.02
    )


def test_grain_of_a_photo_is_not_ink():
    clean = np.asarray(drawing(paper=220, ink=30), dtype=np.float32)
    grain = np.random.default_rng(0).normal(0, 3, clean.shape)
    photo = Image.fromarray((clean + grain).clip(0, 255).astype(np.uint8))
    assert np.abs(read(photo) - read(drawing())).mean() < 0.05


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    stored = drawing(paper=255, ink=0).transpose(Image.Transpose.ROTATE_90)
    np.testing.assert_allclose(
        read(stored, "JPEG", quality=95, exif=exif),
        read(drawing(paper=255, ink=0), "JPEG", quality=95),
        atol=0.1,
    )


def test_pixels_of_an_mnist_like_image_come_back_as_they_were():
    framed = read(drawing())
    again = decode({"pixels": [float(v) for v in framed.ravel()]})
    np.testing.assert_allclose(again, framed, atol=0.03)


@pytest.mark.skipif(not MNIST.exists(), reason="the real MNIST images are not here")
def test_real_mnist_images_are_already_normal():
    x = load_idx(MNIST).x[:500]
    np.testing.assert_allclose(np.stack([normalise(image) for image in x]), x, atol=0.05)


@pytest.mark.parametrize("ink", [0, 1])
def test_an_empty_drawing_says_so(ink):
    with pytest.raises(InputError, match="draw something first") as caught:
        normalise(np.full((28, 28), 1.0 - ink, dtype=np.float32), ink)
    assert caught.value.code == "empty_drawing"
    assert code_of({"pixels": [0] * 784}) == "empty_drawing"
    assert code_of(as_input(encoded(Image.new("RGBA", (50, 50))))) == "empty_drawing"


@pytest.mark.parametrize(
    "value",
    [None, [], "x", {}, {"jpeg": ""}, {"png": "", "pixels": []}],
)
def test_an_unknown_form_is_refused(value):
    assert code_of(value) == "bad_input"


@pytest.mark.parametrize(
    "pixels",
    [
        [0.5] * 783,
        [0.5] * 785,
        [0.5] * 783 + [float("nan")],
        [0.5] * 783 + [float("inf")],
        [0.5] * 783 + [10**400],
        [0.5] * 783 + [1.01],
        [0.5] * 783 + [-0.1],
        [0.5] * 783 + [True],
        [0.5] * 783 + ["1"],
        [0.5] * 783 + [None],
        [[0.5] * 28] * 28,
        "0.5",
    ],
)
def test_bad_pixels_are_refused(pixels):
    assert code_of({"pixels": pixels}) == "bad_pixels"


@pytest.mark.parametrize("text", [7, None, "ä", "abc", "data:image/png;base64,AAAA"])
def test_bad_base64_is_refused(text):
    assert code_of({"png": text}) == "bad_base64"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not an image",
        encoded(drawing())[:60],
        encoded(drawing(), "GIF"),
        encoded(drawing(), "BMP"),
        encoded(drawing(), "TIFF"),
    ],
)
def test_only_whole_png_and_jpeg_files_are_opened(data):
    assert code_of(as_input(data)) == "bad_image"


def test_too_many_bytes_are_refused_unread():
    assert code_of({"png": "A" * (4 * MAX_BYTES)}) == "too_large"


@pytest.mark.parametrize("size", [(1121, 10), (10, 1121), (11_000, 11_000), (60_000, 60_000)])
def test_a_decompression_bomb_is_refused_by_its_header(size, monkeypatch):
    def decompressed(*_args):
        raise AssertionError("pixel data was decompressed")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decompressed)
    assert code_of(as_input(png_of_size(*size))) == "too_large"


def test_an_inflated_text_chunk_is_refused():
    bomb = png_chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(200_000_000), 9))
    data = encoded(drawing())
    assert code_of(as_input(data[:33] + bomb + data[33:])) == "bad_image"


def test_a_stored_upload_is_small_clean_and_reads_the_same():
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    upload = encoded(drawing("RGB", (250, 250, 250), (20, 20, 90), (900, 600)), "JPEG", exif=exif)
    stored = read_input(as_input(upload)).png()
    assert b"taken at home" in upload
    assert b"taken at home" not in stored
    with Image.open(BytesIO(stored)) as image:
        assert image.format == "PNG"
        assert image.mode == "L"
        assert image.size == (STORED_SIDE, 187)
        assert not image.info
    np.testing.assert_array_equal(decode(as_input(stored)), decode(as_input(upload)))
    assert read_input(as_input(stored)).png() == stored


def test_png_of_round_trips():
    framed = read(drawing())
    with Image.open(BytesIO(png_of(framed))) as image:
        np.testing.assert_allclose(np.asarray(image) / 255, framed, atol=1 / 255)


@pytest.mark.parametrize("thick", [1, 2])
@pytest.mark.parametrize("size", [64, 300])
def test_a_thin_frame_round_a_scan_is_no_paper(size: int, thick: int) -> None:
    scan = np.full((size, size), 240, dtype=np.uint8)
    scan[size // 4 : 3 * size // 4, size // 2 : size // 2 + size // 12] = 20
    plain = read(Image.fromarray(scan))
    framed = scan.copy()
    framed[:thick] = framed[-thick:] = 0
    framed[:, :thick] = framed[:, -thick:] = 0
    np.testing.assert_allclose(read(Image.fromarray(framed)), plain, atol=0.15)
    np.testing.assert_allclose(read(Image.fromarray(255 - framed)), plain, atol=0.15)
