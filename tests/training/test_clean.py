"""Where an owner gave too little clean data, what people sent and others confirmed stands in."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from annotate.models import Example, Task
from ml.learners import Base
from tests import cast
from tests.training.fake_learner import FakeLearner
from tests.training.world import trained_task, verified, verified_foolings
from training import clean, evaluations, services
from training.models import AuthorSplit, Evaluation, TrainingRun
from training.retraining import carry_out

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first model that came without data, as a word list does."""
    monkeypatch.setattr(FakeLearner, "load_base", lambda _self, source: Base([], [], source))


def retrain(task: Task) -> TrainingRun:
    return carry_out(*services.begin_here(task=task))


def confirmed(task: Task, authors: list[User], owner: User, each: int) -> list[Example]:
    """What fooled nobody, and validators read as its author did."""
    return [
        verified(cast.submission(task, author, 1_000 + 100 * place + number, fooled=False), owner)
        for place, author in enumerate(authors)
        for number in range(each)
    ]


def test_what_fooled_nobody_and_was_confirmed_is_clean_data(
    owner: User,
    annotator: User,
    other_annotator: User,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluations, "measure", lambda *_: {"per_second": 1.0, "memory_gb": 1.0})
    authors = [annotator, other_annotator]
    task = trained_task(owner)
    verified_foolings(task, authors, owner, 2)
    cast.submission(task, annotator, 5_000, fooled=False)  # which nobody has looked at
    run = retrain(task)
    assert (run.status, "no clean test data" in run.reason) == ("refused", True)
    told = confirmed(task, authors, owner, clean.FEWEST - 1)
    run = retrain(task)
    assert "no clean test data" in run.reason, "too few tell too little"

    more = [
        verified(cast.submission(task, author, 3_000 + place, fooled=False), owner)
        for place, author in enumerate(authors)
    ]
    learned: list[Any] = []
    fine_tune = FakeLearner.fine_tune

    def heard(self: Any, parent: Any, base: Base, *args: Any, **how: Any) -> Any:
        learned.extend(item.prepared.key for item in base.train)
        return fine_tune(self, parent, base, *args, **how)

    monkeypatch.setattr(FakeLearner, "fine_tune", heard)
    Example.objects.filter(pk__in=[one.pk for one in more]).update(final_label="a new label")
    run = retrain(task)
    assert run.metrics["clean"]["items"] == clean.FEWEST - 1, "the model does not have it"
    learned.clear()
    Example.objects.filter(pk__in=[one.pk for one in more]).update(final_label=None)
    run = retrain(task)
    assert run.metrics["clean"]["items"] == clean.FEWEST
    assert "no clean test data" not in run.reason
    assert run.candidate is not None
    of_people = run.candidate.provenance["data"]["clean_of_people"]
    assert (of_people["train"], of_people["held_out"]) == (clean.FEWEST, clean.FEWEST)
    trains = AuthorSplit.objects.get(task=task, split="train").author
    keys = {task.kind.parse(one.input).key for one in [*told, *more] if one.author == trains}
    assert set(learned) == keys, "those who test never train"

    client.force_login(owner)
    address = reverse("training_run", args=[task.slug, run.pk])
    assert "and were confirmed, are among what tests" in client.get(address).content.decode()
    names = {item[0] for way in run.trials[0]["flips"]["clean"].values() for item in way["items"]}
    assert names, "a hash reads nothing as before"
    assert names < {one.public_id for one in [*told, *more]}
    shown = client.get(address).content.decode()
    assert all(f"/inbox/{name}/" in shown for name in names)
    gone = names.pop()
    Example.objects.filter(uid=gone).update(hidden_at=task.examples.earliest("pk").created_at)
    assert f"/inbox/{gone}/" not in client.get(address).content.decode()
    Example.objects.filter(uid=gone).update(hidden_at=None)

    evaluations.evaluate_models(task=task)
    on = Evaluation.objects.filter(task=task, data=Evaluation.CLEAN)
    assert {one.items for one in on} == {clean.FEWEST}


def test_owners_own_data_are_left_alone_where_they_are_enough(
    owner: User, annotator: User, other_annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clean, "FEWEST", 0)
    task = trained_task(owner)
    confirmed(task, [annotator, other_annotator], owner, 2)
    verified_foolings(task, [annotator, other_annotator], owner, 2)
    run = retrain(task)
    assert run.metrics["clean_of_people"] is None
    assert run.candidate is not None
    assert "clean_of_people" not in run.candidate.provenance["data"]
