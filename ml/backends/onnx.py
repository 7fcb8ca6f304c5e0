"""ONNX Runtime: a graph from float32 features to probabilities, ours or an owner's own."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from kinds import Prepared
from ml import artifacts
from ml.artifacts import ArtifactError
from ml.backends import Answer, Backend, Source, answers_of
from ml.passes import in_passes, warmed_up
from ml.why import Why, by_differences

SUFFIXES, SENT = (".onnx", artifacts.SUFFIX), ".onnx"
CHANNELS_FIRST = 3  # sides of a picture that has one for its channels, of which ours have one

logger = logging.getLogger(__name__)


class OnnxBackend:
    """An ONNX graph of probabilities on one thread, without a memory arena.

    One thread, because the processes are as many as the cores; no arena, because it keeps the
    memory of the largest batch for ever and measured no faster at batches of 1 to 256.
    """

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
        taken = self._session.get_inputs()[0]
        self._input: str = taken.name
        # The first side is the batch's; a name or None stands for a side that is free.
        sides = tuple(side if isinstance(side, int) else -1 for side in taken.shape[1:])
        self._has_channels = len(sides) == CHANNELS_FIRST
        self.shape = sides[1:] if self._has_channels else sides
        self._output: str = self._session.get_outputs()[0].name

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        return answers_of(self.labels, self.probabilities([one.features for one in inputs]))

    def why(self, one: Prepared, label: str) -> Why:
        """Where more, or less, would have spoken for this label."""
        return by_differences(self, one.features, label)

    def probabilities(self, features: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """(n, K) of n arrays of one shape; rows sum to 1."""
        return in_passes(self._pass, features, shape=self.shape, classes=len(self.labels))

    def _pass(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._has_channels:
            batch = batch[:, None]
        found: NDArray[np.float32] = self._session.run([self._output], {self._input: batch})[0]
        return found


def load(source: Source) -> Backend:
    """A graph with the labels of its registration, or a model file of ours.

    The graph in ours was compared with its net when it was made; where it is absent or does not run
    here, torch serves the net, with a warning in the log.
    """
    if source.file.suffix == artifacts.SUFFIX:
        return _ours(source)
    data = artifacts.checked_bytes(source.file, source.sha256)
    try:
        backend = OnnxBackend(data, source.config["labels"])
    except Exception as error:  # ONNX Runtime raises a dozen unrelated classes
        raise ArtifactError(f"ONNX Runtime cannot run {source.file.name}: {error}") from error
    return warmed_up(backend)


def _ours(source: Source) -> Backend:
    artifact = artifacts.load(source.file, source.sha256)
    if artifacts.ONNX in artifact.members:
        try:
            return warmed_up(OnnxBackend(artifact.members[artifacts.ONNX], artifact.labels))
        except Exception:
            short = source.sha256[:12]
            logger.warning("the ONNX graph of %s does not run: torch serves", short, exc_info=True)
    from ml.backends.torch import of_artifact

    return of_artifact(artifact)
