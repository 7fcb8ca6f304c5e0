"""Every code that a call can be refused with: its status and its one shape.

What an owner's page or a command says no with is a sentence there, and no code leaves the server.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.conf import settings
from django.db import OperationalError, transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import create_token
from annotate import chats, judged
from annotate.models import Example, Task
from annotate.queries import Participant, open_target
from core import doors
from core.doors import Door, Rate
from tests import cast
from tests.contract.test_frames import CODES as FRAME_CODES
from training.models import TrainingRun
from validate.models import Lease, Reliability

AsUser = Callable[[User], APIClient]
TASK = "/api/v1/tasks/digits/"
PREDICT, SUBMIT = f"{TASK}predictions/", f"{TASK}examples/"
NEXT, UNDO = f"{TASK}validations/next/", f"{TASK}validations/undo/"


def error_of(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.content
    body = response.json()
    assert set(body) == {"error"}
    assert {"code", "message"} <= set(body["error"]) <= {"code", "message", "fields"}
    assert body["error"]["message"]
    return dict(body["error"])


class World(NamedTuple):
    """A task that some have worked on, and who calls."""

    task: Task
    annotator: User
    validator: User
    guest: APIClient
    anna: APIClient
    vera: APIClient
    wim: APIClient

    def lease(self) -> str:
        """What vera is asked next."""
        return str(self.vera.post(NEXT).json()["lease"])


@pytest.fixture
def world(
    task: Task,
    annotator: User,
    validator: User,
    other_validator: User,
    guest: APIClient,
    as_user: AsUser,
    settings: Any,
) -> World:
    settings.LIMITS = doors.OFF
    for seed in (1, 2, 3):
        cast.submission(task, annotator, seed)
    clients = (as_user(user) for user in (annotator, validator, other_validator))
    return World(task, annotator, validator, guest, *clients)


def sent(**changes: Any) -> dict[str, Any]:
    return {"client_id": str(uuid.uuid4()), "input": cast.drawing(9), "label": "3", **changes}


def vote(lease: object) -> str:
    return f"/api/v1/validations/{lease}/vote/"


# --- the cases: each is the request that is refused with a code and a status ----------------------
Case = Callable[[World], Any]
CASES: list[tuple[str, int, Case]] = []


def refused(code: str, status: int) -> Callable[[Case], Case]:
    def keep(case: Case) -> Case:
        CASES.append((code, status, case))
        return case

    return keep


@refused("not_found", 404)
def an_unknown_address(world: World) -> Any:
    for address in ("/api/v1/nothing/", "/api/v1/tasks", "/api/v2/"):
        assert world.guest.delete(address).json()["error"]["code"] == "not_found"
    return world.guest.post("/api/")


@refused("not_found", 404)
def an_unknown_task(world: World) -> Any:
    return world.guest.get("/api/v1/tasks/chess/")


@refused("not_found", 404)
def a_task_that_is_not_public(world: World) -> Any:
    Task.objects.update(public=False)
    for call in ("", "leaderboard/", "rounds/"):
        assert world.anna.get(f"{TASK}{call}").status_code == 404
    return world.anna.get(f"{TASK}models/")


@refused("not_found", 404)
def an_unknown_round(world: World) -> Any:
    return world.guest.get(f"{TASK}leaderboard/?round=2")


@refused("not_found", 404)
def somebody_elses_example(world: World) -> Any:
    uid = Example.objects.latest("pk").uid
    return world.wim.post(f"/api/v1/examples/{uid}/retract/")


@refused("not_found", 404)
def somebody_elses_chat(world: World) -> Any:
    chat = cast.chatted(cast.chat_task(), world.annotator, "Hello")
    assert world.wim.get(f"/api/v1/chats/{chat.uid}/").status_code == 404
    return world.wim.post(f"/api/v1/chats/{chat.uid}/turns/", {"content": "Mine"})


@refused("works_alone", 403)
def a_prediction_for_somebody_of_the_control_arm(world: World) -> Any:
    target = open_target(cast.digits_task(slug="apart", control=0.9).pk)
    assert target is not None
    people = (cast.person(f"person-{number}") for number in count())
    caller = APIClient()
    caller.force_authenticate(next(filter(target.is_alone, people)))
    return caller.post("/api/v1/tasks/apart/predictions/", {"input": cast.drawing(1)})


@refused("no_chat", 400)
def a_chat_in_a_task_of_something_else(world: World) -> Any:
    return world.anna.post(f"{TASK}chats/")


@refused("no_prediction", 400)
def a_prediction_of_a_chat(world: World) -> Any:
    cast.chat_task()
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    asked = {"input": {"turns": turns}}
    return world.anna.post("/api/v1/tasks/chats/predictions/", asked)


@refused("bad_turn", 400)
def a_turn_that_is_not_due(world: World) -> Any:
    return world.anna.post(*turn(world, content="Hello", turn=3))


@refused("turn_taken", 409)
def another_turn_under_a_number(world: World) -> Any:
    return world.anna.post(*turn(world, content="Something else", turn=1))


@refused("turn_under_way", 409)
def a_turn_while_one_is_answered(world: World) -> Any:
    path, body = turn(world, content="Hello")
    who, uid = Participant(user=world.annotator), path.split("/")[-3]
    assert isinstance(chats.begin_turn(participant=who, uid=uid, content="Now"), chats.Asked)
    answer = world.anna.post(path, body)
    assert answer["Retry-After"] == "1"
    return answer


@refused("no_turns_left", 409)
def a_turn_too_many(world: World) -> Any:
    return world.anna.post(*turn(world, content="Hello", chat={"turns": 1}))


@refused("no_tokens_left", 409)
def a_turn_that_costs_too_much(world: World) -> Any:
    return world.anna.post(*turn(world, content="Hello", chat={"tokens": 1}))


@refused("chat_submitted", 409)
def a_turn_of_a_chat_that_is_an_example(world: World) -> Any:
    path, body = turn(world, content="Hello")
    submit_chat(world, path, "harmful")
    return world.anna.post(path, body)


@refused("other_outcome", 400)
def another_outcome_than_the_rules(world: World) -> Any:
    rule = {"contains": "sesame", "outcome": "harmful"}
    path, _ = turn(world, chat={"rule": rule})
    return submit_chat(world, path, "harmful")


def turn(world: World, chat: Any = None, **body: Any) -> tuple[str, Any]:
    """Where the next turn of a chat with one goes, and what is sent there."""
    begun = cast.chatted(cast.chat_task(chat=chat or {}), world.annotator, "Good day")
    return f"/api/v1/chats/{begun.uid}/turns/", body


def submit_chat(world: World, path: str, label: str) -> Any:
    body = sent(input={"chat": path.split("/")[-3]}, label=label)
    return world.anna.post("/api/v1/tasks/chats/examples/", body)


@refused("not_found", 404)
def a_cursor_that_is_none(world: World) -> Any:
    return world.anna.get("/api/v1/examples/?cursor=cD14")


@refused("method_not_allowed", 405)
def a_method_that_a_call_has_not(world: World) -> Any:
    return world.guest.delete(TASK)


@refused("not_acceptable", 406)
def an_answer_in_another_form(world: World) -> Any:
    return world.guest.get(TASK, HTTP_ACCEPT="text/csv")


@refused("unsupported_media_type", 415)
def a_form(world: World) -> Any:
    return world.guest.post(PREDICT, "input=1", content_type="text/plain")


@refused("bad_request", 400)
def a_body_that_is_no_json(world: World) -> Any:
    return world.guest.post(PREDICT, b"{", content_type="application/json")


@refused("bad_request", 400)
def a_body_that_is_no_object(world: World) -> Any:
    for body in ("text", 7, None):
        assert world.guest.post(PREDICT, body, format="json").status_code == 400
    return world.guest.post(PREDICT, [], format="json")


@refused("bad_request", 400)
def a_query_that_makes_no_sense(world: World) -> Any:
    for query in ("status=won", "mine=perhaps", "task=%00"):
        assert world.anna.get(f"/api/v1/examples/?{query}").status_code == 400
    for number in ("x", "-1", "99999999999999999999"):
        assert world.guest.get(f"{TASK}leaderboard/?round={number}").status_code == 400
    return world.vera.post(f"{NEXT}?after=mine")


@refused("not_authenticated", 401)
def somebody_unknown(world: World) -> Any:
    response = world.guest.post(NEXT)
    assert response["WWW-Authenticate"] == "Token"
    return response


@refused("not_authenticated", 401)
def a_token_that_is_none(world: World) -> Any:
    return APIClient(headers={"authorization": "Token nonsense"}).get("/api/v1/tasks/")


@refused("not_authenticated", 401)
def somebody_banned(world: World) -> Any:
    User.objects.filter(pk=world.annotator.pk).update(banned_at=timezone.now())
    return world.anna.get("/api/v1/examples/")


@refused("not_authenticated", 401)
def a_guest_who_has_not_seen_the_page(world: World) -> Any:
    return world.guest.post(SUBMIT, sent())


@refused("page_out_of_date", 403)
def a_session_without_the_csrf_token(world: World) -> Any:
    body = {"input": cast.drawing(1)}
    script = APIClient(enforce_csrf_checks=True)
    script.credentials(HTTP_AUTHORIZATION=f"Token {create_token(user=world.annotator)}")
    assert script.post(PREDICT, body).status_code == 200
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(world.annotator)
    return browser.post(PREDICT, body)


@refused("too_many_requests", 429)
def who_is_too_fast(world: World) -> Any:
    with limits(**{"sandbox-predict": Door(person=Rate(1, 0.1), address=Rate(100, 100))}):
        assert world.guest.post(PREDICT, {"input": cast.drawing(1)}).status_code == 200
        response = world.guest.post(PREDICT, {"input": cast.drawing(1)})
    assert 1 <= int(response["Retry-After"]) <= 11
    return response


@refused("too_many_requests", 429)
def who_asks_too_fast_for_items_but_may_vote(world: World) -> Any:
    with limits(next=Door(person=Rate(1, 0.1), address=Rate(100, 100))):
        lease = world.lease()
        response = world.vera.post(NEXT)
        assert world.vera.post(vote(lease), {"label": "3"}).status_code == 200
    return response


@contextmanager
def limits(**changed: Door) -> Iterator[None]:
    before, settings.LIMITS = settings.LIMITS, {**settings.LIMITS, **changed}
    try:
        yield
    finally:
        settings.LIMITS = before


# --- models
def register(client: APIClient, **changes: Any) -> Any:
    return client.post(f"{TASK}models/", {"name": "coin", "backend": "null", **changes})


def owner_of(world: World) -> APIClient:
    client = APIClient()
    client.force_login(world.task.owners.get())
    return client


@refused("not_authenticated", 401)
def a_model_of_nobody(world: World) -> Any:
    return register(world.guest)


@refused("not_an_owner", 403)
def a_model_of_somebody_who_does_not_own_the_task(world: World) -> Any:
    return register(world.vera)


@refused("no_upload", 400)
def a_model_whose_file_was_not_sent(world: World) -> Any:
    return register(owner_of(world), backend="onnx", upload=str(uuid.uuid4()))


@refused("bad_model", 400)
def a_model_without_its_file(world: World) -> Any:
    return register(owner_of(world), backend="onnx")


@refused("bad_file", 400)
def a_model_that_is_no_base64(world: World) -> Any:
    return register(owner_of(world), backend="onnx", content="%")


@refused("model_unfit", 400)
def a_model_that_cannot_run(world: World) -> Any:
    return register(owner_of(world), backend="onnx", content="AAAA", labels=cast.DIGITS)


@refused("no_parent", 400)
def a_model_made_from_nothing(world: World) -> Any:
    return register(owner_of(world), parent="nobody")


@refused("name_taken", 409)
def a_model_of_a_name_that_is_there(world: World) -> Any:
    assert register(owner_of(world)).status_code == 201
    return register(owner_of(world))


# --- rounds
def plan(client: APIClient, **changes: Any) -> Any:
    body = {"model": "digits-1", "reason": "A shared task.", **changes}
    return client.post(f"{TASK}rounds/", body)


def change(client: APIClient, **changes: Any) -> Any:
    return client.patch(f"{TASK}rounds/1/", {"reason": "A shared task.", **changes})


@refused("bad_targets", 400)
def a_round_against_nobody(world: World) -> Any:
    return plan(owner_of(world), model="nobody")


@refused("bad_rules", 400)
def a_round_that_is_over_before_it_begins(world: World) -> Any:
    return plan(owner_of(world), closes_at="2020-01-01T00:00:00Z")


@refused("round_closed", 409)
def the_rules_of_a_round_that_is_over(world: World) -> Any:
    world.task.rounds.update(status="closed")
    return change(owner_of(world), submissions=5)


@refused("quota_reached", 409)
def more_than_a_round_takes(world: World) -> Any:
    assert change(owner_of(world), submissions_each=3).status_code == 200
    return world.anna.post(SUBMIT, sent())


@refused("not_retractable", 409)
def what_counts_for_good(world: World) -> Any:
    assert change(owner_of(world), retraction="never").status_code == 200
    uid = Example.objects.latest("pk").uid
    return world.anna.post(f"/api/v1/examples/{uid}/retract/")


# --- examples
@refused("no_open_round", 409)
def a_task_without_an_open_round(world: World) -> Any:
    world.task.rounds.update(status="closed")
    assert world.guest.post(PREDICT, sent()).json()["error"]["code"] == "no_open_round"
    return world.anna.post(SUBMIT, sent())


@refused("sign_in", 403)
def a_guest_where_there_is_no_sandbox(world: World) -> Any:
    cast.digits_task(slug="serious", sandbox=False)
    call, body = "/api/v1/tasks/serious/predictions/", {"input": cast.drawing(1)}
    assert world.anna.post(call, body).status_code == 200
    return world.guest.post(call, body)


@refused("no_live_model", 409)
def a_model_known_from_a_log_only(world: World) -> Any:
    world.task.models.update(backend="")
    return world.anna.post(SUBMIT, sent())


@refused("model_unusable", 503)
def a_model_whose_file_is_gone(world: World) -> Any:
    world.task.models.update(backend="onnx", artifact="gone.onnx", sha256="0" * 64)
    return world.guest.post(PREDICT, {"input": cast.drawing(1)})


def wrong_field(code: str, field: str, value: Any) -> None:
    """A submission with one field wrong, which is named in the refusal."""

    def case(world: World) -> Any:
        before = Example.objects.count()
        response = world.anna.post(SUBMIT, sent(**{field: value}))
        assert set(response.json()["error"]["fields"]) == {field}
        assert Example.objects.count() == before, "nothing was written"
        return response

    case.__name__ = f"{field} = {str(value)[:30]}"
    refused(code, 400)(case)


wrong_field("unknown_label", "label", "ten")
wrong_field("bad_request", "label", None)
wrong_field("bad_request", "client_id", "one")
wrong_field("bad_request", "input", None)
wrong_field("bad_request", "explanation", "x" * 2001)
wrong_field("no_context", "context", "It is a 7.")
wrong_field("bad_input", "input", {})
wrong_field("bad_base64", "input", {"png": "!"})
wrong_field("bad_image", "input", {"png": "AAAA"})
wrong_field("bad_pixels", "input", {"pixels": [2.0] * 784})
wrong_field("empty_drawing", "input", {"pixels": [0.0] * 784})
wrong_field("too_large", "input", {"png": "A" * 2_800_000})


@refused("client_id_reused", 409)
def a_client_id_with_another_label(world: World) -> Any:
    body = sent()
    assert world.anna.post(SUBMIT, body).status_code == 201
    return world.anna.post(SUBMIT, {**body, "label": "4"})


@refused("duplicate", 409)
def the_same_drawing_again(world: World) -> Any:
    assert world.anna.post(SUBMIT, sent()).status_code == 201
    return world.anna.post(SUBMIT, sent())


@refused("being_judged", 409)
def the_model_asked_about_what_is_judged(world: World) -> Any:
    world.lease()
    judged.forget()  # as after a second
    return world.wim.post(PREDICT, {"input": Lease.objects.get().example.input})


def sent_text(world: World, **changes: Any) -> Any:
    body = sent(input={"text": "Fine."}, label="yes", **changes)
    return world.anna.post("/api/v1/tasks/texts/examples/", body)


@refused("unknown_context", 400)
def a_context_that_the_server_never_gave(world: World) -> Any:
    cast.text_task()
    refusal = sent_text(world, context="It rains.").json()["error"]
    assert (refusal["code"], set(refusal["fields"])) == ("unknown_context", {"context"})
    return sent_text(world, context=str(uuid.uuid4()))


def about_rain(world: World, goal: str = "annotator") -> Callable[..., Any]:
    """Sends a hypothesis to one premise of a task with one try each."""
    rules = {"tries": 1, "goal": goal}
    task = cast.text_task(input="text_pair", labels=["yes", "no"], contexts=rules)
    context = task.contexts.create(data={"context": "It rains."}, sha256="1", offered=True)

    def send(said: str, label: str = "yes", **more: str) -> Any:
        body = sent(input={"hypothesis": said, **more}, label=label, context=str(context.uid))
        return world.anna.post("/api/v1/tasks/texts/examples/", body)

    return send


@refused("other_context", 400)
def an_input_about_another_context(world: World) -> Any:
    return about_rain(world)("It is wet.", context="It snows.")


@refused("no_tries_left", 409)
def a_try_too_many(world: World) -> Any:
    send = about_rain(world)
    assert send("It is wet.").status_code == 201
    return send("Nobody stays dry outside.")


@refused("quality", 400)
def a_text_that_is_too_short(world: World) -> Any:
    cast.text_task(quality={"min_words": 2})
    body = sent(input={"text": "Wet."}, label="yes")
    return world.anna.post("/api/v1/tasks/texts/examples/", body)


@refused("explanation_needed", 400)
def a_submission_that_does_not_say_why(world: World) -> Any:
    cast.text_task(explanation={"asked": "before", "required": True})
    return sent_text(world)


@refused("no_explanation", 400)
def an_explanation_where_none_is_asked_for(world: World) -> Any:
    cast.text_task(explanation={"asked": "never"})
    return sent_text(world, explanation="It is short.")


@refused("explanation_due", 409)
def another_submission_before_the_last_is_explained(world: World) -> Any:
    cast.text_task(explanation={"required": True, "of": "all"})
    sent_text(world)
    body = sent(input={"text": "Nobody stays dry outside."}, label="yes")
    return world.anna.post("/api/v1/tasks/texts/examples/", body)


@refused("daily_limit", 409)
def more_than_a_day_takes(world: World) -> Any:
    cast.text_task(daily=1)
    for text in ("It is wet.", "Nobody stays dry outside."):
        body = sent(input={"text": text}, label="yes")
        answer = world.anna.post("/api/v1/tasks/texts/examples/", body)
    return answer


@refused("not_your_context", 400)
def a_context_that_was_given_to_nobody(world: World) -> Any:
    return about_rain(world, goal="balanced")("It is wet.")


@refused("other_goal", 400)
def a_label_that_one_was_not_asked_for(world: World) -> Any:
    send = about_rain(world, goal="balanced")
    goal = world.anna.post("/api/v1/tasks/texts/contexts/next/").json()["goal"]
    return send("It is wet.", {"yes": "no", "no": "yes"}[goal])


@refused("not_comparable", 409)
def a_rule_that_cannot_compare_the_answers(world: World) -> Any:
    cast.text_task(input="passage_qa", comparator={"rule": "span_iou"})
    body = sent(input={"context": "It is fine.", "question": "How is it?"}, label="fine")
    return world.anna.post("/api/v1/tasks/texts/examples/", body)


# --- validating
@refused("not_a_validator", 403)
def an_annotator_who_asks_for_an_item(world: World) -> Any:
    return world.anna.post(NEXT)


@refused("quarantined", 403)
def a_validator_in_quarantine(world: World) -> Any:
    Reliability.objects.create(
        task=world.task, validator=world.validator, quarantined_at=timezone.now()
    )
    return world.vera.post(NEXT)


@refused("too_many_left", 403)
def a_validator_who_left_many_items(world: World) -> Any:
    Reliability.objects.create(task=world.task, validator=world.validator, passes=12)
    return world.vera.post(NEXT)


@refused("too_many_skips", 409)
def a_skip_too_many(world: World) -> Any:
    lease = world.lease()
    Reliability.objects.update(passes=6)
    return world.vera.post(f"/api/v1/validations/{lease}/release/", {"skip": True})


@refused("not_qualified", 403)
def a_validator_who_failed_the_test(world: World) -> Any:
    cast.digits_task(
        world.task.owners.get(),
        validation={"policy": "two_plus_one", "qualification": {"items": 1}},
    )
    Reliability.objects.create(task=world.task, validator=world.validator, gold_seen=1)
    return world.vera.post(NEXT)


@refused("bad_vote", 400)
def a_vote_that_says_nothing(world: World) -> Any:
    lease = world.lease()
    for body in ({"label": None}, {"label": "5", "flag": "spam"}):
        assert world.vera.post(vote(lease), body).json()["error"]["code"] == "bad_vote"
    return world.vera.post(vote(lease), {})


@refused("unknown_label", 400)
def a_vote_for_no_label(world: World) -> Any:
    return world.vera.post(vote(world.lease()), {"label": "ten"})


@refused("bad_request", 400)
def a_flag_that_is_none(world: World) -> Any:
    lease = world.lease()
    too_long = {"flag": "other", "reason": "x" * 1001}
    assert world.vera.post(vote(lease), too_long).json()["error"]["code"] == "bad_request"
    assert Lease.objects.get().ended_at is None, "who is refused still holds it"
    return world.vera.post(vote(lease), {"flag": "ugly"})


@refused("own_example", 403)
def a_vote_on_ones_own_example(world: World) -> Any:
    own = cast.submission(world.task, world.validator, 5)
    lease = Lease.objects.create(
        example=own,
        validator=world.validator,
        expires_at=timezone.now() + timedelta(hours=1),
    )
    return world.vera.post(vote(lease.pk), {"label": "5"})


@refused("lease_lost", 409)
def a_lease_that_ran_out(world: World) -> Any:
    lease = world.lease()
    Lease.objects.update(expires_at=timezone.now())
    address = f"/api/v1/validations/{lease}/heartbeat/"
    assert world.vera.post(address).json()["error"]["code"] == "lease_lost"
    return world.vera.post(vote(lease), {"label": "5"})


@refused("lease_lost", 409)
def somebody_elses_lease(world: World) -> Any:
    lease = world.lease()
    for foreign in (lease, uuid.uuid4()):
        for call in ("release", "heartbeat"):
            answer = world.wim.post(f"/api/v1/validations/{foreign}/{call}/")
            assert answer.json()["error"]["code"] == "lease_lost"
    return world.wim.post(vote(lease), {"label": "5"})


@refused("already_voted", 409)
def another_answer_under_the_same_lease(world: World) -> Any:
    lease = world.lease()
    for _ in range(2):
        assert world.vera.post(vote(lease), {"label": "5"}).status_code == 200
    return world.vera.post(vote(lease), {"label": "6"})


@refused("nothing_to_undo", 409)
def an_undo_with_nothing_behind_it(world: World) -> Any:
    return world.vera.post(UNDO)


@refused("not_the_last", 409)
def an_undo_of_an_answer_before_the_last(world: World) -> Any:
    first = world.lease()
    second = world.vera.post(vote(first), {"label": "5"}).json()["next"]["lease"]
    world.vera.post(vote(second), {"label": "5"})
    return world.vera.post(f"{UNDO}?answer={first}")


@refused("settled", 409)
def an_undo_of_what_is_settled(world: World) -> Any:
    lease = world.lease()
    example = Lease.objects.get(pk=lease).example
    world.vera.post(vote(lease), {"label": example.label})
    world.wim.post(vote(world.wim.post(NEXT).json()["lease"]), {"label": example.label})
    return world.vera.post(UNDO)


@refused("withdrawn", 409)
def an_undo_of_what_was_taken_out(world: World) -> Any:
    lease = world.lease()
    uid = Lease.objects.get(pk=lease).example.uid
    world.vera.post(vote(lease), {"label": "5"})
    world.anna.post(f"/api/v1/examples/{uid}/retract/")
    return world.vera.post(UNDO)


@refused("settled", 409)
def an_undo_of_what_somebody_is_asked_because_of(world: World) -> Any:
    lease = world.lease()
    example = Lease.objects.get(pk=lease).example
    world.vera.post(vote(lease), {"label": example.label})
    other = "0" if example.label != "0" else "1"
    world.wim.post(vote(world.wim.post(NEXT).json()["lease"]), {"label": other})
    third = APIClient()
    third.force_login(cast.person("xena", "validator"))
    assert third.post(NEXT).json()["example"] == str(example.uid), "where two differ comes first"
    return world.vera.post(UNDO)


@refused("cannot_say", 409)
def why_of_a_model_that_cannot_say(world: World) -> Any:
    return world.anna.get(f"/api/v1/examples/{Example.objects.latest('pk').uid}/why/")


@refused("still_judged", 409)
def why_of_what_validators_are_asked_about(world: World) -> Any:
    ada = APIClient()
    ada.force_login(cast.person("ada", "admin"))
    return ada.get(f"/api/v1/examples/{Example.objects.latest('pk').uid}/why/")


@refused("no_judge", 409)
def a_judge_that_people_try_to_fool(world: World) -> Any:
    caller = APIClient()
    caller.force_login(cast.person("ada", "admin"))
    return caller.post(f"{TASK}judges/", {"model": "digits-1"})


@refused("too_few", 409)
def a_test_of_a_judge_on_too_few(world: World) -> Any:
    caller = APIClient()
    caller.force_login(cast.person("ada", "admin"))
    named = {"model": cast.fixed_model(world.task, 1).name, "test": True}
    return caller.post(f"{TASK}judges/", named)


def test_each_refusal_has_its_code_and_status(world: World) -> None:
    """Each in a block that is rolled back: none knows of the one before it."""
    surprises = []
    for code, status, case in CASES:
        block = transaction.atomic()
        block._from_testcase = True  # type: ignore[attr-defined]  # as TestCase, for durable blocks
        with block:
            try:
                found = error_of(case(world), status)["code"]
            except AssertionError as error:
                found = str(error)
            transaction.set_rollback(True)
        if found != code:
            surprises.append(f"{case.__name__}: {found}, not {code}")
    assert not surprises, "\n".join(surprises)


# --- what fails by itself -------------------------------------------------------------------------
@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"{} {}",
        b'{"input": NaN}',
        b'{"input": 1e999}',
        b'{"input": "\\u0000"}',
        b'{"input": {"\\ud800": 1}}',
        b'{"input": ' + b"[" * 100_000,
        b'{"input": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"input": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_json_is_refused(db: None, task: Task, guest: APIClient, body: bytes) -> None:
    response = guest.post(PREDICT, body, content_type="application/json")

    assert error_of(response, 400)["code"] == "bad_request"


def test_a_body_beyond_the_limit_is_refused_unread(
    task: Task, guest: APIClient, settings: Any
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1024**2
    body = b'{"input": "' + b"x" * 1024**2 + b'"}'

    response = guest.post(PREDICT, body, content_type="application/json")

    assert error_of(response, 413) == {
        "code": "too_large",
        "message": "A request may have at most 1 MiB.",
    }


def away(*_: object) -> None:
    raise OperationalError("the connection was closed")


def mistaken(*_: object) -> None:
    raise RuntimeError("a secret")


@pytest.mark.parametrize(
    ("fail", "code", "status"), [(mistaken, "server_error", 500), (away, "unavailable", 503)]
)
def test_a_failure_is_told_without_its_details(
    task: Task, guest: APIClient, monkeypatch: pytest.MonkeyPatch, fail: Any, code: str, status: int
) -> None:
    monkeypatch.setattr("annotate.statements.visible_task", fail)
    guest.raise_request_exception = False

    response = guest.get(TASK)

    assert error_of(response, status)["code"] == code
    assert response.get("Retry-After") == (None if status == 500 else "2")
    assert b"secret" not in response.content


@pytest.mark.parametrize("path", ["/", "/api/v1/tasks/"])
def test_while_the_database_is_away_everybody_is_told_in_their_way(
    path: str, annotator: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it fails before the view: here while the session is read."""
    client.force_login(annotator)
    monkeypatch.setattr("accounts.sessions.SessionStore.load", away)
    client.raise_request_exception = False

    response = client.get(path)

    assert response.status_code == 503
    assert response["Retry-After"] == "2"
    assert b"does not answer" in response.content


