"""Every REST call that is granted: its status, the keys and types of its answer, its queries."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from annotate.models import Task
from annotate.registry import read_model_file, register
from tests import cast
from tests.contract.conftest import KINDS
from tests.crowd import world
from tests.crowd.world import come
from tests.pins import Pins, shape
from tests.training.world import let_the_fake_learn, trained_task, verified_foolings
from training import services
from training.retraining import carry_out
from validate.models import Lease

AsUser = Callable[[User], APIClient]
API = "/api/v1/"


class Caller:
    """Calls, and compares each answer with what is pinned."""

    def __init__(self, pinned: Pins) -> None:
        self._pinned = pinned
        self.called: set[str] = set()

    def __call__(
        self, client: APIClient, call: str, body: Any = None, *, why: str = "", **names: object
    ) -> Any:
        """Ask `get tasks/{slug}/?round={n}` with these names; returns the answer's body."""
        method, template = call.split(" ")
        self.called.add(f"{method} {template.partition('?')[0]}")
        name = f"{call} {why}".strip()
        address = API + re.sub(r"{(\w+)}", lambda match: str(names[match[1]]), template)
        with self._pinned.queries(name):
            response = getattr(client, method)(address, body)
        is_file = response.streaming
        answer = None if is_file or not response.content else response.json()
        self._pinned.same("answers", name, [response.status_code, shape(answer)])
        return answer


@pytest.fixture
def call(pinned: Pins, guest: APIClient, db: None) -> Caller:
    return Caller(pinned)


