"""One queue walked twice, once with gold in a place and once without: every read is compared.

All that a validator can read is read before and after each act, from the table of addresses, so
that a new address or number is looked at without being named here.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import unified_diff
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.core.cache import cache
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from accounts.models import User
from annotate import context_files, judged, submissions
from annotate.contexts import load_contexts, next_context
from annotate.models import Example, Task
from annotate.queries import Participant
from core import doors
from core.limits import forget_limits
from crowd.models import Worker
from releases.models import Release
from tests import acts, cast
from tests.contract.test_permissions import ROWS, SECRET, Row
from tests.crowd import world as crowd
from tests.validate.test_whom_one_judges import crowd as crowd_of
from validate.acts import gold
from validate.acts import lease as leases
from validate.acts import undo as undoing
from validate.models import Lease

# Pages that know no task: of sign-in, of the server's health, of the API itself.
APART = ("account_", "accounts/", "mfa_", "alive", "ready", "metrics", "api-schema", "api-docs")
READS = [
    row
    for row in ROWS
    if row.method == "get" and row.arguments != SECRET and not row.name.startswith(APART)
]
# What is another in every answer and says nothing.
VARIES = (
    (r'(csrfToken"?: ?"|csrfmiddlewaretoken" value="|X-CSRFToken": ?")[\w-]+', r"\1token"),
    (r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", "an id"),
    (r"[0-9a-f]{32}\.[\w-]{32}", "a visit's token"),
    (r'"ticket": "[\w-]{32}', "a socket's ticket"),
    (r'"code": "[A-Z0-9]{12}"', "a visit's code"),
)


def pair_task(owner: User) -> Task:
    """Of pairs about contexts that have titles, and columns that are nobody's business."""
    task = cast.text_task(
        input="text_pair", labels=cast.DIGITS, validation={"policy": "two_plus_one", "sample": 0}
    )
    task.owners.add(owner)
    rows = [
        context_files.Row(
            number, {"text": f"Story {uuid4()}.", "title": f"About {uuid4()}", "answer": "9"}
        )
        for number in range(12)
    ]
    assert load_contexts(task=task, rows=rows).new == len(rows)
    return task


def submit(task: Task, author: User) -> None:
    """Something that nobody sent before and that fools, as the page sends it."""
    if task.input_kind == "image":
        cast.submission(task, author)
        return
    who = Participant(user=author)
    given = next_context(participant=who, task=task)
    assert given is not None
    words = {"hypothesis": f"So {uuid4()}."}
    said = cast.prediction(task, {**given.context.data, **words})
    submissions.submit(
        participant=who,
        task_id=task.pk,
        client_id=uuid4(),
        input=words,
        label=cast.DIGITS[(int(said) + 1) % 10],
        context=str(given.context.uid),
    )


def gold_input(task: Task, number: int) -> dict[str, str]:
    if task.input_kind == "image":
        return cast.drawing(1_000 + number)
    context = task.contexts.order_by("pk")[number]
    return {"context": context.data["context"], "hypothesis": f"So {uuid4()}."}


@pytest.fixture(params=[cast.digits_task, pair_task])
def world(
    request: pytest.FixtureRequest, db: None, owner: User, annotator: User, other_validator: User,
    third_validator: User, settings: Any, tmp_path: Path,
) -> Task:  # fmt: skip
    """Gold from a file, more examples than are walked through, and a release that all may read, of
    what is settled; boards as they are served."""
    task: Task = request.param(owner)
    settings.LIMITS = doors.OFF
    submit(task, annotator)
    for person in (other_validator, third_validator):
        settled = cast.answer(person, task)
    assert settled.status == Example.Status.VERIFIED, list(settled.votes.values())
    lines = [
        json.dumps({"input": gold_input(task, number), "answer": "3"}).encode()
        for number in range(4)
    ]
    gold.load_gold(actor=owner, task=task, lines=lines)
    for _ in range(6):
        submit(task, annotator)
    call_command("release", task.slug, out=tmp_path / "1.0.0", stdout=StringIO())
    Release.objects.update(public=True)
    assert Release.objects.get().figures["examples"] == 1
    return task


@contextmanager
def undone() -> Iterator[None]:
    """What happens inside is taken back, and forgotten by what remembers."""
    block = transaction.atomic()
    block._from_testcase = True  # type: ignore[attr-defined]  # as TestCase does for durable blocks
    judged.forget()  # what it read lately it does not read anew, on a quick machine
    with block:
        yield
        transaction.set_rollback(True)
    cache.clear()
    forget_limits()


