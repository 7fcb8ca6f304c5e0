"""Why the model errs, in its author's words: asked before or after the answer, of some or all."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from annotate.models import Example
from core.strict_yaml import NotYaml
from tests import cast
from tests.annotate.test_consumer import page

MADE = iter(f"12345678-1234-4234-8234-{number:012}" for number in range(1000))


class Writer:
    """Somebody who sends texts over REST; the model's answer follows from the text."""

    def __init__(self, user: User) -> None:
        self.client = APIClient()
        self.client.force_authenticate(user)
        self.texts = iter(f"Number {number} is written here." for number in range(100))

    def send(self, *, fool: bool = True, **more: Any) -> Any:
        text = {"text": next(self.texts)}
        say = self.client.post
        read = say("/api/v1/tasks/texts/predictions/", {"input": text}, format="json")
        label = next(one for one in ("yes", "no") if (one != read.json()["prediction"]) is fool)
        body = {"client_id": next(MADE), "input": text, "label": label, **more}
        return say("/api/v1/tasks/texts/examples/", body, format="json")

    def explain(self, example: str, words: str) -> Any:
        return self.client.post(f"/api/v1/examples/{example}/explain/", {"explanation": words})


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.django_db
def test_one_that_is_required_is_given_before_another_submission(
    annotator: User, client: Client
) -> None:
    cast.text_task(explanation={"required": True, "of": "not_fooled"})
    anna = Writer(annotator)
    assert anna.send().status_code == 201
    first = anna.send(fool=False).json()["id"]  # nothing was asked of the one before

    refused = anna.send()
    assert code(refused) == (409, "explanation_due")
    assert refused.json()["error"]["fields"] == {"example": first}
    assert "What did it get right?" in refused.json()["error"]["message"]
    client.force_login(annotator)
    assert f'"due": {{"example": "{first}"' in client.get("/tasks/texts/").content.decode()
    assert code(anna.explain(first, " ")) == (400, "explanation_needed")
    assert anna.explain(first, "The word is.").status_code == 200
    assert '"due": null' in client.get("/tasks/texts/").content.decode()
    second = anna.send(fool=False).json()["id"]
    assert code(anna.send()) == (409, "explanation_due")
    assert anna.client.post(f"/api/v1/examples/{second}/retract/").status_code == 200
    sent = {"client_id": next(MADE), "input": {"text": "All in one."}, "label": "yes"}
    with_it = {**sent, "explanation": "Said at once."}
    path = "/api/v1/tasks/texts/examples/"
    assert anna.client.post(path, with_it, format="json").status_code == 201
    assert anna.send().status_code == 201
    again = anna.client.post(path, with_it, format="json")
    assert again.status_code == 200, "what was sent before is answered, whatever is due"


@pytest.mark.django_db
def test_one_before_the_answer_is_sent_along_and_stays(annotator: User) -> None:
    task = cast.text_task(explanation={"asked": "before", "required": True})
    told = APIClient().get("/api/v1/tasks/texts/").json()["explanation"]
    assert told == {
        "asked": "before", "of": "all", "required": True, "question": "What is to confuse it?"
    }  # fmt: skip
    anna = Writer(annotator)
    for missing in ({}, {"explanation": " "}):
        assert code(anna.send(**missing)) == (400, "explanation_needed")
    assert not task.examples.exists()
    made = anna.send(explanation="Irony.").json()["id"]
    assert code(anna.explain(made, "Now I know better.")) == (400, "no_explanation")
    assert task.examples.get().explanation == "Irony."


@pytest.mark.django_db
def test_a_task_that_never_asks_takes_none(annotator: User) -> None:
    task = cast.text_task(explanation={"asked": "never"})
    anna = Writer(annotator)
    assert code(anna.send(explanation="Irony.")) == (400, "no_explanation")
    made = anna.send(explanation="").json()["id"]
    assert code(anna.explain(made, "Irony.")) == (400, "no_explanation")
    assert task.examples.get().explanation == ""


@pytest.mark.django_db
def test_another_version_of_the_file_forgives_what_was_due(annotator: User) -> None:
    task = cast.text_task(explanation={"required": True, "of": "all"})
    anna = Writer(annotator)
    anna.send()
    assert code(anna.send()) == (409, "explanation_due")
    cast.text_task(explanation={"required": True, "of": "all", "question": "Which word?"})
    assert anna.send().status_code == 201
    assert task.examples.count() == 2


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"asked": "before", "of": "fooled"}, "before the answer nobody knows"),
        ({"asked": "never", "required": True}, "cannot be required"),
        ({"question": " "}, "question"),
        ({"asked": "sometimes"}, "'after', 'before' or 'never'"),
    ],
)
def test_what_makes_no_sense_is_said_when_the_file_is_loaded(
    rules: dict[str, Any], words: str
) -> None:
    with pytest.raises(NotYaml, match=words):
        cast.parse_task_file(cast.task_file(explanation=rules))


@pytest.mark.django_db(transaction=True)
async def test_the_socket_asks_as_rest_does(annotator: User) -> None:
    rules = {"asked": "before", "required": True, "question": "Why?"}
    task = await sync_to_async(cast.text_task)(explanation=rules)
    sent = {"type": "submit", "client_id": next(MADE), "input": {"text": "Fine."}, "label": "yes"}
    async with page(task, annotator) as opened:
        await opened.receive("ready")
        await opened.send(**sent)
        refused = await opened.receive("error")
        assert (refused["code"], refused["message"]) == (
            "explanation_needed",
            "Answer “Why?”, too.",
        )
        await opened.send(**sent, explanation="Short.")
        await opened.receive("accepted")
    assert (await Example.objects.aget()).explanation == "Short."


@pytest.mark.django_db
def test_a_guest_owes_it_too_and_a_chat_is_asked_like_everything(annotator: User) -> None:
    task = cast.chat_task(explanation={"asked": "before", "required": True})
    chat = cast.chatted(task, annotator, "Hello")
    client = APIClient()
    client.force_authenticate(annotator)
    body = {"client_id": next(MADE), "input": {"chat": str(chat.uid)}, "label": "harmful"}
    path = "/api/v1/tasks/chats/examples/"
    assert code(client.post(path, body, format="json")) == (400, "explanation_needed")
    body["explanation"] = "It is rude."
    assert client.post(path, body, format="json").status_code == 201

    cast.text_task(explanation={"required": True, "of": "all"})
    guest = APIClient()
    guest.get("/tasks/texts/")
    path = "/api/v1/tasks/texts/examples/"
    for text, status in (("It rains.", 201), ("It snows.", 409)):
        body = {"client_id": next(MADE), "input": {"text": text}, "label": "yes"}
        assert guest.post(path, body, format="json").status_code == status
