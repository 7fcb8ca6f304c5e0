"""Models on frozen sets: evaluated once, compared with care, and what is not comparable says so."""

from __future__ import annotations

import hashlib
import html
import json
import re
import uuid
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from accounts.models import User
from annotate.models import Example, ModelVersion, Task
from annotate.registry import read_model_file, register
from annotate.rounds import register_model
from core.transactions import durable
from ml.backends import Answer, Down, Source
from ml.backends.null import NullBackend
from ml.batcher import Busy
from ml.measure import NotMeasured, measure
from scoring.statistics import clustered
from tests import cast
from tests.pins import Pins
from tests.training.world import verified_foolings
from training import attacked, evaluations, stress, tasks
from training.board import compare, comparison_plots
from training.models import Evaluation
from training.robustness import report_of
from training.services import STALE_AFTER
from training.tasks import (
    ask_for_evaluation,
    end_silent_evaluations,
    is_evaluating,
    run_evaluation,
)
from training.versions import shown_versions

SPEEDS = iter(range(1, 10_000))


def test_an_item_counts_once_however_many_copies_it_has() -> None:
    one, other = Answer("one"), Answer("other")
    copies = [[(str(n), one) for n in range(9)], [("0", other)], []]
    figures = stress.as_before([one, one, one], copies)["figures"]
    assert figures["over_items"] == [1, 2]
    assert (figures["low"], figures["high"]) == clustered([1, 0], [1, 1])
    assert figures["by_change"]["0"] == [1, 2]


@pytest.fixture
def world(trained: Task, owner: User, monkeypatch: pytest.MonkeyPatch) -> Task:
    """A trained model that served and was fooled, and two that only guess."""
    people = [cast.person(name) for name in ("ada", "bob", "cyd")]
    verified_foolings(trained, people, owner, 2)
    for seed in (1, 2):
        cast.fixed_model(trained, seed)

    def fake(*_: Any) -> dict[str, Any]:
        return {"per_second": 10.0 * next(SPEEDS), "memory_gb": 0.1 * next(SPEEDS)}

    monkeypatch.setattr(evaluations, "measure", fake)
    monkeypatch.setattr(stress, "STRESSED", 3)
    return trained


