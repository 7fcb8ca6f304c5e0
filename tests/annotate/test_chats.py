"""Chats: whose they are, one turn at a time, and what becomes of one that is submitted."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import Event, User
from annotate import chats, rounds, submissions
from annotate.inference import LiveModel
from annotate.models import Barred, Chat, ChatTurn, Example, ModelVersion, Task
from annotate.own_work import own_data
from annotate.queries import Participant
from core.doors import OFF
from core.errors import Refused
from core.strict_yaml import NotYaml
from core.transactions import durable
from tests import acts, cast
from tests.races import at_once, meeting_once, without

pytestmark = pytest.mark.django_db(transaction=True)
RULE = {"contains": "Otter  SEVEN", "outcome": "harmful"}


@pytest.fixture
def talks(owner: User, settings: Any) -> Task:
    settings.LIMITS = OFF
    return cast.chat_task(owner, chat={"turns": 3, "tokens": 1_000, "characters": 100})


class Caller:
    """Somebody who calls the API, and gets the answer's body, or its code."""

    def __init__(self, user: User) -> None:
        self._client = APIClient()
        self._client.force_login(user)

    def __call__(self, method: str, path: str, **body: Any) -> Any:
        answer = getattr(self._client, method)(f"/api/v1/{path}", body or None, format="json")
        told = answer.json()
        return told["error"]["code"] if answer.status_code >= 400 else told


def submission(chat: Chat | str, label: str = "harmful") -> dict[str, Any]:
    uid = chat if isinstance(chat, str) else str(chat.uid)
    return {"client_id": str(uuid.uuid4()), "input": {"chat": uid}, "label": label}


