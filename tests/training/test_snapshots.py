"""What is frozen, on which side, and that a log gives it again."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Concat

from accounts.models import User
from annotate import rounds
from annotate.config import parse_task_file
from annotate.models import Example, Task
from core.strict_yaml import NotYaml
from tests import acts, cast
from tests.training.test_commands import run_command
from tests.training.world import trained_task, verified, verified_foolings
from training import services, snapshots
from training.evaluations import set_as_it_is
from training.models import Snapshot, SnapshotItem
from training.queries import settings_of, waiting_foolings
from training.retraining import carry_out
from training.snapshots import freeze

ALSO = ["relabelled", "honest", "ambiguous"]


@pytest.fixture
def people() -> list[User]:
    return [cast.person(name) for name in ("ann", "ben", "cleo", "dan")]


@pytest.fixture
def validators() -> list[User]:
    return [cast.person(f"val-{number}", "validator") for number in range(6)]


def judged(example: Example, validators: Sequence[User], *labels: str) -> Example:
    """The example, which alone waits, after these people said so much as it takes."""
    for validator, label in zip(validators, labels, strict=False):
        lease = acts.next_item(validator=validator, task=example.task)
        if lease is None:
            continue
        assert lease.example_id == example.pk
        acts.vote(validator=validator, lease_id=lease.pk, label=label)
    example.refresh_from_db()
    return example


def frozen(task: Task) -> Snapshot:
    task.refresh_from_db()
    return freeze(task=task, round_=task.rounds.latest("number"), settings=settings_of(task))


def a_task(owner: User, **retraining: object) -> Task:
    """One where everything that is sent is asked about."""
    trained_task(owner)
    section = {"trigger": None, "also": ALSO, **retraining}
    validation = {"policy": "bayes", "fixed_reliability": 0.9, "sample": 1}
    file = cast.task_file(retraining=section, validation=validation)
    task, _ = rounds.load_task(file=parse_task_file(file), actor=owner)
    task.refresh_from_db()
    return task


def unclear(task: Task, author: User, validators: Sequence[User]) -> Example:
    """One on whose label nobody can agree."""
    sent = cast.submission(task, author)
    others = [one for one in cast.DIGITS if one not in (sent.label, sent.prediction)]
    return judged(sent, validators, sent.label, sent.prediction, *others)


def test_beside_foolings_it_has_what_the_file_asks_for_of_who_trains(
    owner: User, people: list[User], validators: list[User]
) -> None:
    task = a_task(owner)
    trains, tests = people[:2]
    for author in (trains, tests):
        fooling = cast.submission(task, author)
        assert judged(fooling, validators, *6 * [fooling.label]).status == "verified"
    settled = []
    for author in (trains, tests):
        honest = cast.submission(task, author, fooled=False)
        settled.append(judged(honest, validators, *6 * [honest.label]))
        other = cast.submission(task, author)
        settled.append(judged(other, validators, *6 * [other.prediction]))
        settled.append(unclear(task, author, validators))
    assert [one.status for one in settled] == 2 * ["verified", "relabelled", "ambiguous"]
    items = list(frozen(task).items.order_by("example"))
    assert [(one.role, one.split) for one in items] == [
        ("fooling", "train"), ("fooling", "held_out"), ("honest", "train"),
        ("relabelled", "train"), ("ambiguous", "train"),
    ]  # fmt: skip
    assert items[3].label == settled[1].prediction
    shares = items[4].shares or {}
    assert sum(shares.values()) == pytest.approx(1)
    assert items[4].label in shares
    assert all(len(one.votes or ()) > 1 for one in items)


def test_a_log_gives_the_same_snapshot_elsewhere(
    owner: User, people: list[User], validators: list[User], tmp_path: Path
) -> None:
    task = a_task(owner)
    for number in range(12):
        author = people[number % 4]
        sent = cast.submission(task, author, fooled=number % 3 > 0)
        judged(sent, validators, *6 * [sent.label if number % 5 else sent.prediction])
        if number == 5:
            task.refresh_from_db()
            foolings_alone = settings_of(task).model_copy(update={"also": ()})
            last = task.rounds.latest("number")
            early = freeze(task=task, round_=last, settings=foolings_alone)  # sides for ever
    for author in people:
        unclear(task, author, validators)
    here = frozen(task)
    roles = set(here.items.values_list("role", "split"))
    assert {role for role, _ in roles} == {"fooling", *ALSO}
    assert {split for _, split in roles} == {"train", "held_out"}
    assert early.sha256 != here.sha256
    out = StringIO()
    call_command("export_log", "digits", stdout=out)
    (tmp_path / "log.jsonl").write_text(out.getvalue())

    # Another server: nobody of this one is there, nor its task.
    Task.objects.filter(pk=task.pk).update(slug="gone")
    gone = Concat(Value("gone-"), F("pk"))
    User.objects.update(username=gone, pseudonym=gone)
    there = a_task(cast.person("other-owner", "owner"))
    call_command("import_log", "digits", str(tmp_path / "log.jsonl"), stdout=StringIO())
    assert there.examples.count() == 16
    assert frozen(there).sha256 == here.sha256


def test_what_a_tester_writes_about_nobody_learns(owner: User, people: list[User]) -> None:
    task, _ = rounds.load_task(
        file=parse_task_file(
            {"slug": "pairs", "name": "Pairs", "input": "text_pair", "labels": ["e", "n", "c"]}
        ),
        actor=owner,
    )
    cast.opened(task, cast.fixed_model(task))
    sent = []
    for author, about in zip(
        (0, 1, 0, 1, 0), ("A dog.", "A cat.", "A cat.", "A dog.", "A cow."), strict=True
    ):
        pair = {"context": about, "hypothesis": f"{len(sent)} things stand here."}
        said = cast.prediction(task, pair)
        label = "e" if said != "e" else "c"
        example = cast.submission(task, people[author], input=pair, label=label, fooled=False)
        sent.append(verified(example, owner))
    items = frozen(task).items.order_by("example")
    assert list(items.values_list("split", flat=True)) == [
        "train", "held_out", "aside", "aside", "train",
    ]  # fmt: skip
    assert "2 neither" in run_command("freeze", "pairs")[0]


def test_what_is_left_aside_has_been_used_and_what_also_teaches_counts_for_no_gate(
    owner: User, people: list[User], validators: list[User]
) -> None:
    task = a_task(owner, gates={"min_verified": 3})
    for author in people[:2]:
        verified(cast.submission(task, author), owner)
    honest = cast.submission(task, people[0], fooled=False)
    judged(honest, validators, *6 * [honest.label])
    run = carry_out(*services.begin_here(task=task))
    gate = next(gate for gate in run.gates if gate["name"] == "verified")
    assert (gate["passed"], gate["value"]) == (False, 2)
    assert run.candidate is not None
    assert run.candidate.provenance["data"]["also"] == 1
    SnapshotItem.objects.update(split="aside")
    assert not waiting_foolings(task.pk).exists()


def test_what_is_again_as_it_was_is_the_newest_again(owner: User, people: list[User]) -> None:
    task = a_task(owner)
    first, second = (verified(cast.submission(task, one), owner) for one in people[:2])
    whole = frozen(task)
    acts.set_hidden(actor=owner, example_id=second.pk, hidden=True, reason="A face.")
    assert frozen(task) != whole
    acts.set_hidden(actor=owner, example_id=second.pk, hidden=False, reason="It is none.")
    assert frozen(task) == whole
    newest = set_as_it_is(task, "round 1")
    assert newest is not None
    assert {*newest.names} == {first.public_id, second.public_id}


def test_labels_that_are_not_few_cannot_be_shared() -> None:
    file = {
        "slug": "qa",
        "name": "QA",
        "input": "passage_qa",
        "retraining": {"also": ["ambiguous"]},
    }
    with pytest.raises(NotYaml, match="ambiguous takes few labels"):
        parse_task_file(file)


def test_what_is_never_frozen_is_not_compared_each_time(
    owner: User, people: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture takes milliseconds, and those who test may have sent very many."""
    task = trained_task(owner, also=["honest"])
    for place, author in enumerate(people[:2]):
        verified_foolings(task, [author], owner, 1, first_seed=100 + place)
        verified(cast.submission(task, author, 200 + place, fooled=False), owner)
    compared: list[int] = []
    look = snapshots.find_copies

    def heard(examples: QuerySet[Example]) -> int:
        compared.append(examples.count())
        return look(examples)

    monkeypatch.setattr(snapshots, "find_copies", heard)
    frozen(task)
    frozen(task)
    assert compared == [4, 0]
