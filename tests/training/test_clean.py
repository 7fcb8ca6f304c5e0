"""Where an owner gave too little clean data, what people sent and others confirmed stands in."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from annotate.models import Context, Example, Task
from ml.learners import Base
from releases.models import AuthorPlace
from releases.models_in_loop import taught_what_is_gone
from releases.people import Pseudonyms, split_of
from releases.places import give_places
from tests import cast
from tests.training.fake_learner import FakeLearner
from tests.training.world import trained_task, verified, verified_foolings
from training import clean, evaluations, services, snapshots
from training.models import AuthorSplit, Evaluation, Split, TrainingRun
from training.queries import settings_of, taught_to
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
    task = trained_task(owner, author_share=1)
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
    task = trained_task(owner, author_share=1)
    confirmed(task, [annotator, other_annotator], owner, 2)
    verified_foolings(task, [annotator, other_annotator], owner, 2)
    run = retrain(task)
    assert run.metrics["clean_of_people"] is None
    assert run.candidate is not None
    assert "clean_of_people" not in run.candidate.provenance["data"]


def test_one_person_alone_never_gives_what_all_is_tested_with(owner: User) -> None:
    """Half of what tests, or all of it, would be theirs to choose, as easy as they like."""
    task = trained_task(owner)
    people = [cast.person(name) for name in ("ann", "ben", "cleo", "dan")]
    for place, author in enumerate(people):  # not by lot
        side = Split.TRAIN if place == 0 else Split.HELD_OUT
        AuthorSplit.objects.create(task=task, author=author, split=side)
    confirmed(task, people[:3], owner, 20)
    own = Base([], [], "none")
    assert clean.choose_clean(task, settings_of(task), own) is None
    more = [
        verified(cast.submission(task, people[3], 7_000 + n, fooled=False), owner) for n in range(9)
    ]
    chosen = clean.choose_clean(task, settings_of(task), own)
    assert chosen is not None
    givers = Example.objects.filter(pk__in=chosen["held_out"]).values_list("author", flat=True)
    assert {*givers} == {one.pk for one in people[1:]}
    assert max(map([*givers].count, {*givers})) == len(more) == len(givers) / 3


def test_who_sends_most_pushes_nobody_else_out(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clean, "FEWEST", 3)
    monkeypatch.setattr(clean, "MOST", 6)
    task = trained_task(owner)
    people = [cast.person(name) for name in ("ann", "ben", "cleo")]
    for author in people:
        AuthorSplit.objects.create(task=task, author=author, split=Split.HELD_OUT)
    told = confirmed(task, people, owner, 3)
    verified(cast.submission(task, people[2], 7_000, fooled=False), owner)
    newest = [told[1], told[2], told[4], told[5]]
    assert clean.choose_clean(task, settings_of(task), Base([], [], "none")) == {
        "train": [],
        "held_out": sorted([*(one.pk for one in newest), told[8].pk, told[8].pk + 1]),
    }


def test_what_tests_is_about_nothing_that_the_other_side_is_taught(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clean, "FEWEST", 1)
    task = trained_task(owner, author_share=1)
    people = [cast.person("ann"), cast.person("ben")]
    for author, side in zip(people, (Split.TRAIN, Split.HELD_OUT), strict=True):
        AuthorSplit.objects.create(task=task, author=author, split=side)
    one, two, three = (
        Context.objects.create(task=task, data={"n": n}, sha256=f"{n}") for n in range(3)
    )
    (fooling,) = verified_foolings(task, people[:1], owner, 1)
    taught, its, _, _, first, second, third, other = confirmed(task, people, owner, 4)
    for context, examples in (
        (one, [fooling, first]), (two, [its, second]), (three, [third, taught]),
    ):  # fmt: skip
        Example.objects.filter(pk__in=[each.pk for each in examples]).update(context=context)
    Example.objects.filter(pk=taught.pk).update(settled_at=timezone.now())
    chosen = clean.choose_clean(task, settings_of(task), Base([], [], "none"))
    assert chosen is not None
    assert chosen["held_out"] == [third.pk, other.pk]
    assert its.pk in chosen["train"]
    assert taught.pk not in chosen["train"], "one who tests wrote about it first"


def test_who_took_back_all_that_they_sent_meanwhile_ends_no_run(
    owner: User, annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = trained_task(owner, author_share=1)
    gone = cast.person("gone")
    verified_foolings(task, [annotator, gone], owner, 1)
    confirmed(task, [annotator, gone], owner, 1)
    usual = snapshots.sides_of

    def without_them(*args: Any) -> dict[int, Any]:
        return {pk: side for pk, side in usual(*args).items() if pk != gone.pk}

    monkeypatch.setattr(snapshots, "sides_of", without_them)
    monkeypatch.setattr(clean, "sides_of", without_them)
    assert clean.choose_clean(task, settings_of(task), Base([], [], "none")) is None
    frozen = snapshots.freeze(
        task=task, round_=task.rounds.latest("number"), settings=settings_of(task)
    )
    assert [item.example.author for item in frozen.items.all()] == [annotator]


def test_what_is_learned_of_people_is_known_as_all_that_is_learned(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To judges that are put to the test, and to releases: also of who has fooled nobody."""
    monkeypatch.setattr(clean, "FEWEST", 1)
    task = trained_task(owner, author_share=1)
    people = [cast.person(name) for name in ("ann", "ben", "cleo", "dan", "eve")]
    for place, author in enumerate(people):
        side = Split.HELD_OUT if place % 2 else Split.TRAIN
        AuthorSplit.objects.create(task=task, author=author, split=side)
    verified_foolings(task, people[:2], owner, 2)
    told = confirmed(task, people[2:], owner, 2)
    run = retrain(task)
    assert run.candidate is not None
    teaches, tests = {one.pk for one in [*told[:2], *told[4:]]}, {one.pk for one in told[2:4]}
    known = taught_to(run.candidate)
    assert (teaches <= known, known & tests) == (True, set())

    key = next(key for n in count() if placed_alike(task, people[2:], key := b"%d" % n))
    give_places(task, Pseudonyms(key, task.slug))
    places = dict(AuthorPlace.objects.filter(task=task).values_list("author", "split"))
    assert [places[author.pk] for author in people[2:]] == ["train", "test", "train"]

    assert taught_what_is_gone(task) == set()
    Example.objects.filter(pk=min(tests)).update(hidden_at=timezone.now())
    assert taught_what_is_gone(task) == set()
    Example.objects.filter(pk=min(teaches)).update(hidden_at=timezone.now())
    assert taught_what_is_gone(task) == {run.candidate.pk}


def placed_alike(task: Task, people: list[User], key: bytes) -> bool:
    """Whether all of them would be in the part that validates, by their names alone."""
    names = Pseudonyms(key, task.slug)
    return {split_of(names.of(one.pseudonym)) for one in people} == {"validation"}
