"""Free answers are read against the author's by the task's own rule, wherever they are compared."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command

from accounts.models import User
from annotate import rounds
from annotate.config import TaskFile, parse_task_file
from annotate.models import Example, Task
from annotate.queries import Participant
from annotate.registry import read_model_file, register
from annotate.submissions import submit
from annotate.task_text import as_yaml
from crowd.earned import is_correct
from scoring.agreement import vote_counts
from tests import acts, cast
from validate.acts import gold
from validate.models import AuthorShare, Gold, Vote
from validate.people import recount

PASSAGE = (
    "The caretaker of the hall keeps the key until Thursday. Ann had it before the Thursday. Bert "
    "in Rome."
)
FILE: dict[str, Any] = {
    "slug": "qa",
    "name": "Questions",
    "input": "passage_qa",
    "comparator": {"rule": "string_f1", "threshold": 0.4},
    "validation": {"policy": "two_plus_one", "sample": 0},
}
AUTHOR = {"text": "Thursday", "start": PASSAGE.index("Thursday")}
LONGER = {"text": "until Thursday", "start": PASSAGE.index("until")}
ELSEWHERE = {"text": "Thursday", "start": PASSAGE.rindex("Thursday")}
ANOTHER = {"text": "Ann", "start": PASSAGE.index("Ann")}


def a_task(owner: User, **changes: Any) -> Task:
    task, _ = rounds.load_task(file=parse_task_file({**FILE, **changes}), actor=owner)
    register(task=task, file=read_model_file("{name: words, backend: overlap}"), open_round=True)
    return task


def fooled(task: Task, author: User) -> Example:
    made = submit(
        participant=Participant(user=author),
        task_id=task.pk,
        client_id=uuid4(),
        input={"context": PASSAGE, "question": "Who is Bert in Rome?"},
        label=AUTHOR,
    ).example
    assert made.fooled, made.prediction
    return made


def voted(example: Example, people: list[User], *answers: object) -> list[Vote]:
    for person, answer in zip(people, answers, strict=True):
        lease = cast.lease_for(person, example.task)
        acts.vote(validator=person, lease_id=lease.pk, label=answer)
    example.refresh_from_db()
    return list(example.votes.order_by("id"))


@pytest.fixture
def judges(validator: User, other_validator: User) -> list[User]:
    return [validator, other_validator]


def test_what_the_rule_does_not_tell_from_the_answer_confirms_it(
    owner: User, annotator: User, judges: list[User], tmp_path: Path
) -> None:
    task = a_task(owner)
    example = fooled(task, annotator)
    votes = voted(example, judges, LONGER, ELSEWHERE)
    assert (example.status, example.final_label) == ("verified", AUTHOR)
    assert [vote.label for vote in votes] == [LONGER, ELSEWHERE], "kept as they were cast"
    assert all(map(is_correct, votes))
    assert set(AuthorShare.objects.values_list("votes", "agreed")) == {(1, 1)}
    own = json.dumps(AUTHOR)
    assert vote_counts(task).answers == {(own, own): 2}
    call_command("recompute", check=True, stdout=StringIO())
    assert recount.check(task).agrees
    call_command("release", task.slug, out=tmp_path / "1.0.0", stdout=StringIO())
    call_command("verify", tmp_path / "1.0.0", stdout=StringIO())
    about = json.loads((tmp_path / "1.0.0" / "release.json").read_text())
    assert about["configs"]["1"]["agreement"] == "by_rule"


def test_another_answer_does_not(owner: User, annotator: User, judges: list[User]) -> None:
    example = fooled(a_task(owner), annotator)
    votes = voted(example, judges, ANOTHER, ANOTHER)
    assert (example.status, example.final_label) == ("rejected", ANOTHER)
    assert all(map(is_correct, votes))


def test_a_version_from_before_decides_as_it_did(
    owner: User, annotator: User, judges: list[User], tmp_path: Path
) -> None:
    task = a_task(owner, agreement="exact")
    example = fooled(task, annotator)
    votes = voted(example, judges, LONGER, LONGER)
    assert (example.status, example.final_label) == ("rejected", LONGER)
    assert all(map(is_correct, votes))
    call_command("recompute", check=True, stdout=StringIO())
    call_command("release", task.slug, out=tmp_path / "1.0.0", stdout=StringIO())
    call_command("verify", tmp_path / "1.0.0", stdout=StringIO())
    about = json.loads((tmp_path / "1.0.0" / "release.json").read_text())
    assert "agreement" not in about["configs"]["1"]


def test_a_known_answer_is_read_the_same_way(
    owner: User, annotator: User, judges: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = a_task(owner, validation={**FILE["validation"], "qualification": {"items": 1}})
    key: dict[str, Any] = {"text": "the key", "start": PASSAGE.index("the key")}
    line = {"input": {"context": PASSAGE, "question": "What is kept?"}, "answer": key}
    assert gold.load_gold(actor=owner, task=task, lines=[json.dumps(line).encode()]).new == 1
    lease = cast.lease_for(judges[0], task)
    vote = acts.vote(
        validator=judges[0],
        lease_id=lease.pk,
        label={**key, "text": "key", "start": key["start"] + 4},
    )
    assert vote.credit == 1
    assert Gold.objects.get().answer == key


def test_new_files_say_by_rule_and_stored_ones_what_they_said() -> None:
    new = parse_task_file(FILE)
    assert (new.agreement, parse_task_file({**FILE, "agreement": "exact"}).agreement) == (
        "by_rule",
        "exact",
    )
    stored = new.model_dump(mode="json")
    del stored["agreement"]
    old = TaskFile.model_validate(stored)
    assert old.agreement == "exact"
    assert "agreement: exact" in as_yaml(old)
    assert "agreement" not in as_yaml(new)
    text = parse_task_file({"slug": "t", "name": "T", "input": "text", "labels": ["a", "b"]})
    assert text.agreement == "exact"
    assert not text.same("a", "A")
