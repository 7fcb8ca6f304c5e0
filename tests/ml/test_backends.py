"""Engines: the same answer from each, alone, in company and in parallel."""

import logging
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from io import BytesIO
from zipfile import ZipFile

import numpy as np
import pytest
import torch

from ml.artifacts import ArtifactError, TamperedArtifact
from ml.backends import Source, open_model, source_of
from ml.backends.onnx import OnnxBackend
from ml.backends.torch import TorchBackend
from ml.learners import Trained, save
from ml.learners.digits.export import probe_images
from ml.learners.digits.net import DigitNet

pytestmark = pytest.mark.once
torch.set_num_threads(1)

LABELS = [str(digit) for digit in range(10)]


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(5)
    return DigitNet()


@pytest.fixture(scope="module")
def saved(net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return source_of(save(Trained("digits", tuple(LABELS), net, {}), folder), folder)


@pytest.fixture(params=["onnx", "torch"])
def backend(request, saved):
    return open_model(request.param, saved)


def test_the_preferred_engine_opens(saved):
    assert isinstance(open_model("onnx", saved).itself, OnnxBackend)
    assert isinstance(open_model("torch", saved).itself, TorchBackend)


def test_answers_are_probabilities_for_each_label(backend):
    images = probe_images()
    probabilities = backend.probabilities(images)
    assert backend.labels == tuple(LABELS)
    assert probabilities.shape == (len(images), 10)
    assert probabilities.dtype == np.float32
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_no_images_get_no_answers(backend):
    assert backend.probabilities(np.empty((0, 28, 28), np.float32)).shape == (0, 10)


@pytest.mark.parametrize("size", [2, 7, 64])
def test_an_answer_does_not_depend_on_its_company(backend, size):
    images = probe_images(seed=11)
    alone = np.concatenate([backend.probabilities(image[None]) for image in images])
    starts = range(0, len(images), size)
    together = np.concatenate([backend.probabilities(images[at : at + size]) for at in starts])
    shuffled = np.random.default_rng(0).permutation(len(images))
    mixed = np.empty_like(alone)
    mixed[shuffled] = backend.probabilities(images[shuffled])
    tolerance = 0 if isinstance(backend.itself, OnnxBackend) else 1e-6
    assert np.abs(alone - together).max() <= tolerance
    assert np.abs(alone - mixed).max() <= tolerance
    assert (alone.argmax(axis=1) == together.argmax(axis=1)).all()


def test_more_images_than_one_pass_takes_are_answered_in_order(backend):
    images = np.tile(probe_images(), (6, 1, 1))
    many = backend.probabilities(images)
    assert len(many) == 576
    np.testing.assert_allclose(
        many, np.tile(backend.probabilities(probe_images()), (6, 1)), atol=1e-6
    )


def test_images_that_are_not_contiguous_are_read_right(backend):
    images = probe_images()
    turned = np.asfortranarray(images)
    np.testing.assert_array_equal(backend.probabilities(turned), backend.probabilities(images))
    np.testing.assert_allclose(
        backend.probabilities(images[::2]), backend.probabilities(images)[::2], atol=1e-6
    )


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((28, 28), np.float32),
        np.zeros((1, 1, 28, 28), np.float32),
        np.zeros((1, 27, 28), np.float32),
        np.zeros((1, 28, 28), np.float64),
        np.zeros((1, 28, 28), np.uint8),
    ],
)
def test_other_shapes_and_types_are_refused(backend, images):
    with pytest.raises(ValueError, match=r"must be \(28, 28\) float32"):
        backend.probabilities(images)


def test_threads_that_predict_at_once_get_their_own_answers(backend):
    images = probe_images(seed=3)
    alone = [backend.probabilities(image[None])[0] for image in images]
    with ThreadPoolExecutor(4) as threads:
        rows = list(threads.map(lambda image: backend.probabilities(image[None])[0], images))
    np.testing.assert_allclose(rows, alone, atol=1e-6)


def test_torch_leaves_the_threads_of_training_alone(saved):
    backend = open_model("torch", saved)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        backend.probabilities(probe_images())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_a_graph_that_does_not_run_falls_back_to_torch_and_says_so(saved, tmp_path, caplog):
    out = BytesIO()
    with ZipFile(saved.file) as old, ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"no graph" if name == "net.onnx" else old.read(name))
    path = tmp_path / "broken.model"
    path.write_bytes(out.getvalue())
    with caplog.at_level(logging.WARNING):
        backend = open_model("onnx", Source(path, sha256(out.getvalue()).hexdigest(), {}))
    assert isinstance(backend.itself, TorchBackend)
    assert "torch serves" in caplog.text


def test_a_changed_file_does_not_open(saved, tmp_path):
    path = tmp_path / "changed.model"
    path.write_bytes(saved.file.read_bytes() + b"\0")
    with pytest.raises(TamperedArtifact):
        open_model("onnx", Source(path, saved.sha256, {}))


def test_a_model_with_labels_that_do_not_fit_does_not_open(saved, tmp_path):
    out = BytesIO()
    with ZipFile(saved.file) as old, ZipFile(out, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data.replace(b'"9"]', b'"9", "x"]'))
    path = tmp_path / "eleven.model"
    path.write_bytes(out.getvalue())
    with pytest.raises(ArtifactError, match="not 11 labels"):
        open_model("onnx", Source(path, sha256(out.getvalue()).hexdigest(), {}))
