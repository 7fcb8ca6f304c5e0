"""The library's mood reader learns from what fooled it, by the gates of its own task file."""

from __future__ import annotations

import uuid

import pytest
from django.core.management import call_command
from django.test import Client

from accounts.models import User
from annotate import submissions
from annotate.config import TaskFile
from annotate.queries import Participant
from annotate.rounds import change_target, load_task
from dadc_server import bootstrap
from tests import cast
from tests.training.world import serving, verified
from training import evaluations, services
from training.board import compare
from training.models import TrainingRun
from training.retraining import carry_out
from training.robustness import report_of

pytestmark = pytest.mark.once

THINGS = ("tyre", "kettle", "ladder", "raincoat")
SLY = (
    "Great, the {} broke on its very first day.",
    "What a wonderful way to spend a night: mending a {}.",
    "As charming as a wet {}.",
    "I admire the nerve of whoever sells this {}.",
)


def test_a_word_list_is_promoted_once_it_has_learned_and_checked(
    db: None, owner: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    (task,) = [task for task, _ in bootstrap.load_library() if task.slug == "sentiment"]
    task.owners.add(owner)
    first = bootstrap.register_base_model(task)
    assert first.provenance["card"]["licence"].startswith("MIT")
    for number, thing in enumerate(THINGS):
        author = cast.person(f"writer-{number}")
        # By lot sometimes two of three would only test; so the first one does.
        User.objects.filter(pk=author.pk).update(pseudonym=author.username)
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

    # --- what its owner says that it should be able to do
    monkeypatch.setattr(evaluations, "measure", lambda *_: {"per_second": 1.0, "memory_gb": 1.0})
    task.refresh_from_db()
    assert task.config is not None
    file = task.config.file.model_dump(mode="json")
    mistakes = (
        ({"inputs": ["Fine."]}, "both or none"),
        ({"add": ["Fine."], "swap": {"a": "b"}}, "one of the three"),
        ({"add": ["Fine."], "raises": "positive", "lowers": "negative"}, "one of the two"),
        ({"add": ["Fine."], "raises": "good"}, "good is no label of the task"),
        ({"inputs": [""], "says": "positive"}, "evaluation.checks.one: "),
    )
    for check, why in mistakes:
        with pytest.raises(ValueError, match=why):
            TaskFile.model_validate({**file, "evaluation": {"checks": {"one": check}}})
    checks = {
        "plain praise": {"inputs": ["I love it.", "What a lovely day."], "says": "positive"},
        "sly praise": {"inputs": ["I love it.", "I hate it."], "says": "positive"},
        "a place": {"add": ["That was in Oslo."]},
        "praise": {"add": ["I love it, it is great and happy."], "raises": "positive"},
        "scorn": {"add": ["I love it, it is great and happy."], "lowers": "positive"},
        "no such word": {"swap": {"Xanadu": "Oslo"}},
    }
    file["evaluation"] = {"checks": checks}
    load_task(file=TaskFile.model_validate(file), actor=owner)
    call_command("evaluate", "sentiment", model=first.name)
    told = {one.name: one for one in report_of(first).checks}
    assert told.keys() == checks.keys() - {"no such word"}
    assert [told[name].passed.count for name in ("plain praise", "sly praise")] == [2, 1]
    assert told["a place"].passed.value == told["praise"].passed.value == 1
    assert told["scorn"].passed.count < 0.9 * told["scorn"].passed.of
    assert [told[name].must for name in ("sly praise", "a place", "praise", "scorn")] == [
        "says positive", "does not move", "positive does not lose", "positive does not gain",
    ]  # fmt: skip
    page = client.get(f"/tasks/sentiment/models/{first.number}/robustness/").content.decode()
    assert "positive does not gain" in page
    assert "checks" not in {cell.data for row in compare(task, owner).rows for cell in row.cells}
