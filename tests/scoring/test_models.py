"""The owner's pages about models, from one that is refused to one that is retired."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import Event, User
from annotate import rounds, submissions
from annotate.config import parse_task_file
from annotate.models import Context, ModelVersion, Task
from annotate.queries import Participant
from annotate.registry import ModelFile, register
from core.errors import Conflict, Refused
from core.transactions import durable
from tests import cast

WORDS = "for: rude\nfool\t3\nfriend\t-2\n"
FILE = """name: manners
backend: lexicon
labels: [fine, {second}]
card: {{description: A list of words., licence: CC0-1.0}}
"""


@pytest.fixture
def manners(owner: User) -> Task:
    file = {"slug": "manners", "name": "Manners", "input": "text", "labels": ["fine", "rude"]}
    task, _ = rounds.load_task(file=parse_task_file(file), actor=owner)
    return task


def sent(second: str) -> dict[str, Any]:
    return {
        "file": FILE.format(second=second),
        "content": SimpleUploadedFile("words.txt", WORDS.encode()),
    }


def submit(task: Task, author: User, text: str, label: str, context: Context) -> None:
    submissions.submit(
        participant=Participant(user=author),
        task_id=task.pk,
        client_id=uuid.uuid4(),
        input={"text": text},
        label=label,
        context=str(context.uid),
    )


def test_an_owner_registers_reads_why_not_mends_it_plays_and_retires_it(
    manners: Task, owner: User, annotator: User
) -> None:
    client = Client()
    client.force_login(owner)
    home = "/tasks/manners/models/"
    assert "No model yet" in client.get(home).content.decode()
    refused = client.post(home, sent("nasty"))
    page = refused.content.decode()
    assert refused.status_code == 400
    assert "of which one is rude" in page, "the sentence that says what to do"
    assert "backend: lexicon" in page, "what was written is kept"
    assert not ModelVersion.objects.exists()

    taken = client.post(home, sent("rude"))
    assert taken.headers["Location"] == f"{home}1/"
    page = client.get(f"{home}1/").content.decode()
    for words in (
        "passed its check", "Nobody has tried it yet", "fine, rude: those of the task, by name",
        "answered alike", "opened a second time", "A weak baseline", "leans to fine",
        "A list of words.", "CC0-1.0", "Has not served yet", "Open a round with it",
    ):  # fmt: skip
        assert words in page, words
    client.post("/tasks/manners/training/serve/1/", {"reason": "The first."})

    context = Context.objects.create(
        task=manners, data={"prompt": "A letter"}, sha256="1", source="letters", offered=True
    )
    for text, label in [
        ("You fool.", "rude"), ("No fool would.", "fine"), ("Dear friend.", "fine"),
    ]:  # fmt: skip
        submit(manners, annotator, text, label, context)
    page = client.get(f"{home}1/").content.decode()
    assert "serves now" in page
    assert "Served round 1." in page
    rows = [" ".join(row.split()) for row in page.split("<tr>")]
    (fine,) = [row for row in rows if '<th scope="row">fine</th>' in row]
    assert 'data-label="submitted">2<' in fine
    assert 'data-label="fooled">50 %<' in fine
    assert "rude" in fine.partition("it said instead")[2]
    assert any("letters" in row for row in rows), "by where contexts are from"
    call = f"/api/v1/models/{ModelVersion.objects.get().pk}/"
    record = client.get(call).json()["record"]
    assert record["mer"]["value"] == pytest.approx(1 / 3)
    assert [(one["name"], one["mer"]["of"], one["said"]) for one in record["labels"]] == [
        ("fine", 2, "rude"), ("rude", 1, ""),
    ]  # fmt: skip
    assert [(one["name"], one["verified"]) for one in record["sources"]] == [("letters", 0)]
    assert Client().get(call).json()["record"] is None
    assert 'href="/tasks/manners/models/1/"' in client.get(home).content.decode()

    retire = f"{home}1/retire/"
    page = client.post(retire, {"reason": "It is old."}, follow=True).content.decode()
    assert "let another serve first" in page
    register(
        task=manners,
        file=ModelFile(name="coin", backend="null", parent="manners"),
        actor=owner,
        open_round=True,
    )
    assert "manners" in client.get(f"{home}2/").content.decode(), "what it was made from"
    page = client.post(retire, {"reason": "It is old."}, follow=True).content.decode()
    assert "is retired" in page
    assert Event.objects.get(verb="retired").data == {"reason": "It is old."}
    model = ModelVersion.objects.get(number=1)
    assert model.retired_at is not None
    assert client.get("/tasks/manners/training/serve/1/").status_code == 404
    with pytest.raises(Refused, match="was retired"), durable():
        rounds.open_next_round(task=manners, models=[model])


def test_retiring_waits_for_no_round_that_is_being_opened(manners: Task, owner: User) -> None:
    model = register(
        task=manners, file=ModelFile(name="coin", backend="null"), actor=owner, open_round=True
    ).model
    with pytest.raises(Conflict, match="let another serve first"):
        rounds.retire_model(actor=owner, task=manners, model=model, reason="Old.")
    with pytest.raises(Refused, match="Say why"):
        rounds.retire_model(actor=owner, task=manners, model=model, reason=" ")


def test_a_model_that_never_served_is_its_owners_to_see(
    manners: Task, owner: User, annotator: User
) -> None:
    card = {"data": "None.", "licence": "MIT"}
    words = base64.b64encode(WORDS.encode()).decode()
    asked = {"name": "manners", "backend": "lexicon", "content": words, "card": card}
    own, other = APIClient(), APIClient()
    own.force_login(owner)
    other.force_login(annotator)
    made = own.post("/api/v1/tasks/manners/models/", asked, format="json").json()
    call = f"/api/v1/models/{made['id']}/"
    told = own.get(call).json()
    assert (told["name"], told["card"], told["rounds"]) == ("manners", card, [])
    assert told["check"]["tells_probes_apart"] is False
    assert other.get(call).status_code == 404
    model = ModelVersion.objects.get()
    cast.opened(manners, model)
    assert other.get(call).json()["rounds"] == [1]
    assert json.dumps(told["check"]["labels"]) == '["fine", "rude"]'


def test_two_models_of_one_file_take_their_labels_each_their_own_way(
    manners: Task, owner: User
) -> None:
    """They have one hash: what one of them said is not the other's answer."""
    words = base64.b64encode(b"for: up\nfool\t3\n").decode()
    for name, labels in [
        ("one", {"up": "rude", "down": "fine"}),
        ("two", {"up": "fine", "down": "rude"}),
    ]:
        file = ModelFile(name=name, backend="lexicon", content=words, labels=labels)
        register(task=manners, file=file, actor=owner, open_round=True)
        said = cast.prediction(manners, {"text": "You fool."})
        assert said == labels["up"]
    assert len(set(ModelVersion.objects.values_list("sha256", flat=True))) == 1
