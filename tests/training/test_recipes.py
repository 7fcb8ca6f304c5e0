"""Several ways to learn, tried beside each other; what one may say; and how a run is stopped."""

from __future__ import annotations

import time
from functools import partial
from itertools import count
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from accounts.models import User
from annotate.config import parse_task_file
from annotate.models import Task
from annotate.schedule import change_round, follow_the_clock
from core.errors import Conflict
from core.strict_yaml import NotYaml
from tests import cast
from tests.races import at_once
from tests.training.fake_learner import FakeLearner
from tests.training.test_commands import run_command
from tests.training.world import (
    let_every_other_fail,
    serving,
    trained_task,
    verified_foolings,
)
from training import services, tasks, trials
from training.models import TrainingRun
from training.queries import learned_examples, waiting_foolings
from training.retraining import carry_out
from training.statements import active_run

pytestmark = pytest.mark.once


@pytest.fixture
def authors(annotator: User, other_annotator: User) -> list[User]:
    return [annotator, other_annotator]


def retrain(task: Task) -> TrainingRun:
    return carry_out(*services.begin_here(task=task))


def test_recipes_and_seeds_stand_beside_each_other_and_the_best_is_the_candidate(
    owner: User, authors: list[User], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.progress.LEAST_TO_TELL", 0)
    clock = count(step=10)
    monkeypatch.setattr("training.progress.time.monotonic", lambda: float(next(clock)))
    recipes = {"anew": {"start": "scratch"}, "slow": {"pace": 2}, "usual": {}}
    task = trained_task(owner, recipes=recipes, seeds=2)
    verified_foolings(task, authors, owner, 3)
    said: list[str] = []

    run = carry_out(*services.begin_here(task=task), lambda _, stage: said.append(stage))

    assert run.status == "promoted", run.reason
    tried = [(one["recipe"], one["seed"]) for one in run.trials]
    assert tried == [(name, seed) for name in recipes for seed in (0, 1)]
    assert any(stage.startswith("4 of 6 (slow 1): Training on") for stage in said)
    assert any(" left." in stage for stage in said)
    gains = [one["figures"]["new_round"]["now"] for one in run.trials]
    assert run.candidate is not None
    best = next(one for one in run.trials if one["made"]["sha256"] == run.candidate.sha256)
    assert best["figures"]["new_round"]["now"] == max(gains)
    assert run.candidate.config["retraining"]["seed"] == best["seed"]
    clean = next(gate for gate in run.gates if gate["name"] == "clean")
    assert "with 99.17 % confidence" in clean["sentence"], "the best of six is lucky, too"
    client.force_login(owner)
    page = client.get(reverse("training", args=["digits"])).content.decode()
    assert page.count('data-label="seed"') == 6
    assert "the candidate" in page
    verified_foolings(task, authors, owner, 1, first_seed=300)
    lines = run_command("retrain", "digits")
    assert sum(", seed " in line for line in lines) == 6


def test_what_was_learned_before_may_be_left_out(
    owner: User, authors: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[int] = []
    fine_tune = FakeLearner.fine_tune

    def heard(self: Any, parent: Any, base: Any, verified: Any, **how: Any) -> Any:
        learned.append(len(verified))
        return fine_tune(self, parent, base, verified, **how)

    monkeypatch.setattr(FakeLearner, "fine_tune", heard)
    task = trained_task(owner, recipes={"all": {}, "new": {"replay": 0}})
    verified_foolings(task, authors, owner, 3)
    assert retrain(task).status == "promoted"
    verified_foolings(task, authors, owner, 2, first_seed=300)
    retrain(task)
    assert learned == [3, 3, 5, 2]


def test_a_recipe_that_cannot_be_is_a_mistake_in_the_task_file() -> None:
    for section, complaint in [
        ({"recipes": {"a": {"trigger": 3}}}, "the recipe a has no setting trigger"),
        ({"recipes": {"a": {"pace": 0}}}, "greater than or equal to 1"),
        ({"recipes": {"a": {}, "b": {}, "c": {}, "d": {}}, "seeds": 10}, "more than the 30"),
        ({"replay": 2}, "less than or equal to 1"),
        ({"generated": 1, "recipes": {"anew": {"start": "scratch"}}}, "learns nothing generated"),
    ]:
        with pytest.raises(NotYaml, match=complaint):
            parse_task_file(cast.task_file(retraining=section))


@pytest.mark.parametrize("kind", ["text", "text_pair"])
@pytest.mark.parametrize(
    "section",
    [
        {"mix": "foolings_only"}, {"epochs": 200}, {"patience": 200}, {"batch_size": 4096},
        {"learning_rate": 1}, {"recipes": {"a": {"epochs": 200}}},
    ],
)  # fmt: skip
def test_what_a_task_of_texts_could_say_before_it_had_such_a_learner_it_can_still_say(
    kind: str, section: dict[str, Any]
) -> None:
    """Stored files are read again by each later version: of one that is refused no page is left."""
    file = {"slug": "texts", "name": "Texts", "input": kind, "labels": ["yes", "no"]}
    assert parse_task_file({**file, "retraining": section}).section("retraining")


@pytest.mark.parametrize("by_page", [True, False])
def test_an_owner_stops_a_run_and_nothing_of_it_counts(
    owner: User,
    authors: list[User],
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    by_page: bool,
) -> None:
    task = trained_task(owner, trigger=4)
    verified_foolings(task, authors, owner, 2)
    (run,) = TrainingRun.objects.all()
    fine_tune = FakeLearner.fine_tune
    client.force_login(owner)

    def stopped_meanwhile(*args: Any, **how: Any) -> Any:
        assert "Stop it" in client.get(reverse("training_live", args=["digits"])).content.decode()
        if by_page:
            client.post(reverse("training_stop", args=["digits"]))
        else:
            call_command("retrain", "digits", stop=True)
        return fine_tune(*args, **how)

    monkeypatch.setattr(FakeLearner, "fine_tune", stopped_meanwhile)
    assert tasks.run_training.call(str(run.uid)) == "stopped"
    run.refresh_from_db()
    assert run.reason == ("Stopped by olive." if by_page else "Stopped by a command.")
    assert (run.candidate, serving(task).number, waiting_foolings(task.pk).count()) == (None, 1, 4)
    assert services.start_all_due() == [], "an owner decides"
    page = client.get(reverse("training", args=["digits"])).content.decode()
    assert "stopped by an owner" in page
    again = client.post(reverse("training_stop", args=["digits"]), follow=True)
    assert "No training run of digits is active" in again.content.decode()


def test_what_follows_a_full_round_is_its_model_and_what_follows_a_window_an_owner_says(
    owner: User, authors: list[User]
) -> None:
    task = trained_task(owner)
    change_round(task=task, number=1, changes={"verified": 4}, reason="A quota.")
    verified_foolings(task, authors, owner, 2)
    follow_the_clock()
    assert not task.rounds.filter(status="open").exists()
    assert retrain(task).status == "promoted"
    opened = task.rounds.get(status="open")
    assert opened.number == 2
    verified_foolings(task, authors, owner, 2, first_seed=200)
    change_round(task=task, number=2, changes={"closes_at": "2999-01-01T00:00:00Z"}, reason="Set.")
    run = retrain(task)
    assert (run.status, "what follows it an owner opens" in run.reason) == ("passed", True)
    assert task.rounds.get(status="open") == opened


def test_an_owner_chooses_a_recipe_that_passed_but_gained_less(
    owner: User, authors: list[User], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_every_other_fail(monkeypatch)
    task = trained_task(owner, seeds=4, promote="by_owner")
    verified_foolings(task, authors, owner, 5)
    run = retrain(task)
    assert run.candidate is not None
    passes = [all(gate["passed"] for gate in trial["gates"]) for trial in run.trials]
    mine = next(
        n
        for n, trial in enumerate(run.trials)
        if passes[n] and trial["made"]["sha256"] != run.candidate.sha256
    )
    address = reverse("training_choose", args=["digits", run.pk])
    client.force_login(cast.person("other-owner", "owner"))
    assert client.post(address, {"recipe": mine}).status_code == 404
    client.force_login(owner)
    shown = client.get(reverse("training_run", args=["digits", run.pk])).content.decode()
    assert shown.count('name="recipe"') == sum(passes) - 1 == 1
    assert shown.count('data-label="gate"') == sum(len(one["gates"]) for one in run.trials)

    refused = client.post(address, {"recipe": passes.index(False)}, follow=True)
    assert "did not pass" in refused.content.decode()
    assert "did not pass" in client.post(address, {"recipe": "99"}, follow=True).content.decode()
    assert "did not pass" in client.post(address, {"recipe": "-1"}, follow=True).content.decode()
    assert task.models.count() == 2
    only_the_first_had = {**run.metrics, "left_out": 7}
    TrainingRun.objects.filter(pk=run.pk).update(metrics=only_the_first_had)
    answer = client.post(address, {"recipe": mine}, follow=True).content.decode()

    model = task.models.get(number=3)
    assert model.sha256 == run.trials[mine]["made"]["sha256"]
    assert "Its recipe was chosen by olive." in answer
    chosen = model.training_run
    assert (chosen.status, chosen.snapshot, chosen.parent) == ("passed", run.snapshot, run.parent)
    assert not chosen.metrics["left_out"]
    assert learned_examples(model).count() == 10
    data = model.provenance["data"]
    assert (data["sha256"], data["train"]) == (run.snapshot.sha256, 5)  # type: ignore[union-attr]
    again = client.post(address, {"recipe": mine}, follow=True).content.decode()
    assert "newest run alone" in again
    waiting = waiting_foolings(task.pk).count()
    assert waiting == 0
    services.begin_here(task=task)
    address = reverse("training_choose", args=["digits", chosen.pk])
    assert "newest run alone" in client.post(address, {"recipe": 0}, follow=True).content.decode()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_choose_one_recipe_at_once_one_is_told_that_it_is_registered(
    owner: User, authors: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = trained_task(owner, seeds=3, promote="by_owner")
    verified_foolings(task, authors, owner, 5)
    run = retrain(task)
    assert run.candidate is not None
    mine = next(
        number
        for number, trial in enumerate(run.trials)
        if trial["made"]["sha256"] != run.candidate.sha256
    )
    looked = trials.choosable

    def slowly(run: TrainingRun) -> set[str]:
        found = looked(run)
        time.sleep(0.3)
        return found

    monkeypatch.setattr(trials, "choosable", slowly)
    choose = partial(trials.choose_trial, task=task, actor=owner, run_id=run.pk, number=mine)
    outcomes = at_once([choose, choose])
    assert sum(isinstance(one, TrainingRun) for one in outcomes) == 1
    assert sum(isinstance(one, Conflict) for one in outcomes) == 1
    assert task.models.count() == 3


def test_nothing_is_chosen_while_the_next_run_comes_to_its_verdict(
    owner: User, authors: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of the one before go then."""
    task = trained_task(owner, seeds=3, promote="by_owner")
    verified_foolings(task, authors, owner, 5)
    run = retrain(task)
    assert run.candidate is not None
    passed = [trial["made"]["sha256"] for trial in run.trials]
    mine = next(number for number, one in enumerate(passed) if one != run.candidate.sha256)
    after, _ = services.begin_here(task=task)
    newest = trials.newest_concluded

    def just_before_it_ends(task: Task) -> TrainingRun | None:
        found = newest(task)
        TrainingRun.objects.filter(pk=after.pk).update(status="refused")
        return found

    monkeypatch.setattr(trials, "newest_concluded", just_before_it_ends)
    with pytest.raises(Conflict, match="newest run alone"):
        trials.choose_trial(task=task, actor=owner, run_id=run.pk, number=mine)


def test_whoever_asks_for_the_active_run_waits_for_nothing_that_its_recipes_came_to(
    owner: User, authors: list[User]
) -> None:
    """Every verdict asks, and an open page each second."""
    task = trained_task(owner)
    verified_foolings(task, authors, owner, 1)
    services.begin_here(task=task)
    run = active_run(task.pk)
    assert run is not None
    assert run.get_deferred_fields() == {"trials", "metrics", "gates", "config"}
