"""A task with a campaign, and workers who come by its links as a browser without cookies does."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.test import Client
from django.test.client import ClientHandler

from annotate.models import Example, Task
from crowd.campaign_file import CampaignFile
from crowd.campaigns import load_campaign, sign
from crowd.models import Campaign
from tests import cast

# Its middleware looks at every static file when it is made: a tenth of a second for each client.
_HANDLER = ClientHandler(enforce_csrf_checks=True)
PAY = {"base": "1.00", "per_verified": "0.25", "screen_out": "0.10", "currency": "USD"}


def file(task: Task, **changes: Any) -> CampaignFile:
    said = {
        "slug": "pilot",
        "task": task.slug,
        "platform": "hit",
        "places": 3,
        "visit": {"examples": 2},
        "pay": PAY,
        "consent": "I agree.",
        "return_to": "https://work.example.org",
        **changes,
    }
    return CampaignFile.model_validate(said)


def campaign(task: Task, **changes: Any) -> Campaign:
    return load_campaign(file=file(task, **changes))[0]


class Came(NamedTuple):
    """A worker's browser at the address of their link."""

    address: str
    client: Client

    @property
    def page(self) -> Any:
        return self.client.get(self.address)

    def act(self, act: str, token: str = "", **fields: str) -> Any:
        return self.client.post(self.address, {"act": act, "token": token, **fields})

    def begin(self) -> str:
        """Agree; returns the token of the page that comes."""
        consent = re.search(r'name="consent" value="([^"]+)"', words(self.page, tags=True))
        assert consent, words(self.page)
        return token_in(self.act("begin", consent=consent[1]))


def come(campaign: Campaign, worker: str = "W1", *, slot: int | None = None, **more: str) -> Came:
    """By the link of a HIT, unless `more` says otherwise."""
    said = {"workerId": worker, "worker": worker, "assignmentId": f"A-{worker}", **more}
    if slot is not None:
        said["k"] = sign(campaign, slot)
    # A frame where cookies are blocked: none comes, so a missing CSRF cookie is refused if asked.
    return Came(f"/hit/{campaign.slug}/?{urlencode(said)}", browser())


def browser() -> Client:
    client = Client()
    client.handler = _HANDLER
    return client


def words(response: Any, *, tags: bool = False) -> str:
    text = response.content.decode()
    return text if tags else " ".join(re.sub(r"<[^>]+>", " ", text).split())


def token_in(response: Any) -> str:
    found = re.search(
        r'"token": "([^"]+)"|name="token" value="([^"]+)"', words(response, tags=True)
    )
    assert found, words(response)
    return found[1] or found[2]


def call(token: str, path: str, body: dict[str, Any] | None = None) -> Any:
    return browser().post(
        f"/api/v1/{path}",
        json.dumps(body or {}),
        content_type="application/json",
        headers={"Authorization": f"Visit {token}"},
    )


def submit(token: str, task: Task, seed: int, *, fooled: bool = True) -> Example:
    """An example over REST, as the page's script sends it."""
    input = cast.drawing(seed)
    said = cast.prediction(task, input)
    label = cast.DIGITS[(int(said) + 1) % 10] if fooled else said
    body = {"client_id": str(uuid.uuid4()), "input": input, "label": label}
    answer = call(token, f"tasks/{task.slug}/examples/", body)
    assert answer.status_code == 201, answer.content
    return Example.objects.get(uid=answer.json()["id"])


def work(came: Came, task: Task, seeds: tuple[int, ...]) -> tuple[str, list[Example]]:
    """A whole visit up to its end; returns its token and what was made."""
    token = came.begin()
    return token, [submit(token, task, seed) for seed in seeds]