class Walk:
    """What one validator sees, act by act, signed in and by a campaign's link."""

    def __init__(self, person: User, task: Task, looks_after: tuple[str, ...]) -> None:
        self.looks_after = looks_after
        work = ["annotate", "validate"]
        pay = {**crowd.PAY, "per_validation": "0.05"}
        self.came = crowd.come(crowd.campaign(task, work=work, visit={"examples": 50}, pay=pay))
        self.came.begin()
        Worker.objects.update(user=person)
        self.client = Client()
        self.client.force_login(person)
        self.task = task
        self.seen: dict[str, str] = {}
        self._acts = 0

    def do(self, act: str, address: str, **body: Any) -> Any:
        """One act, noted with its answer and, where one looks, all that can be read after it."""
        self._acts += 1
        response = self.client.post(address, body, content_type="application/json")
        self._note(f"{self._acts} {act}", response)
        if act in self.looks_after:
            for row in READS:
                self._read(f"{self._acts} {act}, then {row.name}", row)
            self._read_visit(f"{self._acts} {act}, then a visit's")
        return response.json() if response.content else None

    def _read(self, name: str, row: Row) -> None:
        held = Lease.objects.filter(validator__username="vera").latest("created_at")
        ids = {"EXAMPLE": str(held.example.uid), "LEASE": str(held.pk)}
        ids["CHAT"] = ids["EXAMPLE"]  # nobody chats here
        ids |= {"RUN": "1", "RUN_UID": ids["LEASE"]}  # and nothing is trained
        ids |= dict.fromkeys(("SERVED", "UNRELEASED"), str(held.example.model_id))
        arguments = {key: ids.get(value, value) for key, value in row.arguments.items()}
        path = f"/{row.name.lstrip('^')}" if "/" in row.name else None
        if row.name == "api-nothing":
            return
        self._note(name, self.client.get(path or reverse(row.name, kwargs=arguments)))

    def _read_visit(self, name: str) -> None:
        """Its looks are forms that are sent."""
        opened = self.came.act("open")
        assert opened.status_code == 200
        self._note(f"{name} page", opened)
        self._note(f"{name} data", self.came.act("data"))
        self._note(f"{name} progress", crowd.call(crowd.token_in(opened), "visits/this/"))

    def _note(self, name: str, response: Any) -> None:
        content = _streamed(response) if response.streaming else response.content
        text = content.decode(errors="replace")
        for pattern, same in VARIES:
            text = re.sub(pattern, same, text)
        text = re.sub(r'(png"?: ?"|base64,)([\w+/=]{40,})', _shape, text)
        headers = sorted(name for name in response.headers)
        self.seen[name] = f"{response.status_code} {headers}\n{text}"


@async_to_sync
async def _streamed(response: Any) -> bytes:
    return b"".join([part async for part in response])


def _shape(found: re.Match[str]) -> str:
    picture = Image.open(io.BytesIO(base64.b64decode(found[2])))
    return f"{found[1]}{picture.mode} {picture.size}"


def walk(person: User, task: Task, *, golden: bool, settled_by: User | None) -> dict[str, str]:
    """Ask, keep, give back, ask for the model's answer, skip, look again, answer, take back."""
    here = f"/api/v1/tasks/{task.slug}/"
    # A verdict can only show in what is read after the vote that makes it, and its undo. After the
    # first item all is alike still, and what another one changes is read after the act before it.
    more = () if settled_by else ("release", "skip", "look again")
    walked = Walk(person, task, ("vote", "undo", *more))
    lease = walked.do("next", f"{here}validations/next/")["lease"]
    turn["golden"] = golden
    item = walked.do("vote", f"/api/v1/validations/{lease}/vote/", label="3")["next"]
    assert Lease.objects.get(pk=item["lease"]).gold == golden
    turn["golden"] = False
    walked.do("heartbeat", f"/api/v1/validations/{item['lease']}/heartbeat/")
    walked.do("predict", f"{here}predictions/", input=item["input"])
    walked.do("explain", f"/api/v1/examples/{item['example']}/explain/", explanation="Thin.")
    walked.do("retract", f"/api/v1/examples/{item['example']}/retract/")
    walked.do("release", f"/api/v1/validations/{item['lease']}/release/", skip=False)
    again = walked.do("next", f"{here}validations/next/")
    assert again["example"] == item["example"]
    if settled_by is not None:
        example = Example.objects.get(uid=item["example"])
        if not golden:
            other = acts.next_item(validator=settled_by, task=task)
            while other is not None and other.example_id != example.pk:
                acts.vote(validator=settled_by, lease_id=other.pk, label="3")
                other = acts.next_item(validator=settled_by, task=task)
            assert other is not None
            acts.vote(validator=settled_by, lease_id=other.pk, label="3")
    after = walked.do("vote", f"/api/v1/validations/{again['lease']}/vote/", label="3")
    assert after["next"] is not None
    walked.do("undo", f"{here}validations/undo/")
    lease = walked.do("next", f"{here}validations/next/")["lease"]
    walked.do("skip", f"/api/v1/validations/{lease}/release/", skip=True)
    look_again = reverse("validate-look-again", kwargs={"slug": task.slug})
    walked.do("look again", look_again)
    walked.do("next", f"{here}validations/next/")
    return walked.seen


turn = {"golden": False}


@pytest.mark.once
@pytest.mark.parametrize("settles", [False, True])
def test_nothing_that_can_be_read_tells_gold_from_the_rest(
    world: Task, validator: User, other_validator: User, settings: Any,
    monkeypatch: pytest.MonkeyPatch, settles: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(leases, "is_gold_turn", lambda *_: turn["golden"])
    if settles:
        monkeypatch.setattr(undoing, "_share_that_settles", lambda _: 1.0)
    else:  # somebody new, who only begins, with the worst luck at taking back
        monkeypatch.setattr(undoing, "_chance", lambda _: 0.0)
        crowd_of(world, 4, gold_seen=5, gold_right=5)
    settings.BOARD_SECONDS = 60 if settles else 0
    seen, started = [], timezone.now()
    for golden in (False, True):
        with undone(), time_machine.travel(started, tick=False):
            other = other_validator if settles else None
            seen.append(walk(validator, world, golden=golden, settled_by=other))
    plain, with_gold = seen
    assert plain.keys() == with_gold.keys()
    told = [name for name in plain if plain[name] != with_gold[name]]
    assert not told, "\n".join(
        line
        for name in told[:5]
        for line in unified_diff(
            plain[name].splitlines(), with_gold[name].splitlines(), name, "gold", n=0
        )
    )
