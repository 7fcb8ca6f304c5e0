"""A small world for training tests: a model trained in a second, foolings that are verified."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from django.conf import settings

from accounts.models import User
from annotate import rounds
from annotate.config import parse_task_file
from annotate.models import Example, ModelVersion, Task
from core.transactions import durable
from ml import artifacts, digits
from ml.training import train_base
from tests import cast
from tests.acts import adjudicate
from training import base_data

# Gates that a candidate of this small world can pass.
LENIENT = {
    "min_verified": 1,
    "clean_margin_few": -100,
    "earlier_margin": -100,
    "recall_margin": -100,
    "negative_flips": 100,
    "calibration_rise": 1,
}


@dataclass(frozen=True)
class MiniBase:
    """A base model that was trained in a second, with its clean data, in a folder of its own."""

    folder: Path
    artifact: artifacts.Artifact
    config: dict[str, Any]


@cache
def mini_base() -> MiniBase:
    folder = Path(mkdtemp(prefix="dadc-mini-base-"))
    images = digits.load_sklearn().take(np.arange(300))
    train, held_out = digits.split_clean(images, 0)
    trained = train_base(train, seed=0, epochs=1, copies=1)
    artifact = artifacts.save(trained.net, net_name="digits", folder=folder, labels=cast.DIGITS)
    base = base_data.store(base_data.BaseData(train, held_out), folder)
    return MiniBase(folder, artifact, {**trained.config, "base": base})


def trained_task(owner: User | None, **retraining: Any) -> Task:
    """A digits task whose round is open with the small base model."""
    section = {"trigger": None, "epochs": 1, "epoch_images": 64, "gates": LENIENT, **retraining}
    task, _ = rounds.load_task(
        file=parse_task_file(cast.task_file(retraining=section)), actor=owner
    )
    base = mini_base()
    shutil.copytree(base.folder, settings.ARTIFACT_DIR, dirs_exist_ok=True)
    with durable():
        model = rounds.register_model(
            task=task,
            backend="onnx",
            artifact=base.artifact.path.name,
            sha256=base.artifact.sha256,
            config=base.config,
        )
        rounds.open_next_round(task=task, models=[model])
    return task


def verified_fooling(task: Task, author: User, owner: User, seed: int) -> Example:
    example = cast.submission(task, author, seed)
    return adjudicate(
        actor=owner, example_id=example.pk, status=Example.Status.VERIFIED, reason="It is one."
    )


def verified_foolings(
    task: Task, authors: list[User], owner: User, each: int, *, first_seed: int = 100
) -> list[Example]:
    """`each` verified foolings of every author."""
    return [
        verified_fooling(task, author, owner, first_seed + place * each + number)
        for place, author in enumerate(authors)
        for number in range(each)
    ]


def serving(task: Task) -> ModelVersion:
    return ModelVersion.objects.get(rounds__task=task, rounds__status="open")