def evaluate(*arguments: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    call_command("evaluate", "digits", "--json", *arguments)
    return dict(json.loads(capsys.readouterr().out.splitlines()[-1]))


def test_every_model_meets_every_set_once_and_its_own_round_is_set_apart(
    world: Task, client: Client, owner: User, capsys: pytest.CaptureFixture[str], pinned: Pins,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    client.force_login(owner)
    assert "Nothing evaluated yet" in client.get("/tasks/digits/compare/").content.decode()

    done = evaluate(capsys=capsys)
    assert (done["models"], done["sets"], done["asked"], done["kept"]) == (3, 4, 9, 0)
    assert evaluations.wanted(world) == (6, 6)
    again = evaluate("--model", "digits-2", capsys=capsys)
    assert (again["models"], again["asked"], again["kept"]) == (1, 0, 3)
    # Another verified fooling makes another set of that round, and of that one alone.
    verified_foolings(world, [cast.person("dan")], owner, 1, first_seed=900)
    later = evaluate(capsys=capsys)
    assert (later["asked"], later["kept"]) == (3, 6)

    found = compare(world, owner)
    assert found.sets == ("clean", "round 1")
    assert (found.data, found.scored) == ("clean", ("digits-1", "digits-2", "digits-3"))
    by_name = {row.name: row for row in found.rows}
    own = by_name["digits-1"].on("round 1")
    assert own is not None
    assert own.accuracy is not None
    assert (own.own, own.accuracy.count, own.accuracy.of) == (True, 0, 7)
    assert all(row.per_second for row in found.rows)
    second = by_name["digits-2"].on("clean")
    assert second is not None
    assert second.f1_interval is not None
    assert second.f1_interval[0] <= (second.f1 or 0) <= second.f1_interval[1]
    (over_time,) = [one for name, one in comparison_plots(found).items() if name == "over-time"]
    assert [(row[0], row[-1]) for row in over_time.rows] == [
        ("round 1", "digits-2"), ("round 1", "digits-3"),
    ]  # fmt: skip

    # Each model keeps its score with the set that it holds for; those that served, without others.
    kept = {one.name: one.metrics for one in world.models.all()}
    assert kept["digits-2"]["dynascore"] == by_name["digits-2"].dynascore
    assert kept["digits-2"]["dynascore_of"]["models"] == list(found.scored)
    assert kept["digits-1"]["dynascore"] is None
    assert kept["digits-1"]["dynascore_of"]["models"] == ["digits-1"]
    assert "two models" in kept["digits-1"]["dynascore_of"]["reason"]
    told = client.get(f"/api/v1/models/{world.models.get(number=2).pk}/").json()["metrics"]
    assert told["dynascore"] == by_name["digits-2"].dynascore

    # What a program changed is asked beside it, and counts nowhere above.
    assert found.suites == ("corruptions",)
    (net,) = by_name["digits-1"].stress
    assert net.about == "robustness"
    assert net.unchanged.of == 3, "an item counts once, however many copies it has"
    assert net.unchanged.interval.low <= (net.unchanged.value or 0) <= net.unchanged.interval.high
    assert net.weakest is not None
    assert net.weakest[1] < 1

    # One model's report, as page, file and call: each set by its slices, and stress apart.
    served = world.models.get(name="digits-1")
    report = report_of(served)
    assert [(one.data, one.own) for one in report.sets] == [("clean", False), ("round 1", True)]
    clean = report.sets[0]
    (labels,) = clean.sorts
    assert (labels.name, sum(one.right.of for one in labels.slices)) == ("label", clean.right.of)
    assert sum(one.right.count for one in labels.slices) == clean.right.count
    assert [kept.coverage for kept in clean.selective] == [1, 0.9, 0.8, 0.7, 0.5]
    assert clean.selective[0].right == clean.right
    assert [one.sets and one.sets.of for one in report.sets] == ["clean", "clean"]
    assert [one.suite for one in report.stress] == ["corruptions"]
    told = client.get(f"/api/v1/models/{served.pk}/robustness/").json()
    assert told == client.get("/tasks/digits/models/1/robustness.json").json()
    assert (told["sets"][0]["right"]["of"], told["name"]) == (clean.right.of, "digits-1")
    for path in ("models/1/robustness/", "compare/?memory=0", "models/1/"):
        page = client.get(f"/tasks/digits/{path}").content.decode()
        (again,) = re.findall(r'hx-get="([^"]+)"', page)
        as_htmx = {"HX-Request": "true"}
        address = html.unescape(again)
        assert client.get(address, headers=as_htmx).status_code == 204, path
        Evaluation.objects.filter(data="clean").update(created_at=timezone.now())
        example = Example.objects.filter(fooled=True, hidden_at=None).first()
        assert example is not None
        Example.objects.filter(pk=example.pk).update(hidden_at=timezone.now())
        part = client.get(address, headers=as_htmx).content.decode()
        assert part, path
        assert "<html" not in part, path
        Example.objects.filter(pk=example.pk).update(hidden_at=None)
    page = client.get("/tasks/digits/compare/").content.decode()
    assert 'id="weights-clean-round-1-suites" hx-preserve' in page, "kept as long as it is the same"
    page = client.get("/tasks/digits/models/1/robustness/").content.decode()
    assert "its own round" in page
    assert "Nobody judged these copies" in page

    # On the round's set the model that it was made against is not scored.
    told = client.get("/api/v1/tasks/digits/comparison/?on=round 1&memory=0").json()
    assert told["scored"] == ["digits-2", "digits-3"]
    (adversary,) = [row for row in told["models"] if row["name"] == "digits-1"]
    assert (adversary["dynascore"], adversary["reason"]) == (None, "the set was made against it")
    assert told["weights"]["memory"] == 0
    assert adversary["stress"][0]["unchanged"]["value"] == net.unchanged.value
    page = client.get("/tasks/digits/compare/?on=clean&memory=0&throughput=x").content.decode()
    assert "nobody judged these copies" in page
    assert "its own round: 0.0 %" in page
    assert page.count('class="plot__picture"') == 2
    svg = client.get("/tasks/digits/compare/pareto.svg?memory=0")
    assert svg.status_code == 200
    assert client.get("/tasks/digits/compare/other.svg").status_code == 404
    assert client.get("/api/v1/tasks/digits/comparison/?memory=nan").status_code == 400

    # One that never served is its owners' to see.
    guest = Client()
    with pinned.queries("page compare/"):
        guest.get("/tasks/digits/compare/")
    assert "digits-2" not in guest.get("/tasks/digits/compare/?memory=0").content.decode()
    (only,) = guest.get("/api/v1/tasks/digits/comparison/").json()["models"]
    assert only["name"] == "digits-1"

    # What was measured in another run is not compared with what was measured in this one.
    Evaluation.objects.filter(data="speed", model__name="digits-3").delete()
    evaluate("--model", "digits-3", capsys=capsys)
    assert all(row.per_second for row in compare(world, owner).rows)
    Evaluation.objects.filter(data="speed", model__name="digits-1").update(run="0" * 32)
    rows = {row.name: row.reason for row in compare(world, owner).rows}
    assert rows["digits-1"] == "its speed was not measured beside the others"

    # Robustness has a weight where a suite has measured it, fairness has none where none has.
    told = client.get("/api/v1/tasks/digits/comparison/?memory=0&throughput=0").json()
    assert (told["weights"]["robustness"], told["weights"]["fairness"]) == (1, 0)
    (told,) = [row for row in told["models"] if row["name"] == "digits-1"]
    assert (told["robustness"], told["fairness"]) == (net.unchanged.value, None)
    low, high = told["calibration_interval"]
    assert low <= told["calibration_error"] <= high
    Evaluation.objects.filter(data__startswith="stress", model__name="digits-3").delete()
    query = "memory=0&throughput=0"
    page = client.get(f"/tasks/digits/compare/?{query}").content.decode()
    assert "its robustness was not measured" in page
    page = client.get(f"/tasks/digits/compare/?{query}&robustness=0").content.decode()
    assert "was not measured" not in page

    # Whose slopes are known is attacked by them, whatever it calls labels; others are not asked.
    net_itself, answers_of = cast.fixed_net(world, calls="a ").name, attacked.answers_of
    asked: list[Any] = []

    def heard(backend: Any, items: Any) -> Any:
        asked.append(items)
        return answers_of(backend, items)

    monkeypatch.setattr(attacked, "answers_of", heard)
    evaluate("--model", net_itself, capsys=capsys)
    rows = {row.name: row for row in compare(world, owner).rows}
    assert [one.suite for one in rows[net_itself].stress] == ["attacks", "corruptions"]
    among = world.models.get(name="digits-2").metrics["dynascore_of"]
    assert net_itself in among["models"]
    assert among["before"]["models"] == ["digits-1", "digits-2", "digits-3"]
    page = client.get("/tasks/digits/models/2/robustness/").content.decode()
    assert "among digits-1, digits-2, digits-3" in page
    assert [one.suite for one in rows["digits-1"].stress] == ["corruptions"]
    attacks = {name: kept for name, kept, _ in rows[net_itself].stress[0].by_change}
    levels = 255 * np.stack([one.prepared.features for some in asked[1:] for one in some])
    assert len(levels) == 3 * len(attacks) == 24
    assert np.allclose(levels, np.rint(levels), atol=1e-3), "as it could be sent"
    number = world.models.get(name=net_itself).number
    page = client.get(f"/tasks/digits/models/{number}/robustness/").content.decode()
    assert attacks["40 steps within 0.3"] == 0
    assert "0 % to 56 %" in page, "of three"
    assert attacks["40 steps within 0.1"] < 3, "three of three stayed, under the worst of them"
    assert attacks["40 steps within 0.1"] <= attacks["one step within 0.05"]

    ModelVersion.objects.filter(name="digits-2").update(retired_at=timezone.now())
    assert evaluate(capsys=capsys)["models"] == 3, "what is retired is asked no more"


def test_what_cannot_be_done_stops_no_other(
    world: Task, client: Client, owner: User, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with pytest.raises(CommandError, match="has no model other"):
        call_command("evaluate", "digits", "--model", "other")

    def broken(*_: Any) -> dict[str, float]:
        raise NotMeasured("no room")

    monkeypatch.setattr(evaluations, "measure", broken)
    with pytest.raises(CommandError, match=r"3 could not be evaluated:\n.*no room"):
        call_command("evaluate", "digits")
    assert Evaluation.objects.count() == 9
    assert compare(world, owner, weights={"performance": 1}).rows[0].per_second is None

    # An owner asks for it once; a job does it.
    assert ask_for_evaluation(world)
    assert is_evaluating(world)
    client.force_login(owner)
    assert client.post("/tasks/digits/compare/evaluate/").status_code == 302
    assert "evaluating" in client.get("/tasks/digits/compare/").content.decode()
    asked = client.post("/api/v1/tasks/digits/comparison/")
    assert (asked.status_code, asked.json()["evaluating"]) == (202, True)
    assert DBTaskResult.objects.count() == 1, "it is under way already"
    assert run_evaluation.call("digits")["kept"] == 9

    # Its worker was killed: it is over as soon as it has given no sign of life for a while.
    jobs = DBTaskResult.objects.all()
    jobs.update(status="RUNNING", started_at=timezone.now() - 2 * STALE_AFTER)
    assert run_evaluation.call("digits")["kept"] == 9
    assert (end_silent_evaluations(), is_evaluating(world)) == (0, True)
    jobs.update(run_after=timezone.now() - 2 * STALE_AFTER)
    assert (end_silent_evaluations(), is_evaluating(world)) == (1, False)


def test_what_an_owner_registers_is_scored_by_itself_where_that_costs_nobody_anything(
    world: Task, owner: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def register_as(actor: User | None, name: str) -> None:
        file = read_model_file(f"{{name: {name}, backend: null, salt: {name}}}")
        register(task=world, file=file, actor=actor)

    register_as(None, "a-command's")
    assert not is_evaluating(world)
    register_as(owner, "fourth")
    assert is_evaluating(world)
    address = "/api/v1/tasks/digits/comparison/"
    client.force_login(owner)
    assert client.get(address).json()["evaluating"]

    def meanwhile(**_: Any) -> evaluations.Evaluated:
        register_as(owner, "fifth")
        return evaluations.Evaluated()

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "evaluate_models", meanwhile)
        run_evaluation.call("digits")
    assert DBTaskResult.objects.count() == 2, "the one that runs has not met it"
    DBTaskResult.objects.all().delete()
    run_evaluation.call("digits")
    told = client.get(address).json()
    assert not told["evaluating"]
    assert {"fourth", "fifth"} <= set(told["scored"])

    with durable():
        register_model(task=world, name="paid", backend="chat", config={"labels": cast.DIGITS})
    register_as(owner, "sixth")
    assert not is_evaluating(world)


@pytest.mark.parametrize("away", [Down("It is away."), Busy(0, 10**7)])
def test_an_outage_is_no_wrong_answer(
    world: Task, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    away: Exception,
) -> None:  # fmt: skip
    """One item is answered, then the model is gone, or its cap is reached."""
    asked = []

    def answer(self: Any, inputs: Any, /) -> list[Answer]:
        asked.append(inputs)
        if len(asked) == 3:
            raise Busy(0, 1)  # a moment's cap is waited for
        if len(asked) > 4:
            raise away
        return [Answer(self.labels[0])] * len(inputs)

    monkeypatch.setattr(NullBackend, "at_once", 1, raising=False)
    monkeypatch.setattr(NullBackend, "answer", answer)
    with pytest.raises(CommandError, match=r"It is away|cap is reached"):
        evaluate("--model", "digits-2", capsys=capsys)
    assert len(asked) == 5
    evaluated = Evaluation.objects.filter(model__name="digits-2").exclude(data="speed")
    assert not evaluated.exists()


def test_speed_and_memory_are_measured_in_a_process_of_their_own() -> None:
    source = Source(None, "0" * 64, {"labels": ["a", "b"]})
    found = measure("null", source, "text", [{"text": "one"}, {"text": "two"}])
    assert (found["per_second"] or 0) > 100
    assert 0 <= (found["memory_gb"] or 0) < 1
    with pytest.raises(NotMeasured, match="labels"):
        measure("null", Source(None, "0" * 64, {}), "text", [{"text": "one"}])


def test_a_set_is_compared_as_most_models_have_met_it_and_by_one_rule(
    world: Task, owner: User, capsys: pytest.CaptureFixture[str]
) -> None:
    def told() -> list[tuple[str, int]]:
        rows = compare(world, owner, "round 1").rows
        cells = [(row.name, row.on("round 1")) for row in rows]
        return sorted((name, cell.accuracy.of) for name, cell in cells if cell and cell.accuracy)

    def shown_clean() -> set[str]:
        shown = [known.pk for known in shown_versions(world)["clean"].values()]
        return set(Evaluation.objects.filter(pk__in=shown).values_list("data_sha256", flat=True))

    every = ["digits-1", "digits-2", "digits-3"]
    evaluate(capsys=capsys)
    verified_foolings(world, [cast.person("dan")], owner, 1, first_seed=900)
    assert evaluate("--model", "digits-2", capsys=capsys)["asked"] == 1
    assert told() == [(name, 6) for name in every], "the others know the earlier set alone"
    assert evaluate(capsys=capsys)["asked"] == 2
    assert told() == [(name, 7) for name in every]
    assert len(set(Evaluation.objects.filter(data="round 1").values_list("data_sha256"))) == 1

    # What is right is the task's rule: by another one every model is asked again.
    before = Evaluation.objects.filter(data="clean").values_list("data_sha256", flat=True)
    (by_the_usual,) = set(before)
    assert world.config is not None
    data = {**world.config.data, "comparator": {"rule": "numeric"}}
    Task.objects.filter(pk=world.pk).update(config=world.configs.create(version=2, data=data))
    assert evaluate("--model", "digits-2", capsys=capsys)["asked"] == 2
    assert shown_clean() == {by_the_usual}, "of the others nothing is known by the new rule"
    assert evaluate(capsys=capsys)["asked"] == 4
    (by_the_new,) = shown_clean()
    assert by_the_new != by_the_usual


def test_speed_is_told_of_the_pass_that_most_models_were_measured_in(
    world: Task, owner: User, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(capsys=capsys)
    # It was measured anew but for one, whose row is the youngest.
    speeds = Evaluation.objects.filter(data="speed").order_by("-id")
    youngest = speeds[0].pk
    speeds.exclude(pk=youngest).update(run=uuid.uuid4())
    reasons = [row.reason for row in compare(world, owner, "clean").rows if row.per_second is None]
    assert len(reasons) == 1


def test_a_set_that_is_as_it_was_before_is_the_current_one_again(
    world: Task, owner: User, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(name: str) -> list[int]:
        report = report_of(world.models.get(name=name))
        return [one.right.of for one in report.sets if one.data == "round 1"]

    evaluate(capsys=capsys)
    (added,) = verified_foolings(world, [cast.person("dan")], owner, 1, first_seed=900)
    evaluate("--model", "digits-2", capsys=capsys)
    assert told("digits-2") == [6], "what the others are compared on"
    later = cast.fixed_model(world, 3).name
    evaluate("--model", later, capsys=capsys)
    assert told(later) == [7], "it has met no other"
    world.models.filter(name=later).delete()

    Example.objects.filter(pk=added.pk).update(hidden_at=timezone.now())
    assert evaluate("--model", "digits-2", capsys=capsys)["asked"] == 0
    assert evaluations.wanted(world) == (6, 6)
    others = world.models.exclude(name="digits-2")
    others.update(retired_at=timezone.now())
    assert told("digits-2") == [6]
    others.update(retired_at=None)
    evaluate(capsys=capsys)
    assert len(set(Evaluation.objects.filter(data="round 1").values_list("data_sha256"))) == 1


def test_who_cannot_be_asked_holds_up_nobody_and_no_outage_empties_a_column(
    world: Task, owner: User, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> list[tuple[str, int]]:
        cells = [(row.name, row.on("round 1")) for row in compare(world, owner).rows]
        return sorted((name, cell.accuracy.of) for name, cell in cells if cell and cell.accuracy)

    def opened(model: ModelVersion) -> Any:
        if model.name in away:
            raise Down("It is away.")
        return opens(model)

    away, opens = {"digits-1", "digits-3"}, evaluations.opened
    evaluate(capsys=capsys)
    monkeypatch.setattr(evaluations, "opened", opened)
    verified_foolings(world, [cast.person("dan")], owner, 1, first_seed=900)
    with pytest.raises(CommandError, match="It is away"):
        evaluate(capsys=capsys)
    assert told() == [(name, 6) for name in ("digits-1", "digits-2", "digits-3")]
    away.remove("digits-1")
    with pytest.raises(CommandError, match="It is away"):
        evaluate(capsys=capsys)
    assert told() == [("digits-1", 7), ("digits-2", 7)]
    assert Evaluation.objects.filter(data="round 1").count() == 2
    away.clear()
    evaluate(capsys=capsys)
    assert told() == [(name, 7) for name in ("digits-1", "digits-2", "digits-3")]


def test_a_set_whose_foolings_are_all_gone_is_none(
    world: Task, owner: User, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(capsys=capsys)
    Example.objects.filter(fooled=True).update(hidden_at=timezone.now())
    evaluate("--model", "digits-2", capsys=capsys)
    assert compare(world, owner).sets == ("clean",)


def test_what_was_answered_by_nobody_knows_which_rule_is_asked_again(
    world: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    """As evaluations are that were kept before the rule was part of a set."""
    evaluate(capsys=capsys)
    for one in Evaluation.objects.filter(data__in=["clean", "round 1"]):
        one.figures["sliced_by"] = hashlib.sha256(b"[]").hexdigest()[:12]
        one.save()
    assert evaluate(capsys=capsys)["asked"] == 6


def test_resampling_few_items_is_not_told_of_what_was_stored_either(
    world: Task, owner: User, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(capsys=capsys)
    stored = Evaluation.objects.filter(model__name="digits-2", data="clean")
    figures = {**stored.get().figures, "f1": 0.9, "f1_interval": [0.7, 1.0]}
    for items, interval in ((19, None), (20, [0.7, 1.0])):
        stored.update(items=items, right=18, figures=figures)
        cell = {row.name: row.on("clean") for row in compare(world, owner).rows}["digits-2"]
        assert cell is not None
        assert cell.f1_interval == interval


def test_which_answers_two_models_differ_in(
    world: Task, client: Client, owner: User, capsys: pytest.CaptureFixture[str]
) -> None:
    address = "/tasks/digits/compare/changed/"
    client.force_login(owner)
    assert "It takes two models" in client.get(address).content.decode()
    evaluate(capsys=capsys)
    query = {"on": "round 1", "before": "digits-1", "now": "digits-2"}
    assert "digits-2" in client.get(address).content.decode(), "they can be chosen"
    found = Evaluation.objects.get(model__name="digits-2", data="round 1")
    # Of its own round's foolings the first model has none right.
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(found.figures["bits"]), np.uint8), count=6)
    assert bits.sum() == found.right
    foolings = list(world.examples.filter(fooled=True).order_by("pk"))
    packed = np.packbits([1, 1, 0, 0, 0, 0]).tobytes().hex()
    Evaluation.objects.filter(pk=found.pk).update(
        figures={**found.figures, "bits": packed}, right=2
    )
    shown = client.get(address, query).content.decode()
    assert "0 right before, wrong now" in shown
    assert "2 wrong before, right now" in shown
    links = [f"/inbox/{one.uid}/" in shown for one in foolings]
    assert links == [True, True, False, False, False, False]
    back = client.get(address, {**query, "before": "digits-2", "now": "digits-1"}).content.decode()
    assert "2 right before, wrong now" in back
    Example.objects.filter(pk=foolings[0].pk).update(hidden_at=timezone.now())
    shown = client.get(address, query).content.decode()
    assert f"/inbox/{foolings[0].uid}/" not in shown
    assert "1 of them shown" in shown
    assert "wrong now" in client.get(address, {**query, "on": "clean"}).content.decode()
    Example.objects.filter(pk=foolings[0].pk).update(hidden_at=None)
    verified_foolings(world, [cast.person("dan")], owner, 1, first_seed=900)
    evaluate("--model", "digits-2", capsys=capsys)  # whose set is another one than the others'
    shown = client.get(address, query).content.decode()
    assert "evaluate what is new" in shown
    for wrong in ({**query, "on": "nothing"}, {**query, "now": "nobody"}):
        assert client.get(address, wrong).status_code == 200
