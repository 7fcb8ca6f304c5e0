"""A small world for training tests: a model that can be trained, foolings that are verified."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from accounts.models import User
from annotate import rounds
from annotate.config import parse_task_file
from annotate.models import Example, ModelVersion, Task
from core.transactions import durable
from ml import learners
from ml.learners import learner_named, save, store_base
from tests import cast
from tests.acts import adjudicate
from tests.training import fake_learner
from training import recipe
from training.gates import GateResult

# Gates that a candidate of this small world can pass.
LENIENT = {
    "min_verified": 1,
    "train_authors": 1,
    "train_contents": 1,
    "held_out_contents": 1,
    "nearby_fall": 100,
    "clean_margin_few": -100,
    "earlier_margin": -100,
    "recall_margin": -100,
    "negative_flips": 100,
    "calibration_rise": 1,
}


def let_the_fake_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the test ends there is, beside the real learners, one that takes no time."""
    monkeypatch.setitem(sys.modules, "ml.learners.fake", fake_learner)
    monkeypatch.setattr(learners, "NAMES", (*learners.NAMES, "fake"))


def let_every_other_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the test ends every other training of a run does not pass the gate `odd`."""
    judged, usual = count(), recipe.judge

    def judge(*args: Any, **how: Any) -> list[GateResult]:
        odd = next(judged) % 2
        return [*usual(*args, **how), GateResult("odd", not odd, "Every other one.", None)]

    monkeypatch.setattr(recipe, "judge", judge)


def trained_task(
    owner: User | None, learner: str = "fake", *, slug: str = "digits", **retraining: Any
) -> Task:
    """A digits task whose round is open with a model of the learner."""
    section = {"trigger": None, "promote": "automatic", "gates": LENIENT, **retraining}
    task, _ = rounds.load_task(
        file=parse_task_file(cast.task_file(slug=slug, retraining=section)), actor=owner
    )
    folder = Path(settings.ARTIFACT_DIR)
    made = learner_named(learner)
    base = made.load_base(made.sources[0])
    trained = made.train(base, labels=cast.DIGITS, seed=0)
    version = save(trained, folder, store_base(made, base, folder))
    with durable():
        model = rounds.register_model(task=task, **version)
        rounds.open_next_round(task=task, models=[model])
    return task


def verified_fooling(task: Task, author: User, owner: User, seed: int) -> Example:
    return verified(cast.submission(task, author, seed), owner)


def verified(example: Example, owner: User) -> Example:
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
