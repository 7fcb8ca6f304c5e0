"""What people by link had agreed to, and who asked to be forgotten, on a release's card."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from uuid import uuid4

from annotate.models import Task
from crowd import services
from crowd.models import Visit
from releases.services import order_of
from releases.verifying import verify
from releases.writing import make
from tests import cast
from tests.crowd import world
from tests.crowd.world import call, come


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_card_counts_consents_and_those_who_were_forgotten(task: Task, tmp_path: Path) -> None:
    asked = {"text": "I agree.", "version": "a", "keep": False}
    campaign = world.campaign(task, consent=asked)
    first = come(campaign)
    first.act("finish", world.work(first, task, (1, 2))[0])
    # The text is changed, under another version: who came before had agreed to the one before.
    world.campaign(task, consent={**asked, "text": "I agree to more.", "version": "b"})
    campaign.refresh_from_db()
    campaign.__dict__.pop("file", None)
    later = come(campaign, "W2")
    later.act("finish", world.work(later, task, (3, 4))[0])
    for visit in Visit.objects.all():
        services.settle(visit=visit, confirmed=True, actor=None)
    cast.submission(task, cast.person("anna"), 5)
    panel: dict[str, Any] = {"platform": "panel", "work": "validate", "return_to": []}
    judging = world.campaign(task, slug="judging", consent="I judge.", **panel)
    token = come(judging, "V1", slot=1).begin()
    item = call(token, "tasks/digits/validations/next/").json()
    label = {"label": item["choices"][0]["value"]}
    assert call(token, f"validations/{item['lease']}/vote/", label).status_code == 200
    assert "You are forgotten" in world.words(later.act("forget", gives_up="on"))

    about = make(order_of(task, "1.0.0", str(uuid4()), {}), tmp_path / "out").about

    told = {one["version"]: one for one in about["consents"]}
    assert told.keys() == {"a", sha256("I judge.")[:8]}
    assert told["a"] == {
        "platform": "hit",
        "version": "a",
        "text_sha256": sha256("I agree."),
        "keep": False,
        "examples": 2,
        "authors": 1,
        "votes": 0,
        "validators": 0,
    }
    judged = told[sha256("I judge.")[:8]]
    assert (judged["votes"], judged["validators"], judged["keep"]) == (1, 1, True)
    assert (about["erased"], about["forgotten"], about["figures"]["examples"]) == (2, 1, 3)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "or by a log: 1 example. " in card
    assert "up to this version: 2 of the task's, 2 of them erased" in card
    assert "1 person who came by link asked to be forgotten" in card
    assert "I agree." not in card
    assert verify(tmp_path / "out").examples == 3
