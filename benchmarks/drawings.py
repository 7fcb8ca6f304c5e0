"""Distinct drawings, as the page sends them: made once, kept in the cache folder.

Every one is a real digit (scikit-learn's) redrawn by another hand, 112 pixels a side, in the form
that Chromium's canvas gives it. There are more of them than a process remembers answers to, and a
run takes them in turn, so that the prediction cache never answers.
"""

from __future__ import annotations

import base64
import os
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# More than annotate.inference.CACHED_PREDICTIONS, which forgets the least recently used.
COUNT = 56_000
CHUNK = 1_000  # made at a time, when first asked for
SIDE = 112
SEED = 7


def cache_folder() -> Path:
    """Where what is costly to make is kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "dadc-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def take(first: int, count: int) -> list[tuple[str, str]]:
    """That many drawings from the pool's `first` on, round and round: label and base64 PNG."""
    taken: list[tuple[str, str]] = []
    while len(taken) < count:
        chunk, start = divmod((first + len(taken)) % COUNT, CHUNK)
        taken += _chunk(chunk)[start:]
    return taken[:count]


def _chunk(number: int) -> list[tuple[str, str]]:
    """A thousand drawings, a label and a base64 PNG a line; made when the file is missing."""
    path = cache_folder() / f"canvas-{SEED}-{number}.txt"
    if not path.exists():
        making = path.with_suffix(f".{os.getpid()}")
        with making.open("w") as file:
            file.writelines(f"{label} {png}\n" for label, png in islice(_redrawn(number), CHUNK))
        making.replace(path)
    with path.open() as file:
        return [(label, png) for label, _, png in (line.rstrip().partition(" ") for line in file)]


def _redrawn(chunk: int) -> Iterator[tuple[str, str]]:
    from ml.learners.digits.augmentation import augment

    rng = np.random.default_rng((SEED, chunk))
    digits = _digits()
    while True:
        for rows in np.array_split(rng.permutation(len(digits)), 14):
            for drawn, label in zip(augment(digits.x[rows], rng), digits.y[rows], strict=True):
                if drawn.max() > 0.5:  # the thinnest pens leave nothing to read
                    yield str(label), base64.b64encode(_canvas_png(drawn)).decode()


@cache
def _digits() -> Any:
    from ml.learners.digits.data import load_sklearn

    return load_sklearn()


def _canvas_png(drawn: np.ndarray) -> bytes:
    large = Image.fromarray(drawn).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    pen = np.clip((np.asarray(large) - 0.5) * 4 + 0.5, 0, 1)  # a pen's edge is a pixel or two wide
    return chromium_png(np.rint(pen * 255).astype(np.uint8))


def chromium_png(levels: np.ndarray) -> bytes:
    """A gray picture as Chromium's canvas writes it: RGBA, each row less the one above, level 1."""
    height, width = levels.shape
    pixels = np.dstack([levels, levels, levels, np.full_like(levels, 255)]).reshape(height, -1)
    steps = np.diff(pixels, axis=0, prepend=np.zeros_like(pixels[:1]))
    rows = np.insert(steps, 0, 2, axis=1)  # the filter "up"
    header = struct.pack(">II5B", width, height, 8, 6, 0, 0, 0)
    bodies = {b"IHDR": header, b"IDAT": zlib.compress(rows.tobytes(), 1), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in bodies.items()
    )
