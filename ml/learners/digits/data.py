"""Clean data: real digits, framed by the function that frames drawings."""

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinds.image.pixels import normalise
from ml.learners import BadSource

_IMAGE_MAGIC: Final = 2051
_LABEL_MAGIC: Final = 2049
_COARSE = 8  # scikit-learn's digits: 32x32 bitmaps whose 4x4 blocks were counted
_FINE = 32


@dataclass(frozen=True, slots=True)
class Images:
    """Labelled images: x (n, 28, 28) float32 in 0..1 with ink 1, y (n,) int64, and their source.

    Where people do not agree on the label of one of them, y is (n, 10) float32, their shares.
    """

    x: NDArray[np.float32]
    y: NDArray[Any]
    source: str

    def __post_init__(self) -> None:
        if self.x.ndim != 3 or self.x.shape[1:] != (28, 28) or len(self.y) != len(self.x):
            raise BadSource(f"Images {self.x.shape} and labels {self.y.shape} do not belong.")

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: NDArray[np.int64]) -> "Images":
        """Choose rows by position."""
        return Images(self.x[index], self.y[index], self.source)


def load(source: str) -> Images:
    """Read `sklearn`, `mnist`, or a folder of IDX files; BadSource says why not."""
    try:
        if source == "sklearn":
            return load_sklearn()
        return load_openml() if source == "mnist" else load_idx(source)
    except (BadSource, OSError) as error:
        raise BadSource(f"The base data cannot be read: {error}") from error


def load_sklearn() -> Images:
    """Load the 1,797 handwritten digits that scikit-learn ships, restored to 28x28.

    The images were written by 13 people; the order of scikit-learn's rows is kept.
    """
    # Imported here: a second that no web worker has to spend.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    coarse = np.asarray(bunch.images / 16, dtype=np.float32)
    x = np.stack([normalise(image) for image in restore_bitmaps(coarse)])
    return Images(x, np.asarray(bunch.target, dtype=np.int64), "scikit-learn digits")


def restore_bitmaps(coarse: NDArray[np.float32], rounds: int = 20) -> NDArray[np.float32]:
    """Recover (n, 32, 32) outlines from (n, 8, 8) shares of ink by iterative back-projection.

    Upsample, draw a steep outline, count its blocks, add what is missing, and again: the result
    counts to the same shares within about one percent, yet has the edges of a pen stroke.
    """
    upsample = _cubic_upsampling()
    block = _FINE // _COARSE
    field = (upsample @ coarse @ upsample.T).astype(np.float32)
    for _ in range(rounds):
        outline = _outline(field)
        counted = outline.reshape(-1, _COARSE, block, _COARSE, block).mean(axis=(2, 4))
        field += upsample @ (coarse - counted) @ upsample.T
    return _outline(field)


def _outline(field: NDArray[np.float32]) -> NDArray[np.float32]:
    outline: NDArray[np.float32] = 1 / (1 + np.exp(np.float32(-8) * (field - np.float32(0.5))))
    return outline


def _cubic_upsampling() -> NDArray[np.float32]:
    """Catmull-Rom interpolation as a (32, 8) matrix; beyond the edge there is paper."""
    position = (np.arange(_FINE) + 0.5) * _COARSE / _FINE - 0.5
    t = np.abs(position[:, None] - np.arange(_COARSE)[None, :])
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return np.where(t < 1, near, np.where(t < 2, far, 0)).astype(np.float32)


def load_idx(folder: str | Path) -> Images:
    """Load MNIST's IDX files (`train-*` and `t10k-*`, gzipped or not) that lie in a folder.

    Takes whichever of the two parts are there. Missing or broken files raise BadSource.
    """
    folder = Path(folder)
    xs: list[NDArray[np.uint8]] = []
    ys: list[NDArray[np.uint8]] = []
    for part in ("train", "t10k"):
        images = _find(folder, f"{part}-images", "idx3-ubyte")
        labels = _find(folder, f"{part}-labels", "idx1-ubyte")
        if images is None and labels is None:
            continue
        if images is None or labels is None:
            raise BadSource(f"{folder} has only one of {part}'s images and labels.")
        xs.append(_read_idx(images, _IMAGE_MAGIC))
        ys.append(_read_idx(labels, _LABEL_MAGIC))
        if xs[-1].shape[1:] != (28, 28) or len(xs[-1]) != len(ys[-1]):
            raise BadSource(f"{images.name} and {labels.name} do not belong together.")
    if not xs:
        raise BadSource(f"{folder} has no train-images-idx3-ubyte or t10k-images-idx3-ubyte.")
    x = np.concatenate(xs).astype(np.float32)
    x /= 255
    return Images(x, np.concatenate(ys).astype(np.int64), f"IDX files in {folder.name}")


def load_openml() -> Images:
    """Load MNIST's 70,000 images from OpenML; downloads 15 MB the first time, then a cache."""
    from sklearn.datasets import fetch_openml

    bunch = fetch_openml(
        "mnist_784",
        version=1,
        as_frame=False,
        parser="liac-arff",  # pandas would be four times as fast, once, and 60 MB for all
    )
    x = np.asarray(bunch.data, dtype=np.float32).reshape(-1, 28, 28)
    x /= 255
    return Images(x, np.asarray(bunch.target, dtype=np.int64), "MNIST from OpenML")


def split_clean(images: Images, seed: int, share: float = 0.2) -> tuple[Images, Images]:
    """Split into what may be trained on and a held-out clean set, stratified by label.

    The held-out set decides promotions, so every later training must use the same seed.
    """
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(images), dtype=bool)
    for label in np.unique(images.y):
        rows = rng.permutation(np.flatnonzero(images.y == label))
        held_out[rows[: round(share * len(rows))]] = True
    return images.take(np.flatnonzero(~held_out)), images.take(np.flatnonzero(held_out))


def _find(folder: Path, stem: str, ending: str) -> Path | None:
    """Both spellings of MNIST's names are in use: `images-idx3` and `images.idx3`."""
    for separator in ("-", "."):
        for suffix in (".gz", ""):
            path = folder / f"{stem}{separator}{ending}{suffix}"
            if path.is_file():
                return path
    return None


def _read_idx(path: Path, magic: int) -> NDArray[np.uint8]:
    """Parse one IDX file of bytes: big-endian magic, one 32-bit size per dimension, the data."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        found, *_ = np.frombuffer(data, ">i4", count=1)
        if found != magic:
            raise BadSource(f"{path.name} is not an IDX file of the expected kind.")
        dimensions = magic & 0xFF
        shape = tuple(int(size) for size in np.frombuffer(data, ">i4", dimensions, offset=4))
        return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, ValueError) as error:
        if isinstance(error, BadSource):
            raise
        raise BadSource(f"{path.name} cannot be read: {error}") from error
