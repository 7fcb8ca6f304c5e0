"""The clean data that a base model was trained on, kept so that every retraining reads the same.

One file beside the models, named by the SHA-256 of its bytes; imports no Django.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ml.artifacts import keep
from ml.digits import Images

SUFFIX = ".base.npz"


class BaseDataError(RuntimeError):
    """The clean data of a model is missing, or is not what was registered."""


@dataclass(frozen=True)
class BaseData:
    """Clean images: what may be trained on, and what only tests."""

    train: Images
    held_out: Images


def store(base: BaseData, folder: Path) -> dict[str, Any]:
    """Write the data once and return how a model's config names it: file, sha256, sizes, source.

    Pixels are kept as float32, so what is read back is what the model saw, bit by bit.
    """
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        allow_pickle=False,
        train_x=base.train.x,
        train_y=base.train.y,
        held_out_x=base.held_out.x,
        held_out_y=base.held_out.y,
        source=np.array(base.train.source),
    )
    path = keep(stream.getvalue(), folder, SUFFIX)
    return {
        "file": path.name,
        "sha256": path.name.removesuffix(SUFFIX),
        "source": base.train.source,
        "train": len(base.train),
        "held_out": len(base.held_out),
    }


def read(named: dict[str, Any], folder: Path) -> BaseData:
    """Read what a model's config names; BaseDataError when it is not exactly that."""
    path = folder / named["file"]
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise BaseDataError(f"The base data {path.name} is missing.") from error
    if hashlib.sha256(data).hexdigest() != named["sha256"]:
        raise BaseDataError(f"The base data {path.name} was changed after it was registered.")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            source = str(arrays["source"])
            return BaseData(
                train=Images(arrays["train_x"], arrays["train_y"], source),
                held_out=Images(arrays["held_out_x"], arrays["held_out_y"], source),
            )
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise BaseDataError(f"The base data {path.name} cannot be read: {error}") from error
