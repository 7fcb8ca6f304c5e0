"""Regions of a model's verified foolings: found, shown, named, and looked at after a retraining."""

from __future__ import annotations

import json
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from accounts.models import User
from annotate import rounds
from annotate.models import Example, ModelVersion, TargetAnswer, Task
from core.transactions import durable
from tests import acts, cast
from tests.pins import Pins, shape
from tests.training.world import serving, verified
from training import regions, services, tasks
from training.coverage import coverage_of
from training.evaluations import opened
from training.models import Discovery, LaterAnswer, Region
from training.queries import taught_to
from training.region_board import board_of
from training.retraining import carry_out

pytestmark = pytest.mark.once

PAGE = "/tasks/digits/regions/"


def read_as_three(task: Task, some: int) -> list[int]:
    """Seeds of inputs that the model takes for a 3."""
    found = []
    for seed in range(2_000, 3_000):
        if cast.prediction(task, cast.drawing(seed)) == "3":
            found.append(seed)
        if len(found) == some:
            return found
    raise AssertionError("the model says 3 too seldom")


@pytest.fixture
def world(trained: Task, owner: User) -> tuple[Task, list[Example]]:
    """Six verified foolings by three people, a 4 each that was taken for a 3, and two right ones.

    Of the same sort and yet never to be counted: one that waits, one taken back, one hidden, one
    whose author's visit nobody has confirmed, and a guest's.
    """
    people = [cast.person(name) for name in ("ada", "bob", "cyd")]
    *seeds, waits, back, hidden, provisional, sandbox, right, right_too = read_as_three(trained, 13)
    foolings = [
        verified(cast.submission(trained, people[place % 3], seed), owner)
        for place, seed in enumerate(seeds)
    ]
    ada = people[0]
    cast.submission(trained, ada, waits)
    for seed, change in (
        (back, {"retracted_at": timezone.now()}),
        (hidden, {"hidden_at": timezone.now()}),
        (provisional, {"provisional": True}),
        (sandbox, {"sandbox": True, "queued": False}),
    ):
        example = verified(cast.submission(trained, ada, seed), owner)
        Example.objects.filter(pk=example.pk).update(**change)
    for seed in (right, right_too):
        cast.submission(trained, ada, seed, fooled=False)
    return trained, foolings


def discover(task: Task) -> Discovery:
    return regions.carry_out(regions.begin(task=task, model=regions.model_to_look_at(task)))


