"""A photograph's whole way: asked about, submitted, judged, shown, and brought in by a log."""

from __future__ import annotations

import json
import uuid
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client
from PIL import ImageOps
from rest_framework.test import APIClient

from accounts.models import User
from annotate import judged, rounds
from annotate.config import parse_task_file
from annotate.models import Example, Task
from annotate.registry import read_model_file, register
from kinds.photo.tests import colours
from kinds.photo.tests.colours import scene, sent, shown, taken_sideways
from tests import cast

pytestmark = pytest.mark.once


def colour_task(owner: User, folder: Path) -> Task:
    made, _ = rounds.load_task(file=parse_task_file(colours.task_file()), actor=owner)
    colours.save(folder)
    file = read_model_file(json.dumps(colours.model_file()))
    register(task=made, file=file, folder=folder, open_round=True)
    return made


@pytest.mark.django_db
def test_a_photograph_goes_the_whole_way(
    annotator: User,
    validator: User,
    other_validator: User,
    owner: User,
    client: Client,
    tmp_path: Path,
) -> None:
    task = colour_task(owner, tmp_path)
    anna, vera = APIClient(), APIClient()
    anna.force_authenticate(annotator)
    vera.force_authenticate(validator)
    photo = taken_sideways(scene(1, tint="red", size=(400, 600)))
    said = anna.post(
        "/api/v1/tasks/colours/predictions/", {"input": sent(photo)}, format="json"
    ).json()
    assert (said["prediction"], sum(said["probabilities"].values())) == ("red", pytest.approx(1))
    body = {"client_id": str(uuid.uuid4()), "input": sent(photo), "label": "green"}
    made = anna.post("/api/v1/tasks/colours/examples/", body, format="json")
    assert (made.status_code, made.json()["fooled"]) == (201, True)
    smaller = scene(1, tint="red", size=(300, 450))
    for again in (sent(smaller, "WEBP"), mirrored := sent(ImageOps.mirror(smaller))):
        copy = {**body, "client_id": str(uuid.uuid4()), "input": again}
        refused = anna.post("/api/v1/tasks/colours/examples/", copy, format="json")
        assert refused.json()["error"]["code"] == "duplicate"
    assert anna.get(f"/api/v1/examples/{made.json()['id']}/why/").json()["error"]["code"] == (
        "cannot_say"
    )

    item = vera.post("/api/v1/tasks/colours/validations/next/").json()
    judged.forget()  # a lease is known at its commit, which this test has none of
    asked = vera.post("/api/v1/tasks/colours/predictions/", {"input": mirrored}, format="json")
    assert asked.json()["error"]["code"] == "being_judged"
    image = shown(item["input"])
    assert (image.size, dict(image.getexif())) == ((341, 512), {})
    vera.post(f"/api/v1/validations/{item['lease']}/vote/", {"label": "green"}, format="json")
    cast.answer(other_validator, task)
    client.force_login(annotator)
    assert "data:image/jpeg;base64," in client.get("/me/work/").content.decode()
    client.force_login(owner)
    page = client.get("/tasks/colours/rounds/1/foolings/").content.decode()
    assert "data:image/jpeg;base64," in page

    # A log's stays as it came, and validators are shown no more of it than of others.
    other, _ = rounds.load_task(file=parse_task_file(colours.task_file(slug="others")))
    raw = sent(taken_sideways(scene(2)))
    line = {"kind": "example", "id": "a1", "round": 1, "author": "w7", "input": raw}
    line |= {"label": "green", "prediction": "red", "model": "m1"}
    (tmp_path / "log.jsonl").write_text(json.dumps(line))
    call_command("import_log", "others", str(tmp_path / "log.jsonl"), stdout=StringIO())
    assert Example.objects.get(task=other).input == raw
    item = vera.post("/api/v1/tasks/others/validations/next/").json()
    assert dict(shown(item["input"]).getexif()) == {}
