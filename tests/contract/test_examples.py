"""Tasks, predictions and examples over REST."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from rest_framework.test import APIClient

from accounts.models import User, WorkSession
from annotate.models import Example, Task
from tests import cast
from tests.pins import Pins

AsUser = Callable[[User], APIClient]
SUBMIT = "/api/v1/tasks/digits/examples/"


def submission(**changes: Any) -> dict[str, Any]:
    return {"client_id": str(uuid.uuid4()), "input": cast.drawing(1), "label": "3", **changes}


def test_a_task_says_what_one_needs_to_take_part(task: Task, guest: APIClient) -> None:
    body = guest.get("/api/v1/tasks/digits/").json()

    assert body["labels"][3] == {"value": "3", "name": "3", "key": "3"}
    assert (body["input"], body["round"], body["models"]) == ("image", 1, ["digits-1"])
    assert body["instructions"]["goal"]
    assert guest.get("/api/v1/tasks/").json() == {"next": None, "previous": None, "results": [body]}


def test_the_list_of_tasks_costs_the_same_for_any_number(
    task: Task, guest: APIClient, pinned: Pins
) -> None:
    for number in range(5):
        cast.digits_task(slug=f"digits-{number}")

    with pinned.queries("get tasks/ of six"):
        assert len(guest.get("/api/v1/tasks/").json()["results"]) == 6


def test_a_prediction_stores_nothing(task: Task, guest: APIClient) -> None:
    answer = guest.post("/api/v1/tasks/digits/predictions/", {"input": cast.drawing(1)}).json()

    assert answer["prediction"] == cast.prediction(task, cast.drawing(1))
    assert set(answer["probabilities"]) == set(cast.DIGITS)
    assert (answer["model"], answer["round"]) == ("digits-1", 1)
    assert not Example.objects.exists()
    assert not WorkSession.objects.exists()


def test_pixels_are_an_image_too(task: Task, guest: APIClient) -> None:
    pixels = [0.0] * 784
    pixels[300:330] = [1.0] * 30
    response = guest.post("/api/v1/tasks/digits/predictions/", {"input": {"pixels": pixels}})

    assert response.status_code == 200


def test_nothing_that_decides_comes_from_the_client(
    task: Task, annotator: User, as_user: AsUser
) -> None:
    said = cast.prediction(task, cast.drawing(1))
    forged = {
        "fooled": True,
        "prediction": "9",
        "probabilities": {"9": 1},
        "status": "verified",
        "author": 1,
        "sandbox": True,
        "probes": 99,
        "seconds": 0.1,
        "round": 7,
        "created_at": "1999-01-01",
    }

    body = as_user(annotator).post(SUBMIT, submission(label=said) | forged).json()

    assert (body["fooled"], body["prediction"], body["status"]) == (False, said, "open")
    example = Example.objects.get()
    assert (example.author, example.sandbox) == (annotator, False)
    assert (example.probes, example.seconds, example.round.number) == (0, None, 1)
    assert example.created_at.year > 2000


def test_a_guest_submits_into_the_sandbox_once_the_page_has_begun_a_visit(
    task: Task, guest: APIClient
) -> None:
    assert guest.post(SUBMIT, submission()).status_code == 401
    guest.get("/tasks/digits/")

    response = guest.post(SUBMIT, submission())

    assert response.status_code == 201
    example = Example.objects.get()
    assert (example.sandbox, example.author) == (True, None)
    explain = f"/api/v1/examples/{example.uid}/explain/"
    assert guest.post(explain, {"explanation": "Thin"}).json()["explanation"] == "Thin"
    assert APIClient().post(explain, {"explanation": "Mine"}).status_code == 401


def test_a_visit_of_somebody_signed_in_is_kept_with_the_example(
    task: Task, annotator: User, guest: APIClient
) -> None:
    guest.force_login(annotator)

    guest.post(SUBMIT, submission())

    example = Example.objects.get()
    assert example.author == annotator
    assert example.session is not None
    assert example.session.user == annotator


def test_everyone_sees_their_own_examples_and_owners_their_tasks(
    task: Task, annotator: User, other_annotator: User, owner: User, as_user: AsUser
) -> None:
    hers, his = cast.submission(task, annotator, 1), cast.submission(task, other_annotator, 2)
    cast.submission(task, owner, 3, fooled=False)

    def seen(user: User, query: str = "") -> set[str]:
        rows = as_user(user).get(f"/api/v1/examples/{query}").json()["results"]
        return {row["author"] for row in rows}

    everybody = {user.pseudonym for user in (annotator, other_annotator, owner)}
    assert seen(annotator) == {annotator.pseudonym}
    assert seen(owner) == seen(owner, "?task=digits&status=open") == everybody
    assert seen(owner, "?mine=1") == seen(owner, "?fooled=0") == {owner.pseudonym}
    assert seen(owner, "?task=chess") == seen(owner, "?status=verified") == set()
    assert seen(owner, "?task=&status=&mine=&fooled=") == everybody
    assert as_user(annotator).get(f"/api/v1/examples/{hers.uid}/").json()["label"] == hers.label
    assert as_user(annotator).get(f"/api/v1/examples/{his.uid}/").status_code == 404
    assert as_user(owner).get(f"/api/v1/examples/{his.uid}/").status_code == 200


def test_pages_follow_a_cursor_in_few_queries(
    task: Task, annotator: User, as_user: AsUser, pinned: Pins
) -> None:
    made = [str(cast.submission(task, annotator, seed).uid) for seed in range(5)]
    client, seen = as_user(annotator), []
    address: str | None = "/api/v1/examples/?page_size=2"

    while address:
        with pinned.queries("get examples/ by pages of two"):
            page = client.get(address).json()
        seen += [row["id"] for row in page["results"]]
        address = page["next"]

    assert seen == made[::-1]


def test_an_example_is_taken_back_and_explained_by_its_author_alone(
    task: Task, annotator: User, other_annotator: User, owner: User, as_user: AsUser
) -> None:
    example = cast.submission(task, annotator)
    address = f"/api/v1/examples/{example.uid}"

    for stranger in (other_annotator, owner):
        assert as_user(stranger).post(f"{address}/retract/").status_code == 404
        assert (
            as_user(stranger).post(f"{address}/explain/", {"explanation": "x"}).status_code == 404
        )
    explained = as_user(annotator).post(f"{address}/explain/", {"explanation": " A 7. "})
    taken = as_user(annotator).post(f"{address}/retract/")

    assert explained.json()["explanation"] == "A 7."
    assert (taken.status_code, taken.json()["retracted"]) == (200, True)
