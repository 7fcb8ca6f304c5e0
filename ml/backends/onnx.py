"""ONNX Runtime: a graph from float32 features to probabilities, ours or an owner's own."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import Field

from kinds import Prepared
from ml import artifacts
from ml.artifacts import ArtifactError
from ml.backends import Answer, Backend, Options, Source, answers_of
from ml.encoders import softmax
from ml.passes import in_passes, warmed_up
from ml.pictures import Picture
from ml.why import Why, by_differences

SUFFIXES, SENT = (".onnx", artifacts.SUFFIX), ".onnx"
PICTURES_AT_ONCE = 8  # of some megabytes each, and a net's layers are larger
CHANNELS_FIRST = 3  # sides of a picture that has one for its channels, of which ours have one

logger = logging.getLogger(__name__)


class Graph(Options):
    scores: bool = Field(
        default=False, description="Whether it gives scores, of which a softmax makes shares."
    )
    picture: Picture | None = Field(
        default=None, description="How it takes pictures in colour; without it, it takes arrays."
    )


OPTIONS = Graph


class OnnxBackend:
    """An ONNX graph of probabilities on one thread, without a memory arena.

    One thread, because the processes are as many as the cores; no arena, because it keeps the
    memory of the largest batch for ever and measured no faster at batches of 1 to 256.
    """

    def __init__(self, model: bytes, labels: Sequence[str], told: Graph | None = None) -> None:
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
        self._scores = bool(told and told.scores)
        self._view = told.picture.view(sides) if told and told.picture else None
        self._has_channels = len(sides) == CHANNELS_FIRST and self._view is None
        self.shape = sides[1:] if self._has_channels else sides
        if self._view is not None:
            self.shape, self.at_once = self._view.shape, PICTURES_AT_ONCE
        self._output: str = self._session.get_outputs()[0].name

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        features = [one.features for one in inputs]
        if self._view is not None:
            features = [self._view.of(one) for one in features]
        return answers_of(self.labels, self.probabilities(features))

    def why(self, one: Prepared, label: str) -> Why:
        """Where more, or less, would have spoken for this label."""
        if self._view is not None:
            raise ValueError("This model cannot say why it answered so.")
        return by_differences(self, one.features, label)

    def probabilities(self, features: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """(n, K) of n arrays of one shape; rows sum to 1."""
        return in_passes(self._pass, features, shape=self.shape, classes=len(self.labels))

    def _pass(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._has_channels:
            batch = batch[:, None]
        found: NDArray[np.float32] = self._session.run([self._output], {self._input: batch})[0]
        if not self._scores or found.ndim != 2:
            return found
        return np.stack([softmax(row) for row in found]).astype(np.float32)


def load(source: Source) -> Backend:
    """A graph with the labels of its registration, or a model file of ours.

    The graph in ours was compared with its net when it was made; where it is absent or does not run
    here, torch serves the net, with a warning in the log.
    """
    if source.file.suffix == artifacts.SUFFIX:
        return _ours(source)
    data = artifacts.checked_bytes(source.file, source.sha256)
    try:
        told = {name: source.config[name] for name in Graph.model_fields if name in source.config}
        backend = OnnxBackend(data, source.config["labels"], Graph.model_validate(told))
    except ArtifactError:
        raise
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
