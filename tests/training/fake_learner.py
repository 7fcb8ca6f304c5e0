"""A learner that takes no time: it answers by a hash, for tests of everything around a training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from kinds import Prepared
from ml.artifacts import LoadedArtifact
from ml.learners import Base, Checkpoint, Item, Progress, Settings, Trained


class FakeSettings(Settings):
    pace: int = Field(default=1, ge=1)


class FakeLearner:
    kind = "image"
    backend = "null"
    settings = FakeSettings
    sources = ("nothing",)

    def load_base(self, source: str) -> Base:
        items = [
            Item(Prepared(str(number), np.zeros((28, 28), np.float32)), str(number % 10))
            for number in range(50)
        ]
        return Base(items[:30], items[30:], source)

    def pack(self, base: Base) -> bytes:
        return base.source.encode()

    def unpack(self, data: bytes) -> Base:
        return self.load_base(data.decode())

    def train(
        self,
        base: Base,
        *,
        labels: Sequence[str],
        seed: int,
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Trained:
        return self._trained(labels, f"{base.source} {seed}", progress)

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
    ) -> Trained:
        keys = sorted(item.prepared.key for item in verified)
        return self._trained(parent.labels, f"{keys} {seed} {settings}", progress)

    def export(self, trained: Trained) -> Mapping[str, bytes]:
        return {"salt": json.dumps(trained.model).encode()}

    def _trained(self, labels: Sequence[str], salt: str, progress: Progress | None) -> Trained:
        if progress is not None:
            progress(1.0, "Epoch 1 of 1, loss 0")
        return Trained("fake", tuple(labels), salt, {"salt": salt})


LEARNER = FakeLearner()
