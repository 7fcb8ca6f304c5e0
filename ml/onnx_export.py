"""A torch net as an ONNX graph that answers with the same probabilities.

Imports torch: only what trains or saves a net needs this module, never what merely serves one.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

IMAGE_SHAPE: Final = (28, 28)
# Float32 rounding alone stays near 1e-7; a wrongly translated operator is far above this.
TOLERANCE: Final = 1e-5
INPUT_NAME: Final = "images"
OUTPUT_NAME: Final = "probabilities"


class Probabilities(nn.Module):
    """A copy of a net, in evaluation mode, from plain (n, 28, 28) images to (n, K) probabilities.

    The net may return logits or log-probabilities: softmax of either is the same.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).cpu().eval()
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.net(images.unsqueeze(1))
        return torch.softmax(scores, dim=1)


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
            (torch.zeros(2, *IMAGE_SHAPE),),
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
    rows, columns = np.indices(IMAGE_SHAPE)
    edges = np.stack(
        [
            np.zeros(IMAGE_SHAPE),
            np.ones(IMAGE_SHAPE),
            np.full(IMAGE_SHAPE, np.finfo(np.float32).tiny),
            (rows + columns) % 2,
            rows % 2,
            columns % 2,
            rows == 0,
            (rows == 27) & (columns == 27),
            np.hypot(rows - 14, columns - 14) < 8,
            columns / 27,
        ]
    )
    noise = rng.random((43, *IMAGE_SHAPE))
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
    rows, columns = np.indices(IMAGE_SHAPE)
    steps = rng.normal(0, 2, size=(12, 2)).cumsum(axis=0) + 14
    distance = np.min([np.hypot(rows - y, columns - x) for y, x in steps], axis=0)
    ink: NDArray[np.float64] = np.clip(2.5 - distance, 0, 1)
    return ink
