"""Some people, by lot and for good, see no model's answer before they submit."""

from __future__ import annotations

import re

import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import create_user
from annotate.models import Task
from annotate.queries import open_target, works_alone
from core.strict_yaml import NotYaml
from scoring.round_report import round_report
from tests import cast
from tests.annotate.test_consumer import page


def two_arms(task: Task) -> tuple[User, User]:
    """Somebody who meets the model, and somebody who works alone."""
    arms: dict[bool, User] = {}
    target = open_target(task.pk)
    assert target is not None
    number = 0
    while len(arms) < 2:
        person = create_user(username=f"person-{number}")
        arms.setdefault(target.is_alone(person), person)
        number += 1
    return arms[False], arms[True]


def test_the_lot_stays_and_a_greater_share_takes_more_in() -> None:
    few, many = ({who for who in range(4000) if works_alone(share, 1, who)} for share in (0.1, 0.3))
    assert few < many
    assert 300 < len(few) < 500
    assert few != {who for who in range(4000) if works_alone(0.1, 2, who)}, "each task has its own"
    assert not any(works_alone(0, 1, who) for who in range(4000))


@pytest.mark.django_db
def test_nobody_chats_alone(owner: User) -> None:
    with pytest.raises(NotYaml, match="nobody can chat without the model's answers"):
        cast.chat_task(owner, control=0.1)


@pytest.mark.django_db
def test_who_works_alone_is_answered_after_submission_only_and_both_ways_are_compared(
    client: Client, owner: User, validator: User, other_validator: User
) -> None:
    task = cast.digits_task(owner, control=0.5)
    usual, alone = two_arms(task)
    asked, status = {"input": cast.drawing(5)}, {}
    for person in (usual, alone):
        caller = APIClient()
        caller.force_authenticate(person)
        answer = caller.post("/api/v1/tasks/digits/predictions/", asked, format="json")
        status[person] = answer.status_code
    assert (status[usual], status[alone]) == (200, 403)
    assert answer.json()["error"]["code"] == "works_alone"
    client.force_login(alone)
    assert '"alone": true' in client.get("/tasks/digits/").content.decode()
    client.force_login(usual)
    assert '"alone": false' in client.get("/tasks/digits/").content.decode()
    for seed in range(6):
        cast.submission(task, usual, seed)
    for seed in range(6, 12):
        cast.submission(task, alone, seed, fooled=seed < 8)
    for person in (validator, other_validator):
        for _ in range(8):
            cast.answer(person, task)

    report = round_report(task, 1)

    assert report is not None
    assert [(arm.name, arm.submitted, arm.fooled) for arm in report.by_arm] == [
        ("against the model", 6, 6),
        ("without its answers", 6, 2),
    ]
    assert report.arms is not None
    assert report.arms.interval.low <= report.arms.value <= report.arms.interval.high
    text = client.get("/tasks/digits/rounds/1/").content.decode()
    (arms,) = re.findall(r'id="arms-title".*?</section>', text, re.DOTALL)
    assert arms.count('class="interval"') == 2
    told = client.get("/api/v1/tasks/digits/rounds/1/").json()
    assert [arm["submitted"] for arm in told["by_arm"]] == [6, 6]
    assert told["arms"]["value"] == report.arms.value


@pytest.mark.django_db
def test_with_feedback_on_submit_nobody_sees_an_answer_before(
    client: Client, annotator: User, owner: User
) -> None:
    for wrong in ({"control": 0.1}, {"input": "chat", "labels": ["a", "b"], "claim": "a"}):
        with pytest.raises(NotYaml, match="control"):
            cast.parse_task_file(cast.task_file(feedback="on_submit", **wrong))
    task = cast.digits_task(owner, feedback="on_submit")
    assert APIClient().get("/api/v1/tasks/digits/").json()["feedback"] == "on_submit"
    caller, guest = APIClient(), APIClient()
    caller.force_authenticate(annotator)
    for somebody in (caller, guest):
        asked = {"input": cast.drawing(5)}
        refused = somebody.post("/api/v1/tasks/digits/predictions/", asked, format="json")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "works_alone")
    text = client.get("/tasks/digits/").content.decode()  # of a guest
    assert '"alone": true' in text
    assert "The model answers once you submit" in text
    assert "Chance chose you" not in text
    cast.submission(task, annotator, 1)
    report = round_report(task, 1)
    assert report is not None
    assert report.by_arm == (), "there is nothing to compare it with"


@pytest.mark.django_db(transaction=True)
async def test_the_socket_answers_them_what_they_submitted() -> None:
    task = await sync_to_async(cast.digits_task)(control=0.5)
    _, alone = await sync_to_async(two_arms)(task)
    async with page(task, alone) as opened:
        await opened.receive("ready")
        await opened.send(type="predict", seq=1, input=cast.drawing(1))
        refused = await opened.receive("error")
        assert (refused["code"], refused["seq"]) == ("works_alone", 1)
        client_id = "12345678-1234-4234-8234-123456789012"
        await opened.send(type="submit", client_id=client_id, input=cast.drawing(1), label="3")
        assert "prediction" in await opened.receive("accepted")
