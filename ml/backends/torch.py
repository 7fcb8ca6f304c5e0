"""Torch: our own nets from their model files; the reference, and what serves without a graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kinds import Prepared
from ml import artifacts
from ml.artifacts import ArtifactError, LoadedArtifact
from ml.backends import Answer, Backend, Source, answers_of
from ml.learners import learner_named
from ml.passes import in_passes, warmed_up
from ml.why import Why, by_differences

if TYPE_CHECKING:
    from torch import nn


SUFFIXES = (artifacts.SUFFIX,)


class TorchBackend:
    """A torch module from a batch of features to probabilities, on one thread, without autograd."""

    def __init__(self, module: nn.Module, labels: Sequence[str], shape: Sequence[int]) -> None:
        self.labels, self.shape = tuple(labels), tuple(shape)
        self._module = module.eval()

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        return answers_of(self.labels, self.probabilities([one.features for one in inputs]))

    def why(self, one: Prepared, label: str) -> Why:
        """Where more, or less, would have spoken for this label."""
        return by_differences(self, one.features, label)

    def probabilities(self, features: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """(n, K) of n arrays of one shape; rows sum to 1."""
        with one_torch_thread():
            return in_passes(self._pass, features, shape=self.shape, classes=len(self.labels))

    def _pass(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            found: NDArray[np.float32] = self._module(torch.from_numpy(batch)).numpy()
        return found


def load(source: Source) -> Backend:
    """A model file of ours; its own manifest says its learner and its labels."""
    return of_artifact(artifacts.load(source.file, source.sha256))


def of_artifact(artifact: LoadedArtifact) -> Backend:
    """What the learner of a checked file makes of it."""
    module, shape = module_of(artifact)
    return warmed_up(TorchBackend(module, artifact.labels, shape))


def module_of(artifact: LoadedArtifact) -> tuple[nn.Module, tuple[int, ...]]:
    """The `torch_module` of a checked file's learner, if it trains such, and an input's shape."""
    read = getattr(learner_named(artifact.learner), "torch_module", None)
    if read is None:
        raise ArtifactError(f"What the learner {artifact.learner!r} makes is no torch net.")
    found: tuple[nn.Module, tuple[int, ...]] = read(artifact)
    return found


@contextmanager
def one_torch_thread() -> Iterator[None]:
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