def test_an_owner_finds_a_region_names_it_and_sees_it_before_and_after_a_retraining(
    world: tuple[Task, list[Example]], client: Client, owner: User, pinned: Pins
) -> None:
    task, foolings = world
    client.force_login(owner)
    assert "digits-1 has enough verified foolings" in client.get(PAGE).content.decode()

    client.post(reverse("regions_find", args=["digits"]))
    page = client.get(PAGE).content.decode()
    assert "Regions of digits-1 are looked for" in page
    assert 'hx-trigger="every 2s"' in page
    again = client.post(reverse("regions_find", args=["digits"]), follow=True)
    assert "are looked for already" in again.content.decode()
    (job,) = DBTaskResult.objects.all()
    assert tasks.run_discovery.call(*job.args_kwargs["args"]) == "done"
    assert tasks.run_discovery.call(*job.args_kwargs["args"]) == "done", "and done once"

    # --- what it holds: each by its verdict and by whom it may be shown
    (row,) = board_of(Discovery.objects.get()).rows
    assert (row.region.pair, row.members, row.of, row.base.count, row.base.of) == (
        "4 taken for 3", 6, 6, 6, 8,
    )  # fmt: skip
    assert {one.pk for one in row.examples} == {one.pk for one in foolings}
    assert {one.fooled for one in row.others} == {False}
    # The right ones are ada's: the others' foolings may have them near, ada's only the others'.
    assert 0 < row.near.count <= row.near.of <= 8
    page = client.get(PAGE).content.decode()
    assert "4 taken for 3" in page
    assert "100 % of the verified" in page
    with pinned.queries("page regions/"):
        client.get(PAGE)

    # --- a name, which a later look keeps
    name = reverse("region_name", args=["digits", row.region.pk])
    client.post(name, {"name": "  open   fours "})
    assert "open fours" in client.get(PAGE).content.decode()
    assert "80 characters" in client.post(name, {"name": "x" * 81}, follow=True).content.decode()

    # --- what annotators may be told of it: words, nobody's own work
    assert "It often takes 4 for 3 (open fours)." in client.get(PAGE).content.decode()
    hint = {"region": row.region.pk, "text": "It often errs on open fours."}
    told = client.post(reverse("region_hints", args=["digits"]), hint, follow=True)
    assert "What annotators are told" in told.content.decode()
    task.refresh_from_db()
    assert task.config is not None
    assert [(one.text, one.input) for one in task.config.file.hints.shown] == [(hint["text"], None)]

    # --- what is withdrawn, or judged anew, is in it no more; what was found is as it was
    acts.set_hidden(actor=owner, example_id=foolings[0].pk, hidden=True, reason="A face.")
    (row,) = board_of(Discovery.objects.get()).rows
    assert (row.members, row.base.count, row.base.of) == (5, 5, 7)
    assert foolings[0].pk not in {one.pk for one in row.examples}
    assert str(foolings[0].uid) not in client.get(PAGE).content.decode()

    # --- a candidate is asked as soon as there is one; nobody who is paid for, or retired
    for seed, its in ((1, {"retired_at": timezone.now()}), (2, {"config": {"url": "http://a"}})):
        ModelVersion.objects.filter(pk=cast.fixed_model(task, seed).pk).update(**its)
    ended = carry_out(*services.begin_here(task=task))
    assert ended.candidate is not None
    ((later,),) = [row.later for row in board_of(Discovery.objects.get()).rows]
    assert later.model == ended.candidate
    assert later.learned.of + later.held_out.of == 5
    assert later.held_out.of, "somebody only tests"
    taught, data = taught_to(later.model), later.model.provenance["data"]
    assert len(taught) == later.learned.of == data["train"]
    left_out = Example.objects.get(pk=min(taught))  # as if more than its author's share
    data.setdefault("left_out", {}).setdefault("author_share", []).append(left_out.public_id)
    assert taught_to(later.model) == taught - {left_out.pk}
    wrong = sum(cast.prediction(task, one.input) != "4" for one in foolings[1:])
    assert later.learned.count + later.held_out.count == wrong

    looked_again = discover(task)
    assert looked_again.regions.get().name == "open fours"
    assert LaterAnswer.objects.count() == 5, "nobody is asked twice"

    # --- what was attacked: the name by the models that served, what it did not learn from apart
    if not later.model.rounds.exists():
        with durable():
            rounds.open_next_round(task=task, models=[later.model])
    (fours,), (first, second) = coverage_of(task).rows, coverage_of(task).columns
    before, now = fours.cells
    assert (fours.name, before.foolings, before.people, before.still) == ("open fours", 5, 3, None)
    assert (first.named, first.unnamed, first.of) == (5, 0, 5)
    assert (now.foolings, now.still) == (0, later.held_out)
    assert (second.named, second.of) == (None, 0)
    page = client.get(reverse("coverage", args=["digits"])).content.decode()
    assert "by 3 people" in page
    assert "not looked for" in page
    with pinned.queries("page regions/coverage/"):
        client.get(reverse("coverage", args=["digits"]))
    Region.objects.update(name="")
    page = client.get(reverse("coverage", args=["digits"])).content.decode()
    assert "Nothing has a name yet" in page


def test_a_look_that_kills_its_process_is_not_begun_for_ever(trained: Task) -> None:
    lost = regions.begin(task=trained, model=serving(trained))
    for _ in range(services.KILLED_AT_MOST):
        assert Discovery.objects.get().status in Discovery.ACTIVE
        DBTaskResult.objects.all().delete()  # taken by a worker that was killed
        long_ago = timezone.now() - timedelta(minutes=3)
        Discovery.objects.update(status="running", heartbeat_at=long_ago)
        tasks.resume_interrupted()
        tasks.resume_interrupted()  # which counts it once
    lost.refresh_from_db()
    assert (lost.status, "killed 3 times" in lost.stage) == ("failed", True)
    assert not DBTaskResult.objects.exists()