def test_a_chat_is_its_authors_and_its_transcript_the_servers(
    talks: Task, annotator: User, other_annotator: User, validator: User, owner: User
) -> None:
    anna, bert, olive = map(Caller, (annotator, other_annotator, owner))
    uid = anna("post", "tasks/chats/chats/")["chat"]
    assert anna("post", "tasks/chats/chats/") == {"chat": uid}, "nothing was said in it yet"
    said = anna("post", f"chats/{uid}/turns/", content="<b>Hi</b>", turn=1)
    assert (said["turn"], said["content"]) == (1, "You said: <b>Hi</b>")
    assert anna("post", f"chats/{uid}/turns/", content="<b>Hi</b>", turn=1) == said
    assert anna("post", f"chats/{uid}/turns/", content="Hello", turn=1) == "turn_taken"
    assert anna("post", f"chats/{uid}/turns/", content="Hello", turn=3) == "bad_turn"
    assert anna("post", f"chats/{uid}/turns/", content="And now?")["turn"] == 2
    assert anna("get", f"chats/{uid}/")["turns_left"] == 1
    for other in (bert, olive):
        assert other("get", f"chats/{uid}/") == "not_found"
        assert other("post", f"chats/{uid}/turns/", content="Mine") == "not_found"
        assert other("post", "tasks/chats/examples/", **submission(uid)) == "not_found"
    assert anna("post", "tasks/chats/predictions/", input={"chat": uid}) == "bad_input"

    forged = {"turns": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    sent = submission(uid)
    assert anna("post", "tasks/chats/examples/", **{**sent, "input": forged}) == "bad_input"
    made = anna("post", "tasks/chats/examples/", **sent)
    assert (made["prediction"], made["probabilities"], made["fooled"]) == ("acceptable", None, True)
    assert anna("post", "tasks/chats/examples/", **sent) == made
    assert anna("post", "tasks/chats/examples/", **{**sent, "label": "acceptable"}) == (
        "client_id_reused"
    )
    assert anna("post", "tasks/chats/examples/", **submission(uid)) == "chat_submitted"
    assert anna("post", f"chats/{uid}/turns/", content="More") == "chat_submitted"
    assert anna("get", f"chats/{uid}/")["open"] is False
    example = Example.objects.get()
    assert (example.chat.uid, example.probes) == (uuid.UUID(uid), 2)
    assert [turn["content"] for turn in example.input["turns"]] == [
        "<b>Hi</b>", "You said: <b>Hi</b>", "And now?", "You said: And now?",
    ]  # fmt: skip

    vera = Caller(validator)
    item = vera("post", "tasks/chats/validations/next/")
    assert [set(turn) for turn in item["input"]["turns"]] == [{"role", "content"}] * 4
    assert "harmful" not in str({**item, "choices": None}), "the author's outcome shows nowhere"


def test_the_same_words_said_again_are_a_copy(talks: Task, annotator: User) -> None:
    anna = Caller(annotator)
    for expected in ("harmful", "duplicate"):
        chat = cast.chatted(talks, annotator, "Tell me!")
        made = anna("post", "tasks/chats/examples/", **submission(chat))
        assert expected in (made, Example.objects.get().label)


def test_a_round_counts_turns_and_tokens_to_break_the_model_and_what_it_cost(
    talks: Task, annotator: User, owner: User
) -> None:
    """What nobody submitted is paid for, too."""
    anna, model = Caller(annotator), talks.models.get()
    ModelVersion.objects.filter(pk=model.pk).update(config={**model.config, "price": 500})
    broke = cast.chatted(talks, annotator, "Tell me!", "Do!")
    made = anna("post", "tasks/chats/examples/", **submission(broke))
    other = cast.chatted(talks, annotator, "Hello")
    spammer = cast.person("spammer")
    spam = cast.chatted(talks, spammer, "Hello")
    Barred.objects.create(task=talks, person=spammer)  # who submitted nothing
    for chat, tokens in ((broke, 100), (other, 300), (spam, 5_000)):
        chat.turns.update(tokens=tokens)
    acts.adjudicate(
        actor=owner,
        example_id=Example.objects.get(uid=made["id"]).pk,
        status="verified",
        reason="So it is.",
    )
    cost = anna("get", "tasks/chats/rounds/1/")["cost"]
    assert cost["talk"] == {
        "turns": {"mean": 2, "median": 2},
        "tokens": {"mean": 200, "median": 200},
        "tokens_each": 500,
        "money_each": 0.25,
    }


@pytest.mark.parametrize(
    ("content", "code"),
    [(" \n", "bad_input"), ("x" * 101, "too_long"), ("\ud800", "bad_input"), (7, "bad_input")],
)
def test_what_is_no_turn_is_refused(
    talks: Task, annotator: User, content: object, code: str
) -> None:
    chat = cast.chatted(talks, annotator)
    with pytest.raises(Refused) as refused:
        chats.begin_turn(participant=Participant(user=annotator), uid=chat.uid, content=content)
    assert refused.value.code == code
    assert not ChatTurn.objects.exists()


def test_a_chat_ends_with_its_turns_its_tokens_its_round_and_its_authors_standing(
    talks: Task, owner: User, annotator: User
) -> None:
    anna = Caller(annotator)
    path = f"chats/{cast.chatted(talks, annotator, 'One', 'Two', 'Three').uid}/turns/"
    assert anna("post", path, content="Four") == "no_turns_left"
    ChatTurn.objects.filter(number=3).delete()
    ChatTurn.objects.filter(number=2).update(tokens=1_000)
    assert anna("post", path, content="Three") == "no_tokens_left"
    ChatTurn.objects.update(tokens=None)
    barred = Barred.objects.create(task=talks, person=annotator)
    assert anna("post", path, content="Three") == "banned"
    barred.delete()
    assert anna("post", path, content="Three")["turn"] == 3
    ChatTurn.objects.filter(number=3).delete()
    talks.rounds.update(status="closed")
    assert anna("post", path, content="Three") == "no_open_round"
    assert anna("post", "tasks/chats/chats/") == "no_open_round"
    cast.digits_task(owner)
    assert anna("post", "tasks/digits/chats/") == "no_chat"


@pytest.mark.parametrize("next_one", [True, False])
def test_a_chat_that_a_round_leaves_behind_can_be_submitted_to_it_for_an_hour(
    talks: Task, annotator: User, next_one: bool
) -> None:
    anna, first = Caller(annotator), talks.rounds.get()
    uids = [str(cast.chatted(talks, annotator, said).uid) for said in ("Ducks", "A boat", "Snow")]
    if next_one:
        cast.opened(talks, first.targets.get())
    else:
        with durable():
            rounds.close_open(talks)
    refusal = "round_changed" if next_one else "no_open_round"
    assert anna("post", f"chats/{uids[0]}/turns/", content="More") == refusal
    told = anna("get", f"chats/{uids[0]}/")
    assert (told["open"], told["submittable"]) == (False, True)
    made = anna("post", "tasks/chats/examples/", **submission(uids[0]))
    assert (made["round"], made["fooled"]) == (1, True)
    assert anna("get", f"chats/{uids[0]}/")["submittable"] is False
    assert anna("post", "tasks/chats/examples/", **submission(uids[0])) == "chat_submitted"
    Barred.objects.create(task=talks, person=annotator)
    assert anna("post", "tasks/chats/examples/", **submission(uids[1])) == "banned"
    Barred.objects.all().delete()
    talks.rounds.filter(number=1).update(closed_at=timezone.now() - chats.LATE)
    assert anna("post", "tasks/chats/examples/", **submission(uids[2])) == refusal
    assert anna("get", f"chats/{uids[2]}/")["submittable"] is False


def test_who_submits_turns_that_they_did_not_see_is_told(talks: Task, annotator: User) -> None:
    """Another page of theirs went on with it."""
    anna, uid = Caller(annotator), str(cast.chatted(talks, annotator, "One", "Two").uid)
    sent = submission(uid)
    one_turn = {**sent, "input": {"chat": uid, "turns": 1}}
    assert anna("post", "tasks/chats/examples/", **one_turn) == "chat_went_on"
    both = {**sent, "input": {"chat": uid, "turns": 2}}
    made = anna("post", "tasks/chats/examples/", **both)
    assert made["fooled"]
    assert anna("post", "tasks/chats/examples/", **both) == made


@pytest.mark.parametrize("rule", [RULE, {"matches": r"(?i)\bs\w+n$", "outcome": "harmful"}])
def test_a_rule_says_the_outcome_where_the_task_has_one(
    owner: User, annotator: User, rule: dict[str, str]
) -> None:
    task = cast.chat_task(owner, chat={"rule": rule})
    anna, chat = Caller(annotator), cast.chatted(task, annotator, "Hello")
    assert anna("post", "tasks/chats/examples/", **submission(chat)) == "other_outcome"
    said = anna("post", f"chats/{chat.uid}/turns/", content="ＯＴＴＥＲ seven")
    assert said["outcome"] == "harmful"
    assert anna("get", f"chats/{chat.uid}/")["outcome"] == "harmful"
    assert anna("post", f"chats/{chat.uid}/turns/", content="Hello", turn=1)["outcome"] == (
        "acceptable"
    )
    made = anna("post", "tasks/chats/examples/", **submission(chat, "acceptable"))
    assert made == "other_outcome"
    assert anna("post", "tasks/chats/examples/", **submission(chat))["fooled"] is True


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({}, "contains or matches"),
        ({"contains": "a", "matches": "a"}, "contains or matches"),
        ({"matches": "(otter"}, "missing \\)"),
        ({"matches": "(a{500}b{500}){500}"}, "chat.rule: matches: "),
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused(
    owner: User, rule: dict[str, str], says: str
) -> None:
    with pytest.raises(NotYaml, match=says):
        cast.chat_task(owner, chat={"rule": {"outcome": "harmful", **rule}})


def test_the_rule_does_not_tell_a_validator_what_came_of_what_they_judge(
    owner: User, annotator: User, validator: User
) -> None:
    """They read the chat, and could say the same to the model: the rule's word is the claim."""
    task = cast.chat_task(owner, chat={"rule": RULE})
    chat = cast.chatted(task, annotator, "Hello", "Otter seven, then")
    Caller(annotator)("post", "tasks/chats/examples/", **submission(chat))
    cast.lease_for(validator, task)
    vera, again = Caller(validator), cast.chatted(task, validator, "Hello")
    turns = f"chats/{again.uid}/turns/"
    assert vera("post", turns, content="otter seven,  then") == "being_judged"
    asked = Event.objects.get(verb="asked_about_judged")
    assert (asked.actor, asked.data["holds_it"]) == (validator, True)
    assert vera("post", turns, content="What else do you know?")["outcome"] == "acceptable"


# --- at the same moment ---------------------------------------------------------------------------
def say(author: User, chat: Chat, content: str, number: int | None = None) -> ChatTurn:
    begun = chats.begin_turn(
        participant=Participant(user=author), uid=chat.uid, content=content, number=number
    )
    return chats.ask(begun) if isinstance(begun, chats.Asked) else begun


def codes(outcomes: list[Any]) -> list[str]:
    return [one.code if isinstance(one, Refused) else "said" for one in outcomes]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the model was asked last, each time."""
    seen: list[str] = []
    ask = LiveModel.answer_to

    def counted(self: LiveModel, messages: Any) -> Any:
        seen.append(messages[-1]["content"])
        return ask(self, messages)

    monkeypatch.setattr(LiveModel, "answer_to", counted)
    return seen


def test_of_two_turns_at_once_one_is_asked(talks: Task, annotator: User, asked: list[str]) -> None:
    chat = cast.chatted(talks, annotator)
    words = ["One", "Another"]
    found = at_once([lambda said=said: say(annotator, chat, said, 1) for said in words])
    assert sorted(codes(found)) in (["said", "turn_under_way"], ["said", "turn_taken"])
    turn = ChatTurn.objects.get()
    assert [f"You said: {said}" for said in asked] == [turn.answer]

    at_once([lambda: say(annotator, chat, "The same", 2)] * 3)
    assert asked.count("The same") == 1
    assert say(annotator, chat, "The same", 2).answer == "You said: The same"


def test_without_its_lock_and_constraints_both_would_be(
    talks: Task, annotator: User, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite lets one write at a time whatever is locked")
    monkeypatch.setattr(chats, "_lock", lambda who, chat: chats.own_chat(who, chat.uid))
    chat = cast.chatted(talks, annotator)
    monkeypatch.setattr(chats, "turns_of", meeting_once(2, chats.turns_of))
    with (
        without(ChatTurn, "turn_number_once_per_chat"),
        without(ChatTurn, "one_open_turn_per_chat"),
    ):
        at_once([lambda said=said: say(annotator, chat, said, 1) for said in ("One", "Another")])
        assert len(asked) == 2


def test_a_turn_while_it_is_submitted_is_in_the_example_or_nowhere(
    talks: Task, annotator: User
) -> None:
    for number in range(4):
        chat = cast.chatted(talks, annotator, f"The {number}th, and something of its own")
        sent = submission(chat)

        def submit(chat: Chat = chat, sent: Any = sent) -> Any:
            return submissions.submit(
                participant=Participant(user=annotator),
                task_id=talks.pk,
                client_id=uuid.UUID(sent["client_id"]),
                input=sent["input"],
                label="harmful",
            )

        def go_on(chat: Chat = chat) -> ChatTurn:
            return say(annotator, chat, "And on")

        submitted, went_on = at_once([submit, go_on])
        turns = list(ChatTurn.objects.filter(chat=chat).order_by("number"))
        assert all(turn.answer is not None for turn in turns)
        if isinstance(submitted, Refused):
            assert submitted.code in ("turn_under_way", "chat_went_on")
            assert len(turns) == 2
        else:
            said = submitted.example.input["turns"][1::2]
            assert [turn.answer for turn in turns] == [one["content"] for one in said]
            assert len(turns) == (1 if isinstance(went_on, Refused) else 2)


# --- what comes to nothing ------------------------------------------------------------------------
def test_a_turn_that_came_to_nothing_is_asked_again_or_said_otherwise_or_left(
    talks: Task, annotator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, who = cast.chatted(talks, annotator, "Before"), Participant(user=annotator)
    answers = LiveModel.answer_to

    def fails(*_: Any) -> Any:
        raise Refused("no_answer", "None.", status=503)

    monkeypatch.setattr(LiveModel, "answer_to", fails)
    with pytest.raises(Refused, match="None"):
        say(annotator, chat, "Once", 2)
    begun = chats.begin_turn(participant=who, uid=chat.uid, content="Once more", number=2)
    assert isinstance(begun, chats.Asked)
    assert [one["content"] for one in begun.messages] == ["Before", "You said: Before", "Once more"]
    sent = {"participant": who, "task_id": talks.pk, "label": "harmful"}
    sent |= {"client_id": uuid.uuid4(), "input": {"chat": str(chat.uid)}}
    with pytest.raises(Refused, match="wait for it"):
        submissions.submit(**sent)
    # Its process died: when the claim has run out somebody else asks, and is not overwritten.
    ChatTurn.objects.filter(number=2).update(claimed_until=timezone.now() - timedelta(seconds=1))
    monkeypatch.setattr(LiveModel, "answer_to", answers)
    assert say(annotator, chat, "Once more", 2).answer == "You said: Once more"
    late = chats._end(begun, chats.Turn("Too late", "stop", 1))
    assert late.answer == "You said: Once more"

    monkeypatch.setattr(LiveModel, "answer_to", fails)
    with pytest.raises(Refused, match="None"):
        say(annotator, chat, "Never answered", 3)
    example = submissions.submit(**sent).example
    assert len(example.input["turns"]) == 4
    assert ChatTurn.objects.count() == 2


def test_what_nobody_submits_is_ones_own_for_a_month(talks: Task, annotator: User) -> None:
    kept, old = cast.chatted(talks, annotator, "Yesterday"), cast.chatted(talks, annotator, "Once")

    async def download() -> str:
        return "".join([line async for line in own_data(annotator)])

    assert '"said": "Once"' in async_to_sync(download)()
    Chat.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=31))
    assert chats.forget_abandoned() == 1
    assert list(Chat.objects.all()) == [kept]
    assert ChatTurn.objects.get().content == "Yesterday"
