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
from annotate.config import TaskFile, parse_task_file, read_task_file
from annotate.models import Example, Task
from annotate.queries import Participant, kept_config
from annotate.registry import read_model_file, register
from annotate.submissions import submit
from annotate.task_text import as_yaml, schema
from core.errors import Refused
from core.strict_yaml import NotYaml
from core.transactions import durable
from crowd.earned import is_correct
from kinds.comparators import NEW_FILES_SAY, ExactMatch
from scoring.agreement import agreement_board, vote_counts
from tests import acts, cast
from training import judges as judges_at_work
from training.judge_board import row_of
from validate.acts import adjudicate, gold
from validate.logs import import_log
from validate.models import AuthorShare, Gold, Judge, JudgeAnswer, Vote
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


TOWN = "It was built in the old town hall by the river. Doctor John Smith of Leeds University came."


def brought(task: Task, label: str, prediction: str, *votes: str) -> Example:
    """An example of a log about TOWN, with these votes."""
    lines: list[dict[str, Any]] = [
        {"kind": "example", "id": "e", "round": 1, "author": "a", "model": "overlap",
         "input": {"context": TOWN, "question": "Which one?"}, "label": marked(label),
         "prediction": marked(prediction)}
    ]  # fmt: skip
    lines += [
        {"kind": "vote", "example": "e", "validator": f"v{place}", "label": marked(said)}
        for place, said in enumerate(votes)
    ]
    done = import_log(task, lambda: [json.dumps(line).encode() for line in lines])
    assert not done.refused, done
    return Example.objects.get(external_id="e")


def marked(text: str) -> dict[str, Any]:
    return {"text": text, "start": TOWN.index(text)}


@pytest.mark.parametrize(
    ("author", "model", "people"),
    [
        ("town", "in the old town hall by the river", "town hall"),
        ("Smith", "Doctor John Smith of Leeds University", "John Smith"),
    ],
)
def test_an_answer_that_the_model_gave_by_the_same_rule_bears_no_fooling_out(
    owner: User, tmp_path: Path, author: str, model: str, people: str
) -> None:
    """Else one marks a word of the model's right answer, and honest people confirm it."""
    task = a_task(owner)
    assert task.config is not None
    assert task.config.file.same(marked(people), marked(author))
    example = brought(task, author, model, people, people)
    assert example.fooled
    assert (example.status, example.final_label) == ("rejected", marked(people))
    assert all(map(is_correct, example.votes.all()))
    assert {row.agreed for row in AuthorShare.objects.all()} == {0}
    assert vote_counts(task).answers == {
        (json.dumps(marked(author)), json.dumps(marked(people))): 2
    }
    call_command("recompute", check=True, stdout=StringIO())
    assert recount.check(task).agrees
    call_command("release", task.slug, out=tmp_path / "1.0.0", stdout=StringIO())
    call_command("verify", tmp_path / "1.0.0", stdout=StringIO())


def test_who_say_the_same_against_the_author_meet(owner: User) -> None:
    """Each on a label of its own, they would ask for more votes and settle nothing."""
    task = a_task(owner, validation={"policy": "k_matching", "n": 2, "cap": 4, "sample": 0})
    example = brought(task, "river", "Leeds", "Doctor John Smith", "John Smith")
    assert (example.status, example.final_label) == ("rejected", marked("Doctor John Smith"))
    assert all(map(is_correct, example.votes.all()))
    assert sum(vote_counts(task).pairs[1].values()) == 1
    assert {one == other for one, other in vote_counts(task).pairs[1]} == {True}


def test_a_release_reads_agreement_as_the_board_does(owner: User, tmp_path: Path) -> None:
    task = a_task(owner)
    example = brought(task, "John Smith", "Leeds", "Smith", "Doctor John Smith")
    assert example.status == "verified"
    call_command("release", task.slug, out=tmp_path / "1.0.0", stdout=StringIO())
    call_command("verify", tmp_path / "1.0.0", stdout=StringIO())
    told = json.loads((tmp_path / "1.0.0" / "release.json").read_text())["figures"]["agreement"]
    board = agreement_board(task, vote_counts(task)).overall
    assert (told["pairs"], told["alpha"]) == (board.pairs, board.alpha) == (1, None)


def test_an_owner_who_says_the_same_verifies(
    owner: User, annotator: User, judges: list[User]
) -> None:
    task = a_task(owner)
    example = fooled(task, annotator)
    adjudicate.decide(
        actor=owner, task=task, uid=example.uid, act="relabel", reason="So it is.", label=LONGER,
        waiting=False,
    )  # fmt: skip
    example.refresh_from_db()
    assert (example.status, example.final_label) == ("verified", AUTHOR)


