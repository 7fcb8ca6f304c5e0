"""Regions of inputs that nobody made: found, asked about unseen, learned from, told as hints."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from accounts.models import User
from accounts.services import create_user
from annotate import rounds
from annotate.config import parse_task_file
from annotate.models import Example, ModelVersion, Task
from annotate.queries import sees_hints
from annotate.schedule import follow_the_clock
from core.errors import Refused
from ml.learners import Base, read_base
from ml.regions.generated import Made
from releases.rows import with_reasons
from scoring.round_report import round_report
from tests import acts, cast
from tests.pins import Pins, shape
from tests.training.test_bootstrap import run_bootstrap
from tests.training.world import LENIENT, verified_foolings
from training import generated, regions, services, tasks
from training.models import Discovery, GeneratedInput, Region
from training.nearby import nearby
from training.queries import known_to
from training.queries import verified_foolings as learned_from
from training.retraining import carry_out
from training.snapshots import digest_of
from validate.inbox import open_review
from validate.models import QueueItem, Review

PAGE = "/tasks/digits/regions/"
# A net that makes blots in a second: what becomes of them is the same.
QUICK = {
    "CLEAN": 200, "EPOCHS": 3, "JUDGE_EPOCHS": 1, "TRIES": 1, "SURE": 0, "LEAST": 3, "REACH": 2,
    "MOST": 5,
}  # fmt: skip


@pytest.fixture
def digits(owner: User, monkeypatch: pytest.MonkeyPatch) -> Task:
    """The shipped model, and an eighth of its clean data."""

    def some(*about: Any) -> Base:
        base = read_base(*about)
        return Base(base.train[:200], base.held_out, base.source)

    for name, value in QUICK.items():
        monkeypatch.setattr(f"ml.regions.generated.{name}", value)
    monkeypatch.setattr(generated, "read_base", some)
    monkeypatch.setattr(generated, "ASKED", 2)
    monkeypatch.setattr(generated, "KEPT", 8)
    run_bootstrap()
    learning = {"epochs": 1, "epoch_images": 64, "generated": 1.0}
    section = {"trigger": None, "promote": "by_owner", "gates": LENIENT, **learning}
    file = cast.task_file(retraining=section, hints={"share": 0.5})
    task = Task.objects.get(slug="digits")
    task.owners.add(owner)
    rounds.load_task(file=parse_task_file(file), actor=owner)
    task.refresh_from_db()
    return task


def make(capsys: Any, *more: str) -> dict[str, Any]:
    capsys.readouterr()
    call_command("discover", "digits", "--generated", "--json", *more)
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def inputs() -> list[Any]:
    last = Discovery.objects.latest("pk")
    made = GeneratedInput.objects.filter(region__discovery=last)
    return list(made.order_by("region__number", "place").values_list("input"))


def answered(task: Task, region: Region, said: dict[User, str]) -> None:
    """Each says this of all that they are asked about this region."""
    for example in Example.objects.filter(generated__region=region).order_by("pk"):
        for validator, label in said.items():
            QueueItem.objects.exclude(example=example).update(withdrawn=True)
            if not QueueItem.objects.filter(example=example).exists():
                break
            flag = {"flag": "unsure"} if not label else {"label": label}
            cast.answer(validator, task, **flag)
        QueueItem.objects.update(withdrawn=False)


@pytest.mark.once
@pytest.mark.django_db
def test_ideas_are_hints_until_two_people_agree_and_count_nowhere(
    digits: Task,
    owner: User,
    client: Client,
    capsys: Any,
    pinned: Pins,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = make(capsys, "--seed", "1")
    pinned.same("commands", "discover --generated", shape(made))
    assert len(made["regions"]) > 3
    first, before = Region.objects.get(number=1, discovery__generated=True), inputs()
    regions.name_region(actor=owner, region=first, name="blots")
    client.force_login(owner)
    client.post(reverse("regions_find", args=["digits"]), {"generated": "1"})
    asked = Discovery.objects.latest("pk")
    assert asked.generated
    assert tasks.run_discovery.call(str(asked.uid)) == "done"
    assert asked.seed == 1, "one look was before it"
    assert inputs() == before, "the same seed gives the same"
    region, other, unread, lied = asked.regions.order_by("number")[:4]
    assert region.name == "blots"
    page = client.get(PAGE).content.decode()
    assert "Validators were not asked." in page
    assert "no promise" in page

    # --- the blind queue, and what it leads to
    client.post(reverse("regions_ask", args=["digits"]))
    again = client.post(reverse("regions_ask", args=["digits"]), follow=True)
    assert "are asked about these regions already" in again.content.decode()
    people = [cast.person(name, "validator") for name in ("vic", "val", "liar")]
    vic, val, liar = people
    sent = Example.objects.filter(generated__region__discovery=asked)
    assert QueueItem.objects.filter(example__in=sent).count() == sent.count() > 6
    answered(digits, region, {vic: region.label, val: region.label})
    answered(digits, other, {vic: other.answer, val: other.answer})
    answered(digits, unread, {vic: "", val: ""})
    answered(digits, lied, {liar: lied.label, vic: lied.answer, val: lied.answer})
    heard = generated.heard(asked)
    assert [heard[one.pk].is_confirmed for one in (region, other, unread, lied)] == [
        True, False, False, False,
    ]  # fmt: skip
    assert heard[region.pk].confirmed == heard[region.pk].asked > 0
    assert heard[other.pk].is_refused
    assert heard[lied.pk].is_refused, "one who lies settles nothing"
    assert heard[unread.pk].unreadable == heard[unread.pk].asked
    assert "<strong>Confirmed.</strong>" in client.get(PAGE).content.decode()

    # --- on no board, in no rate, in no release, and no fooling of anybody's
    report = round_report(digits, 1)
    assert report is not None
    assert (report.row.counts.submitted, report.row.counts.verified) == (0, 0)
    assert report.cost.votes is None
    assert not learned_from(digits.pk).exists()
    assert not known_to(asked.model).exists()
    made_up = with_reasons(digits, waiting=True).filter(why="made up by a program")
    assert made_up.count() == sent.count()

    # --- a recipe learns from half of the confirmed one
    learnable = GeneratedInput.objects.filter(pk__in=generated.to_learn_from(digits))
    assert {one.region_id for one in learnable} == {region.pk}
    verified_foolings(digits, [cast.person("ada"), cast.person("bob")], owner, 2)
    broken = cast.fixed_model(digits, 1)
    ModelVersion.objects.filter(pk=broken.pk).update(backend="onnx", artifact="gone.onnx")
    compared = []

    def seen(learned: Any, *about: Any, **how: Any) -> Any:
        compared.append(len(learned))
        return nearby(learned, *about, **how)

    monkeypatch.setattr("training.recipe.nearby", seen)
    run = carry_out(*services.begin_here(task=digits))
    assert run.candidate is not None, run.reason
    assert run.snapshot is not None
    assert sorted(run.snapshot.generated) == sorted(one.pk for one in learnable)
    items = run.snapshot.items.select_related("example__round")
    assert run.snapshot.sha256 == digest_of(items, learnable.order_by("pk")) != digest_of(items)
    taught = sum(not one.held_out for one in learnable)
    assert compared == [run.candidate.provenance["data"]["train"], taught], "each apart"
    assert run.candidate.config["made_up_images"] == taught > 0
    assert run.candidate.provenance["data"]["generated"] == taught
    assert run.metrics["generated"]["items"] == len(learnable) - taught > 0
    assert run.metrics["generated"]["before"] == 0
    region.refresh_from_db()
    assert str(broken.number) not in region.later, "it stops no other"
    wrong, of = region.later[str(run.candidate.number)]["held_out"]
    assert wrong <= of == len(learnable) - taught
    assert "on those that never are" in client.get(PAGE).content.decode()

    # --- another look asks nobody any more about the one before
    waits = sent.latest("pk")
    acts.adjudicate(actor=owner, example_id=waits.pk, status="open", reason="Look again.")
    none = np.empty(0, np.int64)
    monkeypatch.setattr("ml.regions.generated.make_up", lambda *_, **__: Made([], none, none, none))
    assert make(capsys)["regions"] == []
    waits.refresh_from_db()
    assert waits.hidden_at is not None


@pytest.mark.django_db
def test_a_part_of_the_people_is_told_of_a_confirmed_region_and_compared_with_the_rest(
    owner: User, client: Client
) -> None:
    task = cast.digits_task(owner, hints={"share": 0.5}, rounds={"submissions": 7})
    look = Discovery.objects.create(
        task=task, model=task.models.get(), status="done", generated=True
    )
    region = Region.objects.create(discovery=look, number=1, label="6", answer="0")
    for place in range(2):
        region.inputs.create(input=cast.drawing(place), held_out=False, place=place)
    mixed = Region.objects.create(discovery=look, number=2, label="5", answer="3")
    mixed.inputs.create(input=cast.drawing(5), held_out=False, place=0)
    client.force_login(owner)
    told = "It often errs on skinny sixes."
    hint = {"region": region.pk, "text": told}
    address = reverse("region_hints", args=["digits"])
    refused = client.post(address, hint, follow=True)
    assert "Validators have not confirmed this region." in refused.content.decode()
    generated.ask_validators(actor=owner, discovery=look)
    each = {cast.person(f"says-{label}", "validator"): label for label in "123"}
    answered(task, mixed, each)
    assert Example.objects.get(generated__region=mixed).status == "ambiguous"
    assert generated.heard(look)[mixed.pk].otherwise == 1, "each of them could read it"
    for one in region.inputs.all():
        acts.adjudicate(actor=owner, example_id=one.example_id, status="verified", reason="A six.")

    # --- neither what rests on a doubted vote nor what is hidden confirms anything
    first, second = (one.example for one in region.inputs.order_by("place"))
    assert first is not None
    assert second is not None
    open_review(first, Review.Kind.QUARANTINE, "A vote lost its weight.")
    assert generated.heard(look)[region.pk] == generated.Heard(asked=2, confirmed=1, waiting=1)
    assert generated.to_learn_from(task) == []
    doubted = client.post(address, hint, follow=True)
    assert "Validators have not confirmed this region." in doubted.content.decode()
    acts.set_hidden(actor=owner, example_id=first.pk, hidden=True, reason="A face.")
    assert generated.to_learn_from(task) == [second.generated.pk]
    assert client.post(address, {**hint, "region": "9" * 5000}).status_code == 302
    assert client.get(PAGE, {"model": "9" * 5000}).status_code == 200
    client.post(address, hint)
    task.refresh_from_db()
    assert task.config is not None
    assert [one.text for one in task.config.file.hints.shown] == [told]
    assert task.config.file.hints.shown[0].input == second.input
    assert "What annotators are told" in client.get(PAGE).content.decode()

    arms: dict[bool, User] = {}
    while len(arms) < 2:
        person = create_user(username=f"person-{User.objects.count()}")
        arms.setdefault(sees_hints(0.5, task.pk, person.pk), person)
    validator = arms[True]
    for role, told_to in (("validator", False), ("annotator", True)):
        User.objects.filter(pk=validator.pk).update(role=role)
        client.force_login(validator)
        assert (told in client.get("/tasks/digits/").content.decode()) is told_to
    for sees, person in arms.items():
        client.force_login(person)
        page = client.get("/tasks/digits/").content.decode()
        assert (told in page) is sees
        for place in range(3):
            cast.submission(task, person, 50 + 3 * sees + place, fooled=sees)
    client.logout()
    assert told not in client.get("/tasks/digits/").content.decode(), "guests count nowhere"
    follow_the_clock()
    assert task.rounds.get().status == "open", "what nobody sent fills no quota"
    report = round_report(task, 1)
    assert report is not None
    assert [(one.name, one.submitted, one.fooled) for one in report.by_hint] == [
        ("with hints", 3, 3), ("without hints", 3, 0),
    ]  # fmt: skip
    assert report.hints is not None
    assert "With hints, and without" in client.get("/tasks/digits/rounds/1/").content.decode()
    client.force_login(owner)
    others = client.post(address, {"remove": "0", "text": "Another."}, follow=True)
    assert "The hints are others by now" in others.content.decode()
    client.post(address, {"remove": "0", "text": told})
    task.refresh_from_db()
    assert task.config is not None
    assert task.config.file.hints.shown == ()

    # --- a later look does not teach what an earlier one’s validators did not read so
    later = Discovery.objects.create(
        task=task, model=look.model, status="done", generated=True, seed=1
    )
    region = Region.objects.create(discovery=later, number=1, label="6", answer="0")
    hidden, read, new = (
        region.inputs.create(input=cast.drawing(seed), held_out=False, place=place)
        for place, seed in enumerate((0, 1, 7))
    )
    assert generated.ask_validators(actor=owner, discovery=later) == 1
    new.refresh_from_db()
    acts.adjudicate(actor=owner, example_id=new.example_id, status="verified", reason="A six.")
    assert hidden.pk not in generated.to_learn_from(task) == [read.pk, new.pk]


@pytest.mark.django_db
def test_where_nothing_makes_inputs_up_a_sentence_says_so(owner: User, client: Client) -> None:
    task = cast.text_task()
    task.owners.add(owner)
    with pytest.raises(Refused, match="Nothing here makes up texts"):
        generated.model_to_try(task)
    client.force_login(owner)
    assert "Nothing here makes up texts" in client.get("/tasks/texts/regions/").content.decode()
