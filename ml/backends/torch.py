"""Torch: our own nets from their model files; the reference, and what serves without a graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kinds import Prepared
from ml import artifacts
from ml.artifacts import LoadedArtifact
from ml.backends import Answer, Backend, Source, answers_of
from ml.passes import in_passes, warmed_up

if TYPE_CHECKING:
    from torch import nn


class TorchBackend:
    """A copy of a torch net in evaluation mode, on one thread and without autograd."""

    def __init__(self, net: nn.Module, labels: Sequence[str]) -> None:
        from ml.nets import SHAPE
        from ml.onnx_export import Probabilities

        self.labels, self.shape = tuple(labels), SHAPE
        self._probabilities = Probabilities(net)

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        return answers_of(self.labels, self.probabilities([one.features for one in inputs]))

    def probabilities(self, features: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """(n, K) of n arrays of one shape; rows sum to 1."""
        with _one_torch_thread():
            return in_passes(self._pass, features, shape=self.shape, classes=len(self.labels))

    def _pass(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            found: NDArray[np.float32] = self._probabilities(torch.from_numpy(images)).numpy()
        return found


def load(source: Source) -> Backend:
    """A model file of ours; its own manifest says its net and its labels."""
    return of_artifact(artifacts.load(source.file, source.sha256))


def of_artifact(artifact: LoadedArtifact) -> Backend:
    """The net of a model file whose bytes were checked."""
    return warmed_up(TorchBackend(artifact.net(), artifact.labels))


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
