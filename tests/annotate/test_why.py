"""Who is told why a model answered so, and when."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from annotate.models import Example, Task
from annotate.queries import Participant
from annotate.registry import read_model_file, register
from annotate.why import why
from core.errors import Refused
from tests import cast

pytestmark = pytest.mark.once


@pytest.fixture
def moods(owner: User) -> Task:
    labels = ["negative", "positive"]
    task = cast.text_task(labels=labels, validation={"policy": "two_plus_one", "sample": 0})
    task.owners.add(owner)
    register(task=task, file=read_model_file("{name: vader, backend: lexicon}"), open_round=True)
    return task


def asking(user: User, example: Example) -> tuple[int, dict[str, object]]:
    client = APIClient()
    client.force_login(user)
    answer = client.get(f"/api/v1/examples/{example.uid}/why/")
    return answer.status_code, answer.json()


def test_the_author_is_told_at_once_others_once_it_is_decided_validators_never(
    moods: Task, owner: User, annotator: User, validator: User, other_validator: User
) -> None:
    input = {"text": "A wonderful day."}
    example = cast.submission(moods, annotator, fooled=False, input=input, label="negative")
    status, told = asking(annotator, example)
    assert status == 200, told
    assert (told["label"], told["rather_than"]) == ("positive", "negative")
    (wonderful,) = [one for one in told["pieces"] if one["weight"] > 0]  # type: ignore[attr-defined]
    assert told["texts"]["text"][wonderful["start"] : wonderful["end"]] == "wonderful"  # type: ignore[index]
    both = User.objects.get(pk=validator.pk)
    moods.owners.add(both)
    User.objects.filter(pk=both.pk).update(role="owner")
    for person in (owner, both):
        assert asking(person, example)[1]["error"]["code"] == "still_judged"  # type: ignore[index]
    assert asking(other_validator, example)[0] == 404
    for person in (validator, other_validator):
        cast.answer(person, moods)
    example.refresh_from_db()
    assert example.status != Example.Status.OPEN
    assert asking(owner, example)[0] == 200
    assert asking(other_validator, example)[0] == 404


def test_a_net_s_map_lies_over_what_it_read(owner: User, annotator: User) -> None:
    task = cast.digits_task(owner, net=True)
    example = cast.submission(task, annotator, 1, fooled=False)
    told = why(Participant(user=annotator), example.uid)
    assert [len(row) for row in told["grid"]] == [len(row) for row in told["read"]]
    assert max(map(max, told["read"])) > 0.5
    assert any(weight for row in told["grid"] for weight in row)
    assert not told["pieces"]
    with pytest.raises(Refused, match="no such example"):
        why(Participant(), example.uid)
