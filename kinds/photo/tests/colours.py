"""A model that says which colour a photograph has most of, and photographs for it."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper
from PIL import Image

COLOURS = ["red", "green", "blue"]
SIZE = 32
ORIENTATION, CAMERA = 0x0112, 0x0110  # of EXIF
# As ImageNet's nets are exported: standardised colours in, scores out.
PICTURE = {"crop": 0.875, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def task_file(**changes: Any) -> dict[str, Any]:
    return {
        "slug": "colours",
        "name": "Colours",
        "input": "photo",
        "labels": COLOURS,
        "instructions": {"goal": "Take a photograph of which the model misreads the colour."},
        "validation": {"policy": "two_plus_one", "sample": 0},
        **changes,
    }


def model_file(**changes: Any) -> dict[str, Any]:
    read = {"scores": True, "picture": PICTURE}
    return {
        "name": "eye", "backend": "onnx", "path": "eye.onnx", "labels": COLOURS, **read, **changes
    }  # fmt: skip


def graph(*, colours_last: bool = False, side: int | str = SIZE) -> bytes:
    """The mean of each colour, ten times."""
    shape: list[Any] = ["n", side, side, 3] if colours_last else ["n", 3, side, side]
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2] if colours_last else [2, 3])
    ten = helper.make_tensor("ten", TensorProto.FLOAT, [1], [10.0])
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["means"], keepdims=0),
        helper.make_node("Mul", ["means", "ten"], ["scores"]),
    ]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    given = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3])
    made = helper.make_graph(nodes, "eye", [taken], [given], [axes, ten])
    opset = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(made, opset_imports=opset, ir_version=8).SerializeToString())


def save(folder: Path, **how: Any) -> None:
    (folder / "eye.onnx").write_bytes(graph(**how))


def scene(seed: int, *, tint: str = "", size: tuple[int, int] = (240, 180)) -> Image.Image:
    """A soft scene that no other seed gives, with more of one colour."""
    rng = np.random.default_rng(seed)
    small = rng.integers(40, 180, (6, 8, 3))
    for place, name in enumerate(COLOURS):
        small[..., place] += 60 if name == tint else 0
    return Image.fromarray(small.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)


def file_of(image: Image.Image, kind: str = "JPEG", **how: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **how)
    return stream.getvalue()


def sent(image: Image.Image | bytes, kind: str = "JPEG", **how: Any) -> dict[str, str]:
    """As an input travels."""
    data = image if isinstance(image, bytes) else file_of(image, kind, **how)
    return {"photo": base64.b64encode(data).decode()}


def shown(stored: dict[str, str]) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(stored["photo"])))


def taken_sideways(image: Image.Image) -> bytes:
    """As a phone keeps what it took upright: the pixels lie, and EXIF says so."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[CAMERA] = 6, "A camera of somebody"
    return file_of(image.transpose(Image.Transpose.ROTATE_90), exif=exif)