def test_gold_by_the_same_answer_keeps_the_authors_words(owner: User, annotator: User) -> None:
    example = fooled(a_task(owner), annotator)
    gold.mark_gold(actor=owner, example_id=example.pk, answer=LONGER)
    example.refresh_from_db()
    assert (example.status, example.final_label) == ("verified", AUTHOR)
    assert Gold.objects.get().answer == LONGER


def test_nor_does_an_owner_who_says_what_the_model_did(owner: User) -> None:
    task = a_task(owner)
    example = brought(task, "Smith", "Doctor John Smith of Leeds University")
    gold.mark_gold(actor=owner, example_id=example.pk, answer=marked("John Smith"))
    example.refresh_from_db()
    assert (example.status, example.final_label) == ("rejected", marked("John Smith"))
    adjudicate.decide(
        actor=owner, task=task, uid=example.uid, act="relabel", reason="So it is.",
        label=marked("John Smith"), waiting=False,
    )  # fmt: skip
    example.refresh_from_db()
    assert example.status == "relabelled"


def test_a_vote_that_is_the_authors_is_not_paid_where_the_author_was_wrong(owner: User) -> None:
    example = brought(a_task(owner), "Smith", "Leeds", "Smith of Leeds University")
    example.status, example.final_label = "rejected", marked("Doctor John Smith of Leeds")
    (vote,) = example.votes.all()
    vote.label, vote.example = marked("John Smith of"), example
    file = kept_config(example.config_id).file
    assert file.same(vote.label, example.label, example.wrong)
    assert file.same(vote.label, example.final_label)
    assert not is_correct(vote)


def test_a_judge_is_read_as_people_are(owner: User) -> None:
    task = a_task(owner)
    example = brought(task, "John Smith", "Leeds", "Smith", "Doctor John Smith", "river")
    with durable():
        model = rounds.register_model(
            task=task, name="judge", backend="overlap", sha256="0" * 64, config={}
        )
    judge = Judge.objects.create(task=task, model=model)
    said = JudgeAnswer.objects.create(
        judge=judge, example=example, asked=judge.model, target=example.model,
        label=marked("Smith of"),
    )  # fmt: skip
    assert judges_at_work.right_of(JudgeAnswer.objects.all()) == (1, 1)
    assert row_of(judge).upheld.count == 1
    people, its = judges_at_work._read({example.pk: said.label})
    assert sum(of_person[example.pk] == its[example.pk] for of_person in people.values()) == 2


def test_the_same_words_with_another_mark_are_a_copy(owner: User, annotator: User) -> None:
    task = a_task(owner, comparator={"rule": "string_f1", "threshold": 0.4})
    fooled(task, annotator)
    with pytest.raises(Refused, match="or nearly this"):
        submit(
            participant=Participant(user=annotator),
            task_id=task.pk,
            client_id=uuid4(),
            input={"context": PASSAGE, "question": "Who is Bert in Rome"},
            label=LONGER,
        )


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


@pytest.mark.parametrize(
    "comparator",
    [
        {"rule": "string_f1", "threshold": 0.4},
        {"rule": "string_f1"},
        {"rule": "exact_match"},
        {"rule": "exact_match", "ignore_place": True},
        {"rule": "string_f1", "by_character": False},
        {"rule": "span_iou"},
    ],
)
def test_what_an_owner_reads_of_a_stored_file_changes_no_rule(comparator: dict[str, Any]) -> None:
    stored = TaskFile.model_validate(
        {**parse_task_file(FILE).model_dump(mode="json"), "comparator": comparator}
    )
    shown = as_yaml(stored)
    assert len(shown.splitlines()) < 15, "not all of its defaults"
    again = read_task_file(shown)
    assert again.comparator_rule == stored.comparator_rule
    assert as_yaml(again) == shown


def test_the_schema_says_what_new_files_get() -> None:
    fields = schema()["properties"]
    assert "default" not in fields["agreement"], "it hangs on the kind"
    rules = {one["properties"]["rule"]["const"]: one for one in fields["comparator"]["anyOf"]}
    for rule, told in NEW_FILES_SAY.items():
        for name, value in told.items():
            assert rules[rule]["properties"][name]["default"] == value


def test_any_of_several_right_answers_is_right() -> None:
    rule = ExactMatch(ignore_place=True)
    assert not rule.fooled("Paris", ["Lyons", {"text": "paris", "start": 3}])
    assert rule.fooled("Nice", ["Lyons", "Paris"])
    assert rule.fooled("Nice", [])
    assert ExactMatch().fooled("Paris", ["Paris"]), "as before"


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
    with pytest.raises(NotYaml, match="agreement: "):
        parse_task_file(
            {
                "slug": "t",
                "name": "T",
                "input": "text",
                "labels": ["a", "b"],
                "agreement": "by_rule",
            }
        )
    text = parse_task_file({"slug": "t", "name": "T", "input": "text", "labels": ["a", "b"]})
    assert text.agreement == "exact"
    assert not text.same("a", "A")
