"""Digits: a small convolutional net, trained on clean digits, then on drawings that fooled it.

This file is all that a server that only serves imports; torch comes with what trains.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from kinds import Prepared
from ml.artifacts import LoadedArtifact
from ml.learners import Base, Checkpoint, Item, Progress, Settings, Trained, shares_of

if TYPE_CHECKING:
    from torch import nn

    from ml.learners.digits.data import Images

NAME: Final = "digits"
DIGITS: Final = tuple("0123456789")
# Images seen in a first training, whatever the size of its data: a minute of one core.
SEEN_IMAGES: Final = 160_000
FEWEST_EPOCHS: Final = 4
SPLIT_SEED: Final = 0  # what is held out decides promotions: it must never be trained on later


class FineTuning(Settings):
    """How the net learns from drawings that fooled it."""

    # foolings_only forgets: a control, for rehearsals to show that the gates stop it.
    mix: Literal["half", "union", "foolings_only"] = "half"
    epochs: int = Field(default=5, ge=1, le=200)
    epoch_images: int = Field(
        default=4_300, ge=1, le=10**6, description="Clean drawings an epoch, redrawn each time."
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        le=200,
        description="Epochs without a better one, by a tenth that is held back, and it stops.",
    )
    blend: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="How far from the old weights to the tuned ones the candidate lies.",
    )
    batch_size: int = Field(default=64, ge=2, le=4096)
    learning_rate: float = Field(default=0.01, gt=0, le=1)
    momentum: float = Field(default=0.5, ge=0, lt=1)
    attacked: float = Field(
        default=0,
        ge=0,
        lt=1,
        description="Share of each batch that the net's own slopes change (ml/attacks.py).",
    )
    attack_reach: float = Field(default=0.1, gt=0, le=1, description="The most, of 1, in a pixel.")
    attack_steps: int = Field(default=1, ge=1, le=100, description="One is FGSM, more are PGD.")
    generated: float = Field(
        default=0,
        ge=0,
        le=10,
        description="Weight of the loss on generated regions that validators confirmed; 0: none.",
    )


class Digits:
    """The learner."""

    kind = "image"
    backend = "onnx"
    settings: type[Settings] = FineTuning
    sources: tuple[str, ...] = ("sklearn", "mnist")

    def load_base(self, source: str) -> Base:
        """scikit-learn's digits, MNIST from OpenML (downloads it), or a folder of IDX files."""
        from ml.learners.digits import data

        train, held_out = data.split_clean(data.load(source), SPLIT_SEED)
        return Base(_items(train), _items(held_out), train.source)

    def pack(self, base: Base) -> bytes:
        """Kept as float32, so that what is read back is what the model saw, bit by bit."""
        train, held_out = _images(base.train), _images(base.held_out)
        stream = io.BytesIO()
        np.savez_compressed(
            stream,
            allow_pickle=False,
            train_x=train.x,
            train_y=train.y,
            held_out_x=held_out.x,
            held_out_y=held_out.y,
            source=np.array(base.source),
        )
        return stream.getvalue()

    def unpack(self, data: bytes) -> Base:
        from ml.learners.digits.data import Images

        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                source = str(arrays["source"])
                train, held_out = (
                    _items(Images(arrays[f"{part}_x"], arrays[f"{part}_y"], source))
                    for part in ("train", "held_out")
                )
        except (KeyError, zipfile.BadZipFile) as error:
            raise ValueError(str(error)) from error
        return Base(train, held_out, source)

    def train(
        self,
        base: Base,
        *,
        labels: Sequence[str],
        seed: int,
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Trained:
        from ml.learners.digits.training import EPOCH_IMAGES, train_base

        epochs = max(FEWEST_EPOCHS, round(SEEN_IMAGES / max(EPOCH_IMAGES, len(base.train))))
        images = _images(base.train, labels, base.source)
        net, config = train_base(
            images, seed=seed, epochs=epochs, progress=progress, checkpoint=checkpoint
        )
        return Trained(NAME, tuple(labels), net, config)

    def fine_tune(
        self,
        parent: LoadedArtifact,
        base: Base,
        verified: Sequence[Item],
        *,
        seed: int,
        settings: Mapping[str, Any],
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
        generated: Sequence[Item] = (),
    ) -> Trained:
        from ml.learners.digits.net import read_weights
        from ml.learners.digits.training import fine_tune

        net, config = fine_tune(
            read_weights(parent),
            _images(base.train, parent.labels, base.source),
            _images(verified, parent.labels),
            seed=seed,
            progress=progress,
            checkpoint=checkpoint,
            made_up=_images(generated, parent.labels),
            **settings,
        )
        return Trained(NAME, parent.labels, net, config)

    def export(self, trained: Trained) -> Mapping[str, bytes]:
        from ml.learners.digits.export import members_of

        return members_of(trained.model, trained.labels)

    def weights(self, artifact: LoadedArtifact) -> Mapping[str, NDArray[np.float32]]:
        from ml.learners.digits.net import read_weights

        found = read_weights(artifact).state_dict()
        return {name: np.ascontiguousarray(one.numpy()) for name, one in found.items()}

    def torch_module(self, artifact: LoadedArtifact) -> tuple[nn.Module, tuple[int, ...]]:
        """The net as torch runs it, and the shape of one input."""
        from ml.learners.digits.net import SHAPE, Probabilities, read_weights

        return Probabilities(read_weights(artifact)), SHAPE

    def vectors(self, artifact: LoadedArtifact, inputs: Sequence[Prepared]) -> NDArray[np.float32]:
        """(n, 50): where the net has each input."""
        import torch

        from ml.backends.torch import one_torch_thread
        from ml.learners.digits.net import SHAPE, read_weights
        from ml.passes import in_passes

        net = read_weights(artifact)

        def one_pass(batch: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.inference_mode():
                found: NDArray[np.float32] = net.last_layer(
                    torch.from_numpy(batch)[:, None]
                ).numpy()
            return found

        with one_torch_thread():
            features = [one.features for one in inputs]
            return in_passes(one_pass, features, shape=SHAPE, classes=net.fc2.in_features)

    def redrawn(
        self, items: Sequence[Item], *, copies: int, seed: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Clean items as other hands would make them, and the place of the one of each."""
        from ml.learners.digits.training import redrawn

        return redrawn(_images(items), copies, np.random.default_rng(seed))


def _items(images: Images) -> list[Item]:
    """Clean images come from no page, so that nobody asks for their keys."""
    return [Item(Prepared("", x), str(y)) for x, y in zip(images.x, images.y, strict=True)]


def _images(
    items: Sequence[Item], labels: Sequence[str] = DIGITS, source: str = "verified foolings"
) -> Images:
    """The items as arrays; a label becomes its place among the labels, where none is shared."""
    from ml.learners.digits.data import Images

    place = {label: number for number, label in enumerate(labels)}
    x = np.stack([item.prepared.features for item in items]) if items else np.empty((0, 28, 28))
    y: NDArray[Any] = np.array([place[item.label] for item in items], dtype=np.int64)
    if any(item.shares for item in items):
        y = shares_of(items, labels).astype(np.float32)
    return Images(x.astype(np.float32, copy=False), y, source)


LEARNER: Final = Digits()
