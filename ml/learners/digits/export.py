"""The members of a model file: weights, and an ONNX graph that answers with the same probabilities.

Imports torch: only what trains or saves a net needs this module, never what merely serves one.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from ml.artifacts import ONNX, ArtifactError
from ml.learners.digits.net import SHAPE, WEIGHTS, Probabilities, weights_of

# Float32 rounding alone stays near 1e-7; a wrongly translated operator is far above this.
TOLERANCE: Final = 1e-5
INPUT_NAME: Final = "images"
OUTPUT_NAME: Final = "probabilities"


logger = logging.getLogger(__name__)


def members_of(net: nn.Module, labels: Sequence[str]) -> dict[str, bytes]:
    """The net's weights and, where it gives the same probabilities, its ONNX graph.

    Raises ArtifactError for a net that gives no probabilities for these labels.
    """
    expected = reference_probabilities(net, probe_images())
    if expected.shape[1:] != (len(labels),):
        raise ArtifactError(f"The net answers {expected.shape[1:]}, not {len(labels)} labels.")
    if not np.isfinite(expected).all():
        raise ArtifactError("The net's probabilities are not numbers: its training diverged.")
    members = {WEIGHTS: weights_of(net)}
    try:
        graph = export_onnx(net)
        difference = largest_difference(expected, graph)
    except Exception:  # whatever the exporter meets, torch can still serve the net
        logger.warning("a net has no ONNX graph and will be served by torch", exc_info=True)
        return members
    if difference > TOLERANCE:
        logger.warning("an ONNX graph is %g off torch; torch will serve the net", difference)
        return members
    return {**members, ONNX: graph}


def export_onnx(net: nn.Module) -> bytes:
    """The net as an ONNX model over any batch size; the same weights give the same bytes.

    Not safe in two threads at once: it swaps the process's warning filters while it runs.
    """
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # The newer exporter needs another dependency and traces a net this small no better.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        file = Path(folder) / "net.onnx"
        torch.onnx.export(
            Probabilities(net),
            (torch.zeros(2, *SHAPE),),
            file,
            dynamo=False,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_axes={INPUT_NAME: {0: "n"}, OUTPUT_NAME: {0: "n"}},
        )
        return file.read_bytes()


def probe_images(seed: int = 0) -> NDArray[np.float32]:
    """Images (96, 28, 28) to compare engines on: edge cases first, then noise, then strokes."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(SHAPE)
    edges = np.stack(
        [
            np.zeros(SHAPE),
            np.ones(SHAPE),
            np.full(SHAPE, np.finfo(np.float32).tiny),
            (rows + columns) % 2,
            rows % 2,
            columns % 2,
            rows == 0,
            (rows == 27) & (columns == 27),
            np.hypot(rows - 14, columns - 14) < 8,
            columns / 27,
        ]
    )
    noise = rng.random((43, *SHAPE))
    strokes = np.stack([_stroke(rng) for _ in range(43)])
    return np.concatenate([edges, noise, strokes]).astype(np.float32)


def reference_probabilities(net: nn.Module, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Torch's own answer for (n, 28, 28) images: what every other engine is measured against."""
    with torch.inference_mode():
        probabilities: NDArray[np.float32] = Probabilities(net)(torch.from_numpy(images)).numpy()
    return probabilities


def largest_difference(expected: NDArray[np.float32], model: bytes) -> float:
    """Largest |difference| of an ONNX model's probabilities from those expected on the probes.

    Each probe is asked alone and in company, because both happen when it serves. Infinite when
    a probability is not a number or has the wrong shape.
    """
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    images = probe_images()
    worst = 0.0
    for size in (1, 7, len(images)):
        parts = [
            session.run([OUTPUT_NAME], {INPUT_NAME: images[at : at + size]})[0]
            for at in range(0, len(images), size)
        ]
        got = np.concatenate(parts)
        if got.shape != expected.shape or not np.isfinite(got).all():
            return float("inf")
        worst = max(worst, float(np.abs(got - expected).max()))
    return worst


def _stroke(rng: np.random.Generator) -> NDArray[np.float64]:
    """A soft random walk of ink on empty paper, as a drawing in progress looks."""
    rows, columns = np.indices(SHAPE)
    steps = rng.normal(0, 2, size=(12, 2)).cumsum(axis=0) + 14
    distance = np.min([np.hypot(rows - y, columns - x) for y, x in steps], axis=0)
    ink: NDArray[np.float64] = np.clip(2.5 - distance, 0, 1)
    return ink
