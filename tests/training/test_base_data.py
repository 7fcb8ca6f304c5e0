"""The clean data is read back as it was, or not at all."""

from pathlib import Path

import numpy as np
import pytest

from ml.digits import Images
from training.base_data import BaseData, BaseDataError, read, store


def some_images(n: int, seed: int) -> Images:
    rng = np.random.default_rng(seed)
    return Images(
        rng.random((n, 28, 28), dtype=np.float32), rng.integers(10, size=n), "random images"
    )


def test_what_is_stored_is_read_back_bit_by_bit(tmp_path: Path) -> None:
    base = BaseData(some_images(5, 0), some_images(3, 1))
    named = store(base, tmp_path)
    assert store(base, tmp_path) == named
    assert len(list(tmp_path.glob("*.npz"))) == 1
    again = read(named, tmp_path)
    assert again.train.x.tobytes() == base.train.x.tobytes()
    assert again.held_out.y.tolist() == base.held_out.y.tolist()
    assert again.train.source == "random images"
    assert (named["train"], named["held_out"]) == (5, 3)


def test_changed_or_missing_data_is_refused(tmp_path: Path) -> None:
    named = store(BaseData(some_images(5, 0), some_images(3, 1)), tmp_path)
    path = tmp_path / named["file"]
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(BaseDataError, match="was changed"):
        read(named, tmp_path)
    path.unlink()
    with pytest.raises(BaseDataError, match="is missing"):
        read(named, tmp_path)
