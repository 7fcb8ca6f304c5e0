"""Base data: where it comes from, how it is framed, split, augmented and warped."""

import gzip
import hashlib
import json
import struct

import numpy as np
import pytest
import torch

from kinds.image.pixels import normalise
from ml.learners import BadSource
from ml.learners.digits.augmentation import augment
from ml.learners.digits.data import (
    Images,
    load_idx,
    load_openml,
    load_sklearn,
    restore_bitmaps,
    split_clean,
)

pytestmark = pytest.mark.once
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def real():
    return load_sklearn()


def write_idx(path, values):
    values = np.asarray(values, dtype=np.uint8)
    header = struct.pack(f">{1 + values.ndim}i", 0x800 + values.ndim, *values.shape)
    data = header + values.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def test_scikit_learns_digits_are_framed_as_drawings_are(real):
    assert real.x.shape == (1797, 28, 28)
    assert real.x.dtype == np.float32
    assert real.y.dtype == np.int64
    assert np.bincount(real.y).min() >= 170
    np.testing.assert_allclose(
        np.stack([normalise(image) for image in real.x[:50]]), real.x[:50], atol=0.05
    )


def test_restored_bitmaps_have_the_same_blocks_and_hard_edges():
    from sklearn.datasets import load_digits

    coarse = (load_digits().images[:50] / 16).astype(np.float32)
    fine = restore_bitmaps(coarse)
    assert fine.shape == (50, 32, 32)
    counted = fine.reshape(50, 8, 4, 8, 4).mean(axis=(2, 4))
    assert np.abs(counted - coarse).mean() < 0.01
    blocky = np.kron(coarse, np.ones((4, 4)))
    assert np.mean((fine > 0.1) & (fine < 0.9)) < 0.7 * np.mean((blocky > 0.1) & (blocky < 0.9))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_are_read(tmp_path, suffix):
    values = np.random.default_rng(0).integers(256, size=(6, 28, 28))
    write_idx(tmp_path / f"train-images-idx3-ubyte{suffix}", values[:4])
    write_idx(tmp_path / f"train-labels-idx1-ubyte{suffix}", [3, 1, 4, 1])
    write_idx(tmp_path / f"t10k-images.idx3-ubyte{suffix}", values[4:])
    write_idx(tmp_path / f"t10k-labels.idx1-ubyte{suffix}", [5, 9])
    images = load_idx(tmp_path)
    np.testing.assert_allclose(images.x, values / 255, atol=1e-6)
    assert images.y.tolist() == [3, 1, 4, 1, 5, 9]


def test_broken_idx_folders_are_refused_with_a_sentence(tmp_path):
    with pytest.raises(BadSource, match="has no train-images"):
        load_idx(tmp_path)
    images, labels = tmp_path / "train-images-idx3-ubyte", tmp_path / "train-labels-idx1-ubyte"
    write_idx(images, np.zeros((2, 28, 28)))
    with pytest.raises(BadSource, match="only one of"):
        load_idx(tmp_path)
    write_idx(labels, [1, 2, 3])
    with pytest.raises(BadSource, match="do not belong together"):
        load_idx(tmp_path)
    write_idx(labels, np.zeros((2, 2, 2)))
    with pytest.raises(BadSource, match="not an IDX file"):
        load_idx(tmp_path)
    labels.write_bytes(b"\0\0\x08\x01\0\0\0\x09ab")
    with pytest.raises(BadSource, match="cannot be read"):
        load_idx(tmp_path)
    labels.unlink()
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8bbroken")
    with pytest.raises(BadSource, match="cannot be read"):
        load_idx(tmp_path)


def test_openml_is_read_from_its_cache(tmp_path, monkeypatch):
    """The same three images as a download would leave them, in OpenML's own formats."""
    x = np.random.default_rng(0).integers(256, size=(3, 784))
    names = [*(f"pixel{i + 1}" for i in range(784)), "class"]
    arff = "@RELATION mnist_784\n"
    arff += "".join(f"@ATTRIBUTE {name} REAL\n" for name in names[:-1])
    arff += "@ATTRIBUTE class {0,1,2,3,4,5,6,7,8,9}\n@DATA\n"
    arff += "".join(
        ",".join(map(str, [*row, label])) + "\n" for row, label in zip(x, "507", strict=True)
    )
    digest = hashlib.md5(arff.encode()).hexdigest()
    features = [
        {
            "index": str(i),
            "name": name,
            "data_type": "nominal" if name == "class" else "numeric",
            "is_target": str(name == "class").lower(),
            "is_ignore": "false",
            "is_row_identifier": "false",
            "number_of_missing_values": "0",
        }
        for i, name in enumerate(names)
    ]
    description = {
        "id": "554",
        "name": "mnist_784",
        "version": "1",
        "description": "digits",
        "format": "ARFF",
        "status": "active",
        "url": "https://www.openml.org/data/v1/download/52667/mnist_784.arff",
        "md5_checksum": digest,
        "file_id": "52667",
    }
    cached = {
        "api/v1/json/data/list/data_name/mnist_784/limit/2/data_version/1": {
            "data": {"dataset": [{"did": 554, "name": "mnist_784", "version": 1}]}
        },
        "api/v1/json/data/554": {"data_set_description": description},
        "api/v1/json/data/features/554": {"data_features": {"feature": features}},
        "api/v1/json/data/qualities/554": {
            "data_qualities": {"quality": [{"name": "NumberOfInstances", "value": "3"}]}
        },
    }
    files = {path: json.dumps(content) for path, content in cached.items()}
    files["data/v1/download/52667/mnist_784.arff"] = arff
    for path, content in files.items():
        file = tmp_path / "openml" / "openml.org" / f"{path}.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(content.encode()))
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))

    images = load_openml()
    np.testing.assert_allclose(images.x.reshape(3, 784), x / 255, atol=1e-6)
    assert images.y.tolist() == [5, 0, 7]


def test_images_and_labels_must_belong():
    with pytest.raises(BadSource):
        Images(np.zeros((3, 28, 28), np.float32), np.zeros(2, np.int64), "broken")


def test_the_clean_split_is_stratified_disjoint_and_repeatable(real):
    train, held_out = split_clean(real, seed=3)
    assert len(train) + len(held_out) == len(real)
    assert 0.19 < len(held_out) / len(real) < 0.21
    shares = np.bincount(held_out.y) / np.bincount(real.y)
    assert np.ptp(shares) < 0.01
    assert not {image.tobytes() for image in train.x} & {image.tobytes() for image in held_out.x}
    again = split_clean(real, seed=3)[1]
    np.testing.assert_array_equal(again.x, held_out.x)
    assert not np.array_equal(split_clean(real, seed=4)[1].x, held_out.x)


def test_augmented_digits_differ_each_time_and_stay_drawings(real):
    x = real.x[:100]
    first = augment(x, np.random.default_rng(1))
    np.testing.assert_array_equal(first, augment(x, np.random.default_rng(1)))
    assert np.abs(first - augment(x, np.random.default_rng(2))).mean() > 0.01
    framed = np.stack([normalise(image) for image in first])
    assert 0.5 < framed.mean() / x.mean() < 1.5
    assert (first[:, 0].max(), first[:, :, 0].max()) < (0.5, 0.5)  # nothing is cut off
