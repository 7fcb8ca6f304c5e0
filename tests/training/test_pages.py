"""The owner's training page."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from annotate.models import Example, Task
from ml.backends import Answer
from ml.backends.null import NullBackend
from tests import cast
from tests.training.world import serving, trained_task, verified_fooling, verified_foolings
from training import services
from training.models import TrainingRun
from training.retraining import carry_out
from training.run_board import left_out

pytestmark = pytest.mark.once

PAGES = [
    ("training", {}),
    ("training_live", {}),
    ("training_serve", {"number": 1}),
]


def page(task: Task, name: str = "training", **numbers: int) -> str:
    return reverse(name, kwargs={"slug": task.slug, **numbers})


@pytest.mark.parametrize(("name", "numbers"), PAGES)
def test_only_owners_and_admins_see_it(
    client: Client, trained: Task, owner: User, name: str, numbers: dict[str, int]
) -> None:
    address = page(trained, name, **numbers)
    expected = [
        (None, 404),
        (cast.person("ann"), 404),
        (cast.person("val", "validator"), 404),
        (cast.person("other-owner", "owner"), 404),
        (owner, 200),
        (cast.person("ada", "admin"), 200),
    ]
    for person, status in expected:
        client.logout()
        if person is not None:
            client.force_login(person)
        assert client.get(address).status_code == status, person


def test_others_start_and_promote_nothing(
    client: Client, trained: Task, owner: User, annotator: User
) -> None:
    verified_fooling(trained, annotator, owner, 1)
    client.force_login(annotator)
    assert client.post(page(trained, "training_start")).status_code == 404
    answer = client.post(page(trained, "training_serve", number=1), {"reason": "Because."})
    assert answer.status_code == 404
    assert not TrainingRun.objects.exists()


def test_it_shows_how_far_the_trigger_is(client: Client, owner: User, annotator: User) -> None:
    task = trained_task(owner, trigger=10)
    verified_foolings(task, [annotator], owner, 3)
    client.force_login(owner)
    text = client.get(page(task)).content.decode()
    assert "3 of 10" in text
    assert "digits-1" in text
    assert 'hx-trigger="every 5s"' in text


def test_retrain_now_queues_a_run_and_the_page_follows_it(
    client: Client, trained: Task, owner: User, annotator: User, other_annotator: User
) -> None:
    verified_foolings(trained, [annotator, other_annotator], owner, 2)
    client.force_login(owner)
    answer = client.post(page(trained, "training_start"), follow=True)
    text = answer.content.decode()
    assert "Waiting for a worker" in text
    assert 'hx-trigger="every 1s"' in text
    again = client.post(page(trained, "training_start"), follow=True).content.decode()
    assert "already active" in again

    seen: dict[str, Any] = {}

    def look(fraction: float, sentence: str) -> None:
        if fraction > 0.5 and not seen:
            live = client.get(page(trained, "training_live"))
            seen.update({name: live.context[name] for name in ("version", "history_version")})
            seen["text"] = live.content.decode()
            query = {"seen": seen["version"], "history": seen["history_version"]}
            assert client.get(page(trained, "training_live"), query).status_code == 204

    claimed = services.claim_run(TrainingRun.objects.get().uid)
    assert claimed is not None
    assert carry_out(*claimed, look).status == "promoted"
    assert "Training on 2 verified foolings by 1 person" in seen["text"]

    query = {"seen": seen["version"], "history": seen["history_version"]}
    after = client.get(page(trained, "training_live"), query).content.decode()
    assert 'hx-swap-oob="true"' in after
    assert "digits-2 passed every gate and serves round 2." in after
    assert "No test author is in the training data." in after


def test_a_start_that_makes_no_sense_is_answered_with_a_sentence(
    client: Client, trained: Task, owner: User
) -> None:
    client.force_login(owner)
    text = client.post(page(trained, "training_start"), follow=True).content.decode()
    assert "no verified fooling to learn from" in text


def test_promote_and_roll_back_need_a_reason(client: Client, trained: Task, owner: User) -> None:
    newer = cast.fixed_model(trained, seed=5)
    client.force_login(owner)
    address = page(trained, "training_serve", number=newer.number)
    assert "Promote digits-2?" in client.get(address).content.decode()
    answer = client.post(address, {"reason": " "})
    assert answer.status_code == 400
    assert "Say why" in answer.content.decode()
    assert serving(trained) != newer
    text = client.post(address, {"reason": "It reads sevens."}, follow=True).content.decode()
    assert "Round 2 is open with digits-2." in text
    assert serving(trained) == newer
    back = page(trained, "training_serve", number=1)
    assert "Roll back to digits-1?" in client.get(back).content.decode()
    client.post(back, {"reason": "It does not."})
    assert (serving(trained).number, trained.rounds.count()) == (1, 3)


def test_the_model_that_serves_cannot_be_promoted_again(
    client: Client, trained: Task, owner: User
) -> None:
    client.force_login(owner)
    answer = client.post(page(trained, "training_serve", number=1), {"reason": "Again."})
    assert "already serves" in answer.content.decode()
    assert trained.rounds.count() == 1


def test_a_task_of_another_kind_says_why_nothing_is_trained(client: Client, owner: User) -> None:
    from annotate import rounds
    from annotate.config import parse_task_file

    file = parse_task_file({"slug": "qa", "name": "QA", "input": "passage_qa"})
    task, _ = rounds.load_task(file=file, actor=owner)
    client.force_login(owner)
    text = client.get(page(task)).content.decode()
    assert "trained elsewhere" in text
    assert "Retrain now" not in text


def test_the_tab_is_there_for_owners_only(
    client: Client, trained: Task, owner: User, annotator: User
) -> None:
    for person, shown in [(annotator, False), (owner, True)]:
        client.force_login(person)
        text = client.get(reverse("task", args=[trained.slug])).content.decode()
        assert (page(trained) in text) == shown


def test_the_page_costs_few_queries_whatever_the_history(
    client: Client,
    owner: User,
    annotator: User,
    other_annotator: User,
    django_assert_max_num_queries: Any,
) -> None:
    task = trained_task(owner, gates={"min_verified": 1000})
    verified_foolings(task, [annotator, other_annotator], owner, 1)
    for _ in range(3):
        carry_out(*services.begin_here(task=task))
    client.force_login(owner)
    with django_assert_max_num_queries(14):
        client.get(page(task))
    with django_assert_max_num_queries(13):
        client.get(page(task, "training_live"))


def test_a_run_tells_which_answers_changed_and_what_it_left_out(
    client: Client,
    trained: Task,
    owner: User,
    annotator: User,
    other_annotator: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    examples = verified_foolings(trained, [annotator, other_annotator], owner, 4)
    kind, answered = trained.kind, NullBackend._answer
    right = {kind.parse(example.input).key: str(example.label) for example in examples}

    def answer(self: NullBackend, key: str) -> Answer:
        learned = key in right and self._salt.startswith("[")  # the candidate's
        if not learned:
            return answered(self, key)
        return Answer(right[key], {name: float(name == right[key]) for name in self.labels})

    monkeypatch.setattr(NullBackend, "_answer", answer)
    unreadable = examples[0], examples[4]  # one of each, whoever of them tests
    for example in unreadable:
        Example.objects.filter(pk=example.pk).update(input={"png": "no picture"})
    run = carry_out(*services.begin_here(task=trained))
    (trial,) = run.trials
    flipped = trial["flips"]["new_round"]
    assert (flipped["lost"]["count"], trial["flips"]["earlier_rounds"]["lost"]["count"]) == (0, 0)
    assert flipped["gained"]["count"] == len(flipped["gained"]["items"]) == 3
    public_id, label, before, now = flipped["gained"]["items"][0]
    assert now == label != before
    client.force_login(owner)
    address = page(trained, "training_run", number=run.pk)
    with CaptureQueriesContext(connection) as asked:
        shown = client.get(address).content.decode()
    files = [one for one in asked if 'FROM "annotate_taskconfig"' in one["sql"]]
    assert len(files) < flipped["gained"]["count"], "not one for each that is shown"
    assert "3 wrong before, right now" in shown
    assert f"(said {before} before, {now} now)" in shown
    assert "2 cannot be read" in shown
    for example in unreadable:
        assert example.public_id[:15] in shown, "it is named"
    link = f"/inbox/{public_id}/"
    assert link in shown
    runs = client.get(page(trained)).content.decode()
    assert f"/training/runs/{run.pk}/" in runs
    assert "not measured" not in runs, "the first model was, beside the second"
    Example.objects.filter(uid=public_id).update(retracted_at=timezone.now())
    shown = client.get(address).content.decode()
    assert link not in shown
    assert "2 of them shown" in shown
    for other in ("9999", str(run.pk)):
        if other == str(run.pk):
            client.force_login(cast.person("stranger", "owner"))
        assert client.get(page(trained, "training_run", number=int(other))).status_code == 404


def test_of_very_many_that_a_run_left_out_its_page_looks_up_some(
    trained: Task, owner: User, annotator: User, other_annotator: User
) -> None:
    examples = verified_foolings(trained, [annotator, other_annotator], owner, 1)
    run = carry_out(*services.begin_here(task=trained))
    assert run.candidate is not None
    names = [examples[0].public_id, *(str(uuid.uuid4()) for _ in range(2_000))]
    run.candidate.provenance["data"]["left_out"] = {"author_share": names}
    with CaptureQueriesContext(connection) as asked:
        (told,) = left_out(run)
    assert (told.count, [name for name, _ in told.names]) == (len(names), names[:1])
    assert max(len(one["sql"]) for one in asked) < 20_000