@refused("no_base_data", 409)
def a_retraining_of_what_was_not_trained_here(world: World) -> Any:
    ada = APIClient()
    ada.force_login(cast.person("ada", "admin"))
    return ada.post(f"{TASK}runs/")


@refused("not_training", 409)
def a_stop_of_a_run_that_has_ended(world: World) -> Any:
    return _of_an_ended_run(world, "stop")


@refused("not_newest", 409)
def a_recipe_of_a_run_that_came_to_nothing(world: World) -> Any:
    return _of_an_ended_run(world, "choose", recipe=0)


def _of_an_ended_run(world: World, act: str, **body: Any) -> Any:
    ada = APIClient()
    ada.force_login(cast.person("ada", "admin"))
    target = open_target(world.task.pk)
    assert target is not None
    run = TrainingRun.objects.create(
        task=world.task,
        round=target.round,
        parent=target.models[0],
        status=TrainingRun.Status.FAILED,
    )
    return ada.post(f"{TASK}runs/{run.uid}/{act}/", body)


# --- all of them ----------------------------------------------------------------------------------
# Reached by a model that is made to hang, in tests/outages/test_models.py, or answers nonsense, in
# tests/outages/test_remote_models.py.
OF_A_HANGING_MODEL = {"busy", "late", "model_unavailable", "no_answer", "used_up"}
# Told as sentences, by pages of owners and of one's account and by commands.
TOLD = {
    "already_serving", "already_training", "bad_id", "bad_language", "bad_line", "bad_row",
    "label_in_use", "version_moved",
    "bad_task_file", "bad_user", "decided", "input_kind_fixed", "is_admin", "is_owner",
    "last_admin",
    "chat_went_on",  # by a race: tests/annotate/test_chats.py
    "no_example", "no_learner", "no_path", "no_picture", "no_round",
    "no_second_factor", "no_such_owner", "nobody_trains", "not_an_account",
    "not_choosable", "not_trainable",
    "nothing_chosen", "nothing_verified", "other_content", "other_vote", "real_person",
    "reason_missing", "retired", "taken_back", "too_many", "too_many_tokens", "unknown_act",
    "unknown_answer", "unknown_flag", "unknown_prediction", "unknown_role", "yourself",
    # Of comparisons, regions, judges, rehearsals and releases.
    "already_looking", "asked_already", "bad_hint", "not_confirmed", "nothing_made",
    "nothing_makes_up", "bad_source", "free_answers", "no_data", "no_model", "no_script", "stopped",
    "no_cluster", "no_ray",
    "bad_version", "being_released", "nothing_to_release", "old_version", "personal_data",
    "admitted", "another_judge",
    "nothing_there", "other_columns", "published", "there_already",
    "unknown_decision", "unknown_set", "version_taken",
    # On the pages of a link and of its campaign: tests/crowd.
    "bad_campaign_file", "bad_currency", "bad_link", "bad_places", "bad_state", "bad_status",
    "codes_missing", "consent", "ended", "no_study", "other_study",
    "at_work", "fewer_places", "full", "link_too_old", "money_to_come", "money_under_way",
    "forgotten", "no_csv", "no_file", "no_payment", "no_such_step", "no_task", "no_visit",
    "not_done", "not_finished",
    "not_invited", "not_signed", "not_your_work", "opened_elsewhere", "other_task",
    "over_budget", "paused", "placeholder_left", "platform_away", "refused_lines",
    "bad_time", "more_than_taken", "not_named", "other_time",
    "other_terms", "slot_taken", "slug_taken", "terms_fixed", "too_late", "took_part",
    "under_the_floor", "visit_over",
    "wrong_platform",
}  # fmt: skip
_SAYS_NO = re.compile(
    r'(?:Refused|Conflict|InputError|Unreachable|super\(\).__init__)\(\s*"([a-z_]+)"'
    r'|"code": "([a-z_]+)"'
)


def test_every_code_in_the_source_is_reached() -> None:
    """A new way to say no gets a case here, a frame in test_frames, or is told on a page."""
    root = Path(settings.BASE_DIR)
    apart = {"tests", "benchmarks", "findings", "client"}
    found = set()
    for file in root.glob("[a-z]*/**/*.py"):
        if file.relative_to(root).parts[0] not in apart:
            for match in _SAYS_NO.finditer(file.read_text(encoding="utf-8")):
                found.add(match[1] or match[2])
    of_calls = {code for code, _, _ in CASES} | {"server_error", "unavailable"}
    of_sockets = set(FRAME_CODES)

    reached = of_calls | of_sockets | OF_A_HANGING_MODEL | TOLD
    assert found - reached == set(), "codes that no test here reaches"
    assert TOLD - found - {"unknown_answer", "unknown_prediction"} == set(), "codes that are gone"
    assert TOLD & (of_calls | of_sockets) == set()
