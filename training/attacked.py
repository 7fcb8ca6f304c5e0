"""What models make of inputs that their own slopes changed: automatic, as all stress."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from annotate.models import ModelVersion, Task
from kinds import Prepared
from ml import artifacts
from ml.artifacts import ArtifactError
from ml.attacks import fgsm, pgd
from ml.backends import Backend
from ml.backends.torch import module_of, one_torch_thread
from ml.learners import Item
from ml.passes import CHUNK
from ml.stress import content_of
from training.evaluation import answers_of
from training.models import Evaluation
from training.stress import as_before

if TYPE_CHECKING:
    from torch import Tensor

LEVELS: Final = 255  # of what can be sent: a change between two of them is none
# The most that any place of an input changes, of 1, and in how many steps.
ATTACKS: Final[dict[str, dict[str, Any]]] = {
    f"{name} within {reach}": {"reach": reach, "steps": steps, "step": step}
    for reach in (0.05, 0.1, 0.2, 0.3)
    for name, steps, step in (("one step", 1, reach), ("40 steps", 40, reach / 10))
}


@dataclass(frozen=True)
class AttackSet:
    """Arrays from 0 to 1, each changed so that this very model loses its own answer to it."""

    items: Sequence[Item]

    name = f"{Evaluation.STRESS}attacks"

    @cached_property
    def sha256(self) -> str:
        own = [content_of(item.prepared.features) for item in self.items]
        return hashlib.sha256(json.dumps([ATTACKS, own]).encode()).hexdigest()

    def figures(self, task: Task, model: ModelVersion, backend: Backend) -> dict[str, Any] | None:
        """How often a model, as it serves, answers a changed input as it answers the input; None
        where its slopes are not known here."""
        if not model.artifact:
            return None
        try:
            artifact = artifacts.load(Path(settings.ARTIFACT_DIR) / model.artifact, model.sha256)
            module, _ = module_of(artifact)
        except ArtifactError:
            return None
        before = answers_of(backend, self.items)
        features = np.stack([item.prepared.features for item in self.items])
        after = {
            name: answers_of(backend, [Item(Prepared("", x), None) for x in changed])
            for name, changed in _attacked(module, features).items()
        }
        pairs = [[(name, after[name][n]) for name in ATTACKS] for n in range(len(self.items))]
        return as_before(before, pairs, about="attacks", changes=ATTACKS)


def _attacked(module: Any, features: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    import torch

    inputs = [torch.from_numpy(features[at : at + CHUNK]) for at in range(0, len(features), CHUNK)]

    def sent(x: Tensor) -> Tensor:
        return (x * LEVELS).round() / LEVELS

    def scores(x: Tensor) -> Tensor:
        found: Tensor = module.scores(x + (sent(x) - x).detach())  # its slopes go through
        return found

    def attacked(x: Tensor, y: Tensor, how: dict[str, Any]) -> Tensor:
        if how["steps"] == 1:
            return sent(fgsm(scores, x, y, reach=how["reach"]))
        return sent(pgd(scores, x, y, until_misread=True, **how))

    with one_torch_thread():
        with torch.no_grad():  # its own answers, whatever the task calls them
            parts = [(x, module.scores(x).argmax(1)) for x in inputs]
        return {
            name: torch.cat([attacked(x, y, how) for x, y in parts]).numpy()
            for name, how in ATTACKS.items()
        }