def test_what_there_is_not_enough_of_says_so_and_what_was_lost_is_taken_up(
    trained: Task, client: Client, owner: User, annotator: User
) -> None:
    client.force_login(owner)
    assert "0 of one model are verified so far" in client.get(PAGE).content.decode()
    refused = client.post(reverse("regions_find", args=["digits"]), follow=True)
    assert "A region takes 5 verified foolings" in refused.content.decode()

    # Five that have no label and answer in common are no region.
    for place in range(5):
        verified(cast.submission(trained, annotator, 10 + place, label=f"{place}"), owner)
    Example.objects.filter(fooled=False).update(fooled=True)
    lost = regions.begin(task=trained, model=regions.model_to_look_at(trained))
    tasks.resume_interrupted()
    assert not DBTaskResult.objects.exists(), "it may be under way"
    Discovery.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=3))
    tasks.resume_interrupted()
    tasks.resume_interrupted()
    (job,) = DBTaskResult.objects.all()
    assert job.args_kwargs["args"] == [str(lost.uid)]
    tasks.run_discovery.call(str(lost.uid))
    assert "<h2>No region</h2>" in client.get(PAGE).content.decode()

    regions.stop(regions.begin(task=trained, model=lost.model), "It was stopped.")
    assert "ended without a result. It was stopped." in client.get(PAGE).content.decode()


def test_texts_share_words(
    owner: User,
    annotator: User,
    other_annotator: User,
    client: Client,
    capsys: Any,
    pinned: Pins,
) -> None:
    task = cast.text_task()
    task.owners.add(owner)
    both = [task.models.get(), cast.fixed_model(task, 1)]
    with durable():  # of several that are asked each has its own foolings
        rounds.open_next_round(task=task, models=both, needed=2)
    parse = task.kind.parse

    def yes(text: dict[str, str]) -> bool:
        return {opened(model).answer([parse(text)])[0].label for model in both} == {"yes"}

    for place in range(60):
        person = (annotator, other_annotator)[place % 2]
        made_up = sha256(bytes([place])).hexdigest()
        text = {"text": f"not bad {made_up[:9]} {made_up[9:20]} {made_up[20:40]}"}
        if yes(text):
            verified(cast.submission(task, person, fooled=False, input=text, label="no"), owner)
        plain = {"text": f"{made_up[40:50]} {made_up[50:]} {made_up[::-1]}"}
        if yes(plain):
            cast.submission(task, person, fooled=False, input=plain, label="yes")
    capsys.readouterr()
    call_command("discover", "texts", "--json")
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])

    pinned.same("commands", "discover texts", shape(summary))
    assert summary["space"] == "words and runs of characters"
    assert {(one["label"], one["answer"]) for one in summary["regions"]} == {("no", "yes")}
    shared = Region.objects.first().shared
    assert [word for word, *_ in shared["words"]] == ["bad", "not"]
    assert shared["length"] == [5, 3]
    turned = shared["turned"]
    assert turned, "its answers are by lot"
    assert all(0 < count <= of <= 20 for _, count, of in turned)
    assert [n / of for _, n, of in turned] == sorted((n / of for _, n, of in turned), reverse=True)
    client.force_login(owner)
    page = client.get("/tasks/texts/regions/").content.decode()
    assert f"otherwise after <strong>{turned[0][0]}</strong> ({turned[0][1]} of" in page
    assert Region.objects.first().hint == "It often takes no for yes (with “bad”, “not”)."
    (other,) = board_of(regions.carry_out(regions.begin(task=task, model=both[0]))).rows
    (row,) = board_of(Discovery.objects.get(model=both[1])).rows
    assert {one.pk for one in other.examples} == {one.pk for one in row.examples}
    assert (other.members, other.base, other.near) == (row.members, row.base, row.near)
    # Of one alone what the other said is no error.
    answers = TargetAnswer.objects.filter(model=both[0], example=row.examples[0])
    answers.update(fooled=False, prediction="no")
    assert [board_of(one).rows[0].base.count for one in Discovery.objects.order_by("model")] == [
        row.members - 1, row.members,
    ]  # fmt: skip
