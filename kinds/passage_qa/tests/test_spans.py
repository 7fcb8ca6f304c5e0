"""An answer and its place agree with the passage, at every door."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any
from uuid import uuid4

import pytest

from annotate import rounds
from annotate.config import parse_task_file
from annotate.models import Example, Task
from annotate.queries import Participant
from annotate.registry import read_model_file, register
from annotate.submissions import submit
from core.errors import Refused
from kinds.passage_qa import fits
from tests import acts, cast
from validate.logs import import_log

pytestmark = pytest.mark.once

PASSAGE = "The capital of France is Paris \U0001f5fc, not Lyons."


@pytest.mark.parametrize(
    ("answer", "is_there"),
    [
        ({"text": "Paris", "start": 25}, True),
        ({"text": "Lyons", "start": 25}, False),
        ({"text": "Lyons", "start": 38}, True),  # code points: the tower is one, and two in UTF-16
        ({"text": "Lyons", "start": 39}, False),
        ({"text": "Paris", "start": 9_999}, False),
        ({"text": "Lyons.", "start": -6}, False),
        ({"text": "Paris", "start": True}, False),
        ({"text": "Paris", "start": "25"}, False),
        ({"text": "Paris"}, False),
        ({"start": 25}, False),
        ({"text": "", "start": 0}, True),  # there is no answer
        ({"text": "", "start": 9_999}, False),
        ({"text": "", "start": -1}, False),
        ("Paris", True),  # an answer without a place can be anywhere
        ([], False),
        (["Paris", {"text": "Lyons", "start": 38}], True),
        (["Paris", {"text": "Lyons", "start": 25}], False),
    ],
)
def test_a_place_is_where_the_text_stands(answer: Any, is_there: bool) -> None:
    assert (fits({"context": PASSAGE, "question": "?"}, answer) == "") == is_there


@pytest.fixture
def task(db: None) -> Task:
    file = {"slug": "qa", "name": "Questions", "input": "passage_qa"}
    return rounds.load_task(file=parse_task_file(file))[0]


@pytest.mark.parametrize(
    ("label", "complaint"),
    [
        ("Lyons", ""),
        ({"text": "Lyons", "start": 38}, ""),
        ("Berlin", "the passage has no 'Berlin'"),
        ([{"text": "Lyons", "start": 38}], "mark one answer"),
        ({"text": "", "start": 0}, "it is blank"),
        ({"text": " ", "start": 3}, "it is blank"),
        (7, "mark one answer"),
    ],
)
def test_an_author_here_names_words_of_the_passage(
    task: Task, label: object, complaint: str
) -> None:
    register(task=task, file=read_model_file("{name: a, backend: overlap}"), open_round=True)
    expected = pytest.raises(Refused, match=complaint) if complaint else nullcontext()
    with expected:
        submit(
            participant=Participant(user=cast.person("ann")),
            task_id=task.pk,
            client_id=uuid4(),
            input={"context": PASSAGE, "question": "Which other city?"},
            label=label,
        )
    assert Example.objects.exists() == (not complaint)


@pytest.mark.parametrize("wrong", ["label", "prediction"])
def test_a_log_that_does_not_agree_is_refused(task: Task, wrong: str) -> None:
    line = {
        "kind": "example",
        "id": "q1",
        "round": 1,
        "author": "somebody",
        "input": {"context": PASSAGE, "question": "Which city?"},
        "label": {"text": "Paris", "start": 25},
        "prediction": {"text": "Lyons", "start": 38},
        "model": "reader",
    }
    lines = [json.dumps({**line, wrong: {"text": "Lyons", "start": 25}}).encode()]
    (sentence,) = import_log(task, lambda: lines).mistakes
    assert "the passage has 'Paris' at 25, not 'Lyons'" in sentence
    assert import_log(task, lambda: [json.dumps(line).encode()]).mistakes == []
    assert Example.objects.count() == 1


@pytest.mark.parametrize("beside", [False, True])
def test_a_vote_that_does_not_agree_is_refused(task: Task, beside: bool) -> None:
    line = {
        "kind": "example",
        "id": "q1",
        "round": 1,
        "author": "somebody",
        "input": {"context": PASSAGE, "question": "Which city?"},
        "label": "Paris",
        "prediction": "Lyons",
        "model": "reader",
    }
    if beside:  # the passage is the context's, and the input has the question alone
        line |= {"input": {"question": "Which city?"}, "context": PASSAGE}
    vote = {"kind": "vote", "example": "q1", "validator": "v", "label": {"text": "L", "start": 0}}
    right = {**vote, "validator": "w", "label": {"text": "Paris", "start": 25}}
    lines = [json.dumps(one).encode() for one in (line, vote, right)]
    (sentence,) = import_log(task, lambda: lines).mistakes
    assert "not 'L'" in sentence


def test_a_mark_confirms_an_answer_that_a_log_has_without_its_place(task: Task) -> None:
    validator = cast.person("vera", "validator")
    line = {
        "kind": "example", "id": "q1", "round": 1, "author": "ann", "model": "reader",
        "input": {"context": PASSAGE, "question": "Which city?"},
        "label": "Paris", "prediction": "Lyons",
    }  # fmt: skip
    import_log(task, lambda: [json.dumps(line).encode()])
    marked = {"text": "Paris", "start": 25}
    vote = acts.vote(validator=validator, lease_id=cast.lease_for(validator, task).pk, label=marked)
    assert vote.label == "Paris"
