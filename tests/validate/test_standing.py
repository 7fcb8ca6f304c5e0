"""What validators learn about how they do, and what they cannot learn from it."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import User
from annotate.models import Example, Task
from tests import cast
from validate.models import Vote
from validate.people.standing import LEAST_SCORED, SCORE_BEHIND, SCORE_EVERY, gold_score

PROGRESS = "/api/v1/tasks/digits/validations/progress/"


@pytest.fixture
def example(task: Task, annotator: User) -> Example:
    return cast.submission(task, annotator)


def give_answers(validator: User, example: Example, answers: str) -> None:
    """One answer a character, each on a copy: r and w are right and wrong ones on gold."""
    start = Vote.objects.count()
    copies = Example.objects.bulk_create(
        Example(
            task=example.task,
            config=example.config,
            round=example.round,
            model=example.model,
            author=example.author,
            input=example.input,
            input_hash=f"copy {start + number}",
            label=example.label,
            prediction=example.prediction,
            fooled=True,
        )
        for number in range(len(answers))
    )
    Vote.objects.bulk_create(
        Vote(
            example=copy,
            validator=validator,
            author=example.author,
            label=example.label,
            purpose=Vote.Purpose.VERDICT if answer == "." else Vote.Purpose.GOLD,
            credit=None if answer == "." else float(answer == "r"),
        )
        for copy, answer in zip(copies, answers, strict=True)
    )


def test_the_score_stands_still_where_it_could_tell_which_item_was_gold(
    example: Example, task: Task, validator: User
) -> None:
    scores = []
    block = "rrr.w.r" + "." * (SCORE_EVERY - 7)
    for answer in block + "r" * (SCORE_EVERY + SCORE_BEHIND - 1):
        give_answers(validator, example, answer)
        scores.append(gold_score(validator, task))
    first = {"answers": SCORE_EVERY, "seen": 5, "right": 4}
    known_from = SCORE_EVERY + SCORE_BEHIND
    assert scores[: known_from - 1] == [None] * (known_from - 1)
    assert scores[known_from - 1 :] == [first] * SCORE_EVERY

    Vote.objects.order_by("-id").first().delete()  # type: ignore[union-attr]
    give_answers(validator, example, "w")
    assert gold_score(validator, task) == first


def test_too_little_gold_makes_no_score(example: Example, task: Task, validator: User) -> None:
    give_answers(validator, example, "r" * (LEAST_SCORED - 1) + "." * 2 * SCORE_EVERY)
    assert gold_score(validator, task) is None


def test_the_score_is_on_the_page_and_in_the_api_and_ones_own(
    example: Example, task: Task, validator: User, other_validator: User, client: Client
) -> None:
    give_answers(validator, example, "rrrrw" + "." * SCORE_EVERY)
    client.force_login(validator)
    assert client.get(PROGRESS).json()["score"] == {"answers": 25, "seen": 5, "right": 4}
    page = client.get("/validate/digits/").content.decode()
    assert "Among your first 25 answers were 5 whose answer is known" in page

    client.force_login(other_validator)
    assert client.get(PROGRESS).json()["score"] is None
