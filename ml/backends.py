"""Engines that answer images with probabilities, behind one protocol.

ONNX Runtime serves; torch is the reference and the fallback, imported only when it is needed: a
process that serves by ONNX alone stays some 200 MB smaller.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ml.artifacts import ArtifactError, load

if TYPE_CHECKING:
    from torch import nn

logger = logging.getLogger(__name__)

# Bounds the memory of one pass: the digits net needs about 60 kB of activations an image.
CHUNK: Final = 256

Images = NDArray[np.float32]
Probs = NDArray[np.float32]


class Backend(Protocol):
    """A model that is ready to answer, from any thread and from several at once."""

    @property
    def name(self) -> str:
        """The engine: "onnx" or "torch"."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What the columns of the probabilities stand for."""

    def predict(self, images: Images, /) -> Probs:
        """Answer (n, 28, 28) float32 images, paper 0 and ink 1, with (n, K) probabilities.

        Rows sum to 1. What an image is answered does not depend on its company by more than
        1e-6 (by nothing, with ONNX). Raises ValueError for another shape or type.
        """


class OnnxBackend:
    """An ONNX graph of probabilities on one thread, without a memory arena.

    One thread, because the processes are as many as the cores; no arena, because it keeps the
    memory of the largest batch for ever and measured no faster at batches of 1 to 256.
    """

    name = "onnx"

    def __init__(self, model: bytes, labels: Sequence[str]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.enable_cpu_mem_arena = False
        self.labels = tuple(labels)
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self._input: str = self._session.get_inputs()[0].name
        self._output: str = self._session.get_outputs()[0].name

    def predict(self, images: Images, /) -> Probs:
        return _in_chunks(self._pass, images, len(self.labels))

    def _pass(self, images: Images) -> Probs:
        probabilities: Probs = self._session.run([self._output], {self._input: images})[0]
        return probabilities


class TorchBackend:
    """A copy of a torch net in evaluation mode, on one thread and without autograd."""

    name = "torch"

    def __init__(self, net: nn.Module, labels: Sequence[str]) -> None:
        from ml.onnx_export import Probabilities

        self.labels = tuple(labels)
        self._probabilities = Probabilities(net)

    def predict(self, images: Images, /) -> Probs:
        with _one_torch_thread():
            return _in_chunks(self._pass, images, len(self.labels))

    def _pass(self, images: Images) -> Probs:
        import torch

        with torch.inference_mode():
            probabilities: Probs = self._probabilities(torch.from_numpy(images)).numpy()
        return probabilities


def open_backend(
    artifact_path: Path, sha256: str, prefer: Literal["onnx", "torch"] = "onnx"
) -> Backend:
    """The model of an artifact, checked and warmed up, on the preferred engine where it can be.

    Falls back to torch, with a warning in the log, when the ONNX graph is absent or cannot run.
    Raises ArtifactError (or a subclass) when the file or the model in it is unusable.
    """
    artifact = load(artifact_path, sha256)
    if prefer == "onnx" and artifact.onnx is not None:
        try:
            return _warmed_up(OnnxBackend(artifact.onnx, artifact.labels))
        except Exception:  # ONNX Runtime raises a dozen unrelated classes, and bare RuntimeError
            logger.warning(
                "the ONNX graph of %s does not run here; torch serves it",
                sha256[:12],
                exc_info=True,
            )
    return _warmed_up(TorchBackend(artifact.net(), artifact.labels))


def _warmed_up(backend: Backend) -> Backend:
    """The backend after its first passes, which are the slow ones, proved to give probabilities."""
    for count in (1, 2, 64):
        probabilities = backend.predict(np.zeros((count, 28, 28), np.float32))
        if probabilities.shape != (count, len(backend.labels)) or not np.allclose(
            probabilities.sum(axis=1), 1, atol=1e-4
        ):
            raise ArtifactError(f"The model gives no probabilities with {backend.name}.")
    return backend


def _in_chunks(one_pass: Callable[[Images], Probs], images: Images, classes: int) -> Probs:
    """Check the images and answer them in passes of bounded memory."""
    if images.dtype != np.float32 or images.ndim != 3 or images.shape[1:] != (28, 28):
        raise ValueError(f"images must be (n, 28, 28) float32, not {images.shape} {images.dtype}")
    images = np.ascontiguousarray(images)
    if not len(images):
        return np.empty((0, classes), np.float32)
    if len(images) <= CHUNK:
        return one_pass(images)
    starts = range(0, len(images), CHUNK)
    return np.concatenate([one_pass(images[at : at + CHUNK]) for at in starts])


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Run on one torch thread, and leave this thread's own setting (training's) as it was."""
    import torch

    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