def test_every_call_answers_in_its_shape(
    call: Caller,
    owner: User,
    annotator: User,
    validator: User,
    other_validator: User,
    guest: APIClient,
    as_user: AsUser,
    manage: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    picture = {"image": "img/mark.svg", "caption": "A seven.", "good": True}
    task = cast.digits_task(
        owner, instructions={"goal": "Fool it.", "steps": ["Draw."], "pictures": [picture]}
    )
    anna, vera, olive = as_user(annotator), as_user(validator), as_user(owner)
    slug = task.slug
    # --- tasks and predictions
    call(guest, "get tasks/")
    call(guest, "get tasks/{slug}/", slug=slug)
    drawn = {"input": cast.drawing(1)}
    said = call(guest, "post tasks/{slug}/predictions/", drawn, slug=slug)["prediction"]
    call(anna, "post tasks/{slug}/contexts/next/", why="(of none)", slug=slug)
    # --- examples
    sent = {**drawn, "client_id": str(uuid.uuid4()), "label": "1" if said != "1" else "2"}
    submit = "post tasks/{slug}/examples/"
    made = call(anna, submit, {**sent, "explanation": "Thin."}, why="(new)", slug=slug)
    assert call(anna, submit, sent, why="(again)", slug=slug) == made
    cast.submission(task, annotator, 2, fooled=False)
    cast.submission(task, annotator, 3)
    call(anna, "get examples/")
    call(olive, "get examples/?task={slug}&status=open&fooled=1&mine=0&page_size=2", slug=slug)
    call(anna, "get examples/{uid}/", uid=made["id"])
    call(anna, "post examples/{uid}/explain/", {"explanation": "Long."}, uid=made["id"])
    words = cast.text_task(labels=["negative", "positive"])
    moods = read_model_file("{name: words, backend: lexicon}")
    register(task=words, file=moods, open_round=True)
    sent_words = {"client_id": str(uuid.uuid4()), "input": {"text": "Fine."}, "label": "negative"}
    told = call(anna, submit, sent_words, why="(a text)", slug="texts")
    call(anna, "get examples/{uid}/why/", uid=told["id"])
    # --- chats
    cast.chat_task(owner, chat={"rule": {"contains": "sesame", "outcome": "harmful"}})
    chat = call(anna, "post tasks/{slug}/chats/", slug="chats")["chat"]
    call(anna, "post chats/{chat}/turns/", {"content": "Open sesame"}, chat=chat)
    call(anna, "post chats/{chat}/turns/", {"content": "?", "turn": 2}, why="(again)", chat=chat)
    call(anna, "get chats/{chat}/", chat=chat)
    ended = {"client_id": chat, "input": {"chat": chat}, "label": "harmful"}
    call(anna, submit, ended, why="(a chat)", slug="chats")
    # --- validating
    following, vote = "post tasks/{slug}/validations/next/", "post validations/{lease}/vote/"
    first = call(vera, following, slug=slug)["lease"]
    second = call(vera, f"{following}?after={{lease}}", slug=slug, lease=first)["lease"]
    call(vera, "post validations/{lease}/heartbeat/", lease=first)
    call(vera, vote, {"label": "5"}, lease=first)
    call(vera, vote, {"flag": "other", "reason": "A face."}, why="(the last)", lease=second)
    call(vera, following, why="(nothing waits)", slug=slug)
    undone = call(vera, "post tasks/{slug}/validations/undo/", slug=slug)
    call(vera, "post validations/{lease}/release/", {"skip": True}, lease=undone["lease"])
    call(vera, "get tasks/{slug}/validations/progress/", slug=slug)
    # --- boards, with something in each column
    cast.answer(other_validator, task)
    call(guest, "get tasks/{slug}/leaderboard/", slug=slug)
    call(guest, "get tasks/{slug}/leaderboard/?round=1", slug=slug)
    call(guest, "get tasks/{slug}/rounds/", slug=slug)
    call(guest, "get tasks/{slug}/models/", slug=slug)
    call(anna, "post examples/{uid}/retract/", uid=made["id"])
    piece = {"upload": str(UUID(int=1)), "offset": 0, "piece": "AAAA"}
    call(olive, "post tasks/{slug}/models/uploads/", piece, slug=slug)
    coin = {"name": "coin", "backend": "null", "open_round": True}
    registered = call(olive, "post tasks/{slug}/models/", coin, slug=slug)
    call(guest, "get models/{id}/", id=registered["id"])
    call(olive, "get models/{id}/", why="(its owner)", id=task.models.earliest("number").pk)
    call(guest, "get models/{id}/robustness/", id=registered["id"])
    judge = {"model": cast.fixed_model(task, 1).name}
    call(olive, "post tasks/{slug}/judges/", judge, slug=slug)
    call(olive, "get tasks/{slug}/judges/", slug=slug)
    call(olive, "get tasks/{slug}/agreement/", slug=slug)
    later = {"model": "coin", "reason": "A shared task.", "opens_at": "2999-01-01T00:00:00Z"}
    call(olive, "post tasks/{slug}/rounds/", {**later, "submissions_each": 20}, slug=slug)
    changed = {"verified": 100, "retraction": "never", "reason": "Announced."}
    call(olive, "patch tasks/{slug}/rounds/{number}/", changed, slug=slug, number=3)
    # --- what comes of it
    call(guest, "get tasks/{slug}/rounds/{number}/", slug=slug, number=1)
    call(guest, "get tasks/{slug}/comparison/", slug=slug)
    call(olive, "post tasks/{slug}/comparison/", slug=slug)
    # --- retraining, by a learner that takes no time
    let_the_fake_learn(monkeypatch)
    learns = trained_task(owner, slug="learns", seeds=2, promote="by_owner")
    verified_foolings(learns, [annotator, cast.person("bert")], owner, 2)
    begun = call(olive, "post tasks/{slug}/runs/", slug="learns")["run"]
    call(olive, "post tasks/{slug}/runs/{uid}/stop/", slug="learns", uid=begun)
    run = carry_out(*services.begin_here(task=learns))
    shown = call(olive, "get tasks/{slug}/runs/{uid}/", slug="learns", uid=run.uid)
    lost = next(trial["number"] for trial in shown["trials"] if not trial["is_candidate"])
    choose = "post tasks/{slug}/runs/{uid}/choose/"
    call(olive, choose, {"recipe": lost}, slug="learns", uid=run.uid)
    call(olive, "get tasks/{slug}/runs/", slug="learns")
    assert not manage("release", slug, "--out", tmp_path / "out", "--version", "1.0.0").status
    call(olive, "get tasks/{slug}/releases/", slug=slug)
    file = {"version": "1.0.0", "name": "README.md"}
    call(olive, "get tasks/{slug}/releases/{version}/files/{name}/", slug=slug, **file)
    # --- by a link
    token = come(world.campaign(task)).begin()
    worker = APIClient()
    worker.credentials(HTTP_AUTHORIZATION=f"Visit {token}")
    call(worker, "post visits/this/", {"paste": 1})
    call(worker, "post visits/this/ticket/")
    assert call.called == calls_of_the_schema(guest)


def calls_of_the_schema(guest: APIClient) -> set[str]:
    paths = guest.get(f"{API}schema/?format=json").json()["paths"]
    return {
        f"{method} {path.removeprefix(API)}"
        for path, methods in paths.items()
        for method in methods
    }


def test_who_qualifies_is_told_how_it_goes_and_has_a_score_later(
    call: Caller, owner: User, validator: User, as_user: AsUser, manage: Any, tmp_path: Path
) -> None:
    policy = {"policy": "two_plus_one", "qualification": {"items": 2}}
    cast.digits_task(owner, validation=policy)
    gold = tmp_path / "gold.jsonl"
    known = [{"input": cast.drawing(seed), "answer": "5"} for seed in (1, 2)]
    gold.write_text("\n".join(map(json.dumps, known)), encoding="utf-8")
    manage("load_gold", "digits", gold)
    vera, following = as_user(validator), f"{API}tasks/digits/validations/next/"
    lease = vera.post(following).json()["lease"]
    call(vera, "post validations/{lease}/vote/", {"label": "5"}, why="(qualifying)", lease=lease)


def test_a_task_set_aside_is_said_in_the_header(
    owner: User, annotator: User, validator: User, as_user: AsUser
) -> None:
    task = cast.digits_task(owner, language="fr")
    cast.submission(task, annotator)
    User.objects.filter(pk=validator.pk).update(languages=["de"])

    answer = as_user(validator).post(f"{API}tasks/digits/validations/next/")

    assert (answer.status_code, answer["X-Set-Aside-By"]) == (204, "language")
    assert not Lease.objects.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_of_each_kind_shows_what_it_asks_and_no_answer(
    call: Caller,
    validator: User,
    as_user: AsUser,
    loaded: Callable[[str], Task],
    log_of: Callable[[str], Path],
    manage: Any,
    kind: str,
) -> None:
    task = loaded(kind)
    manage("import_log", task.slug, log_of(kind))
    vera, following = as_user(validator), "post tasks/{slug}/validations/next/"
    call(vera, following, why=f"({kind})", slug=task.slug)
