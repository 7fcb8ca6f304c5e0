"""The library's mood reader learns from what fooled it, by the gates of its own task file."""

from __future__ import annotations

import uuid

import pytest

from accounts.models import User
from annotate import submissions
from annotate.queries import Participant
from annotate.rounds import change_target
from dadc_server import bootstrap
from tests import cast
from tests.training.world import serving, verified
from training import services
from training.models import TrainingRun
from training.retraining import carry_out

pytestmark = pytest.mark.once

THINGS = ("tyre", "kettle", "ladder", "raincoat")
SLY = (
    "Great, the {} broke on its very first day.",
    "What a wonderful way to spend a night: mending a {}.",
    "As charming as a wet {}.",
    "I admire the nerve of whoever sells this {}.",
)


def test_a_word_list_is_promoted_once_it_has_learned(db: None, owner: User) -> None:
    (task,) = [task for task, _ in bootstrap.load_library() if task.slug == "sentiment"]
    task.owners.add(owner)
    first = bootstrap.register_base_model(task)
    assert first.provenance["card"]["licence"].startswith("MIT")
    for number, thing in enumerate(THINGS):
        author = cast.person(f"writer-{number}")
        for sentence in SLY:
            text = {"text": sentence.format(thing)}
            assert cast.prediction(task, text) == "positive"
            example = submissions.submit(
                participant=Participant(user=author),
                task_id=task.pk,
                client_id=uuid.uuid4(),
                input=text,
                label="negative",
            ).example
            verified(example, owner)
    claimed = services.claim_run(TrainingRun.objects.get().uid)  # the tenth one began it
    assert claimed is not None
    run = carry_out(*claimed)
    assert run.status == "passed", run.reason  # nobody has looked yet at what it learns
    assert run.candidate is not None
    change_target(actor=owner, task=task, model=run.candidate, reason="Looked at.")
    assert serving(task).parent == first
    assert cast.prediction(task, {"text": SLY[0].format("kettle")}) == "negative"
    assert cast.prediction(task, {"text": "I love this happy place."}) == "positive"
