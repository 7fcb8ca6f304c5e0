"""Arrays through a model in passes of bounded memory, and its first passes, which prove it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ml.artifacts import ArtifactError

# Bounds the memory of one pass: the digits net needs about 60 kB of activations an input.
CHUNK: Final = 256

Batch = NDArray[np.float32]


class OfArrays(Protocol):
    """A model of arrays of one shape."""

    labels: tuple[str, ...]
    shape: tuple[int, ...]

    def probabilities(self, features: Sequence[Batch]) -> Batch: ...


Model = TypeVar("Model", bound=OfArrays)


def in_passes(
    one_pass: Callable[[Batch], Batch],
    features: Sequence[Batch] | Batch,
    *,
    shape: Sequence[int],
    classes: int,
) -> Batch:
    """(n, K) for n float32 arrays of this shape (-1: any); ValueError for others."""
    if not len(features):
        return np.empty((0, classes), np.float32)
    batch = np.ascontiguousarray(features)
    fits = len(batch.shape) == len(shape) + 1 and all(
        wanted in (-1, side) for wanted, side in zip(shape, batch.shape[1:], strict=True)
    )
    if batch.dtype != np.float32 or not fits:
        raise ValueError(
            f"features must be {tuple(shape)} float32, not {batch.shape[1:]} {batch.dtype}"
        )
    if len(batch) <= CHUNK:
        return one_pass(batch)
    return np.concatenate([one_pass(batch[at : at + CHUNK]) for at in range(0, len(batch), CHUNK)])


def warmed_up(model: Model) -> Model:
    """The model after its first passes, which are the slow ones, proved to give probabilities."""
    blank = np.zeros([max(side, 1) for side in model.shape], np.float32)
    for count in (1, 2, getattr(model, "at_once", 64)):
        try:
            found = model.probabilities([blank] * count)
        except ArtifactError:
            raise
        except Exception as error:
            raise ArtifactError(
                f"The model does not take inputs of shape {model.shape}: {error}"
            ) from error
        if found.shape != (count, len(model.labels)):
            raise ArtifactError(
                f"The model answers {found.shape[1:]}, not {len(model.labels)} labels."
            )
        if not np.allclose(found.sum(axis=1), 1, atol=1e-4) or (found < 0).any():
            raise ArtifactError("The model gives no probabilities: they do not sum to 1.")
    return model
