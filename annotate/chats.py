"""Chats with a round's model: the server holds each, turn by turn, until it is submitted.

A turn is stored under its number before the model is asked, and asked under a claim that runs out.
One that came to nothing, or whose asker died, is asked again under the same number: nothing is
lost, and no turn is answered twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db.models import QuerySet
from django.utils import timezone

from annotate import judged
from annotate.body import turn_body
from annotate.config import TaskFile
from annotate.inference import LiveModel, live_model
from annotate.models import Chat, ChatTurn, Example, Round, Task
from annotate.queries import Participant, Target, is_barred, no_open_round, open_target, target_in
from annotate.standing import banned, require_sandbox, require_standing
from core.bridge import in_database_thread
from core.errors import Conflict, Refused
from core.looks import is_blank
from core.strict_json import NotJson, check_storable
from core.transactions import durable
from ml.backends import Heard, Turn

GRACE: Final = 2.0  # seconds between the end of somebody's patience and that of their claim
LATE: Final = timedelta(hours=1)  # that a chat can be submitted after its round
KEPT: Final = timedelta(days=30)  # that a chat is not submitted
PER_TOKEN: Final = 4  # characters, for models whose servers tell no tokens


class UnderWay(Conflict):
    """The model is being asked: the same turn again in `retry_ms` finds its answer."""

    retry_ms = 1_000

    def __init__(self) -> None:
        super().__init__("turn_under_way", "The model is answering: wait for it.")


@dataclass(frozen=True)
class Asked:
    """A stored turn that this caller, and nobody else, may ask the model for until `claim` ends."""

    turn: ChatTurn
    claim: uuid.UUID
    messages: Sequence[dict[str, str]]
    engine: LiveModel


# --- reading --------------------------------------------------------------------------------------
def own_chat(participant: Participant, uid: object) -> Chat:
    """One's own chat, with its round and task; Refused where it is nobody's or another's."""
    found = _own(participant).filter(uid=_uuid(uid)).first()
    if found is None:
        raise _no_such_chat()
    return found


def _uuid(raw: object) -> uuid.UUID:
    """The id that somebody means; one that nothing has where it is none."""
    with suppress(ValueError):
        return uuid.UUID(str(raw))
    return uuid.UUID(int=0)


def _own(participant: Participant) -> QuerySet[Chat]:
    chats = Chat.objects.select_related("round__task__config", "model")
    if participant.user is None:
        return chats.filter(session=participant.session)
    chats, link = chats.filter(author=participant.user), participant.user.by_link
    # Nobody is on two visits at once.
    return chats.filter(created_at__gte=link.session.started_at) if link else chats


def _no_such_chat() -> Refused:
    return Refused("not_found", "There is no such chat of yours.", status=404)


def is_open(chat: Chat) -> bool:
    """Whether it may go on."""
    return chat.example_id is None and _takes_turns(chat.round)


def is_submittable(chat: Chat) -> bool:
    """Whether it may be submitted, as far as time goes: its round may have no room by then."""
    return chat.example_id is None and _takes_ended(chat.round)


def _takes_turns(round_: Round) -> bool:
    return round_.status == Round.Status.OPEN and not round_.is_over


def _takes_ended(round_: Round) -> bool:
    """Whether a chat can be submitted to it: for a time after its end, too, for what came of the
    model that it was against is as it was."""
    ended = round_.closed_at or (round_.closes_at if round_.is_over else None)
    return _takes_turns(round_) or (ended is not None and timezone.now() - ended < LATE)


def late_target(participant: Participant, task_id: int, input: object) -> Target | None:
    """What a chat is submitted to while no round is open: its own round, for a time."""
    uid = input.get("chat") if isinstance(input, dict) else None
    if uid is None:
        return None
    chat = _own(participant).filter(uid=_uuid(uid), round__task=task_id).first()
    return target_in(chat.round) if chat and _takes_ended(chat.round) else None


def turns_of(chat: Chat) -> list[ChatTurn]:
    return list(chat.turns.order_by("number"))


def file_of(chat: Chat) -> TaskFile:
    config = chat.round.task.config
    assert config is not None
    return config.file


def outcome_of(file: TaskFile, answers: Sequence[str | None]) -> str | None:
    """What the task's rule says came of a chat with these answers; None where people say it."""
    rule = file.chat.rule
    if rule is None:
        return None
    return rule.outcome if any(rule.is_said(said or "") for said in answers) else file.claim


def answer_body(turn: ChatTurn) -> dict[str, Any]:
    """An answered turn as it travels; two queries where the task has a rule."""
    file = file_of(turn.chat)
    said = turn.chat.turns.filter(number__lte=turn.number) if file.chat.rule else ()
    outcome = outcome_of(file, [one.answer for one in said])
    return turn_body(turn, left=max(file.chat.turns - turn.number, 0), outcome=outcome)


# --- opening --------------------------------------------------------------------------------------
def open_chat(*, participant: Participant, task: Task) -> Chat:
    """Begin a chat with the open round's model, or with the one that this person meets of several.

    One that was begun and has no turn yet is given again.
    """
    target = open_target(task.pk)
    if target is None:
        raise no_open_round(task.pk)
    _require_may_chat(participant, target)
    unused = _own(participant).filter(round=target.round, turns=None).first()
    return unused or Chat.objects.create(
        round=target.round,
        model=target.models_for(participant.key)[0],
        author=participant.user,
        session=None if participant.user else participant.session,
    )


def _submitted() -> Conflict:
    return Conflict("chat_submitted", "This chat was submitted: begin a new one.")


def _require_may_chat(participant: Participant, target: Target) -> None:
    file = target.config.file
    if not file.kind.talks:
        raise Refused("no_chat", f"Nobody chats here: this task takes {file.kind.words.things}.")
    if participant.user is None:
        require_sandbox(file)
        return
    require_standing(participant.user)
    if is_barred(participant.user, target.task):
        raise banned()


# --- one turn -------------------------------------------------------------------------------------
def begin_turn(
    *, participant: Participant, uid: object, content: object, number: int | None = None
) -> ChatTurn | Asked:
    """Store one's next turn, and claim to ask the model for its answer; or the answered turn.

    The same number with the same content is the same turn. Without a number it is the one that
    waits for an answer, or the next. While nobody asks, a turn that waits may be said otherwise.
    Refused, and recorded, where all that was said is what somebody judges: a task's rule would say
    what came of it.
    """
    chat = own_chat(participant, uid)
    content = _content(file_of(chat), content)
    try:
        return _begin_turn(participant, chat, content, number)
    except judged.BeingJudged as refused:
        judged.record(refused, participant.user)
        raise


def _begin_turn(
    participant: Participant, chat: Chat, content: str, number: int | None
) -> ChatTurn | Asked:
    engine = live_model(chat.model, file_of(chat).kind)
    with durable():
        chat = _lock(participant, chat)
        turns = turns_of(chat)
        waiting = next((turn for turn in turns if turn.answer is None), None)
        due = len(turns) + (waiting is None)
        number = due if number is None else number
        if number != due:
            turn = _answered(turns, number, content, due)
            turn.chat = chat
            return turn
        _require_open(participant, chat)
        _require_room(file_of(chat), turns, number)
        if waiting is not None:
            _require_unclaimed(waiting)
        said = messages([one for one in turns if one.answer is not None])
        said.append({"role": "user", "content": content})
        _require_not_judged(participant, chat, said[::2])
        turn = waiting or ChatTurn(chat=chat, number=number)
        turn.content, turn.claim = content, uuid.uuid4()
        turn.claimed_until = timezone.now() + timedelta(seconds=engine.patience + GRACE)
        turn.save()
    return Asked(turn, turn.claim, said, engine)


def ask(asked: Asked) -> ChatTurn:
    """Ask the model, for a thread that has a connection; Refused where it does not answer."""
    try:
        said = asked.engine.answer_to(asked.messages)
    except BaseException:
        _give_up(asked)
        raise
    return _end(asked, said)


async def ask_aloud(asked: Asked, heard: Heard) -> ChatTurn:
    """The same on the event loop; `heard` gets the answer piece by piece."""
    try:
        said = await asked.engine.turn(asked.messages, heard)
    except BaseException:
        await in_database_thread(_give_up, asked)
        raise
    return await in_database_thread(_end, asked, said)


def _content(file: TaskFile, content: object) -> str:
    if not isinstance(content, str) or is_blank(content):
        raise Refused("bad_input", "Say something: content is a text.", fields={"content": "none"})
    if len(content) > file.chat.characters:
        raise Refused("too_long", f"Say it in {file.chat.characters:,} characters or fewer.")
    try:
        check_storable(content)
    except NotJson as error:
        raise Refused("bad_input", str(error)) from error
    return content


def _lock(participant: Participant, chat: Chat) -> Chat:
    """The chat, locked: turns and its submission come one by one."""
    locked = _own(participant).select_for_update(no_key=True, of=("self",)).filter(pk=chat.pk)
    return locked.get()


def _answered(turns: Sequence[ChatTurn], number: int, content: str, due: int) -> ChatTurn:
    """The turn that was answered under this number to this content; Refused otherwise."""
    there = next((turn for turn in turns if turn.number == number), None)
    if there is None:
        raise Refused("bad_turn", f"The next turn of this chat is number {due}.")
    if there.content != content:
        raise Conflict("turn_taken", f"Turn {number} said something else: go on with {due}.")
    return there


def _require_open(participant: Participant, chat: Chat) -> None:
    if chat.example_id is not None:
        raise _submitted()
    if not _takes_turns(chat.round):
        if open_target(chat.round.task_id) is None:
            raise no_open_round(chat.round.task_id)
        raise _round_changed()
    assert chat.round.task.config is not None
    task = chat.round.task
    _require_may_chat(participant, Target(task, chat.round.task.config, chat.round, ()))


def _require_not_judged(
    participant: Participant, chat: Chat, said: Sequence[dict[str, str]]
) -> None:
    """Two chats are alike where people said the same: anything may stand for the answers."""
    kind, answer = file_of(chat).kind, {"role": "assistant", "content": "?"}
    prepared = kind.parse({"turns": [turn for one in said for turn in (one, answer)]})
    judged.require_not_judged(kind, prepared, task_id=chat.round.task_id, user=participant.user)


def _require_unclaimed(turn: ChatTurn) -> None:
    if turn.claimed_until is not None and turn.claimed_until > timezone.now():
        raise UnderWay


def _require_room(file: TaskFile, turns: Sequence[ChatTurn], number: int) -> None:
    most = file.chat
    if number > most.turns:
        raise Refused(
            "no_turns_left",
            f"A chat has {most.turns} turns at most: submit it, or begin a new one.",
            status=409,
        )
    if cost(turns) >= most.tokens:
        raise Refused(
            "no_tokens_left",
            f"This chat has cost its {most.tokens:,} tokens: submit it, or begin a new one.",
            status=409,
        )


def cost(turns: Sequence[ChatTurn]) -> int:
    """Tokens of these turns, each with all before it; about, where the model's server told none."""
    spent, length = 0, 0
    for turn in turns:
        length += len(turn.content) + len(turn.answer or "")
        if turn.answer is not None:
            spent += length // PER_TOKEN if turn.tokens is None else turn.tokens
    return spent


def messages(turns: Sequence[ChatTurn]) -> list[dict[str, Any]]:
    """Answered turns as chat completions have them."""
    roles = (("user", "content"), ("assistant", "answer"))
    return [
        {"role": role, "content": getattr(turn, said)} for turn in turns for role, said in roles
    ]


def _end(asked: Asked, said: Turn) -> ChatTurn:
    """Store the answer, unless somebody else has asked since this claim ran out."""
    with durable():
        stored = ChatTurn.objects.filter(pk=asked.turn.pk, claim=asked.claim, answer=None).update(
            answer=said.content,
            finish_reason=(said.finish_reason or "")[:50],
            tokens=said.tokens,
            answered_at=timezone.now(),
            claim=None,
            claimed_until=None,
        )
    chats = ChatTurn.objects.select_related("chat__round__task__config")
    turn = chats.filter(pk=asked.turn.pk).first()
    if turn is None:
        raise _submitted()
    if not stored and turn.answer is None:
        raise UnderWay
    return turn


def _give_up(asked: Asked) -> None:
    """Let the turn be asked for again."""
    with durable():
        ChatTurn.objects.filter(pk=asked.turn.pk, claim=asked.claim).update(
            claim=None, claimed_until=None
        )


# --- what nobody submits --------------------------------------------------------------------------
def forget_abandoned() -> int:
    """Delete chats that were not submitted in a month; returns how many."""
    with durable():
        _, by_model = Chat.objects.filter(
            example=None, created_at__lt=timezone.now() - KEPT
        ).delete()
    return by_model.get("annotate.Chat", 0)


# --- submitting -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Transcript:
    """A chat as it is to be submitted."""

    participant: Participant
    target: Target
    """Of its own round, which may be over."""
    chat: Chat
    turns: int
    input: dict[str, Any]
    outcome: str | None


def transcript(participant: Participant, target: Target, input: object) -> Transcript:
    """The chat that `{"chat": id, "turns"?: number}` names, as far as it has come; two queries.

    Where it has other turns by now than the sender knows of it is a Conflict.
    """
    uid = input.get("chat") if isinstance(input, dict) else None
    if uid is None:
        raise Refused("bad_input", 'The input must be {"chat": id}, of a chat that you opened.')
    chat = own_chat(participant, uid)
    if chat.round.task_id != target.task.pk:
        raise _no_such_chat()
    if chat.round_id != target.round.pk:
        own = target_in(chat.round) if _takes_ended(chat.round) else None
        if own is None:
            raise _round_changed()
        target = own
    turns = _ended(chat)
    assert isinstance(input, dict)
    if input.get("turns") not in (None, len(turns)):
        raise _went_on()
    said = messages(turns)
    for answer, turn in zip(said[1::2], turns, strict=True):
        answer |= {"tokens": turn.tokens, "finish_reason": turn.finish_reason or None}
    outcome = outcome_of(target.config.file, [turn.answer for turn in turns])
    return Transcript(participant, target, chat, len(turns), {"turns": said}, outcome)


def _round_changed() -> Conflict:
    return Conflict("round_changed", "A new round has begun: begin a new chat with its model.")


def _went_on() -> Conflict:
    return Conflict("chat_went_on", "This chat has gone on: look at it, and submit it again.")


def _ended(chat: Chat) -> list[ChatTurn]:
    """Its answered turns; Refused where it is no chat to be submitted."""
    if chat.example_id is not None:
        raise _submitted()
    turns = turns_of(chat)
    if turns and turns[-1].answer is None:  # dropped, where nobody asks
        _require_unclaimed(turns.pop())
    if not turns:
        raise Refused("bad_input", "Say something first: nothing in this chat was answered.")
    return turns


def lock_as_it_was(read: Transcript) -> None:
    """Lock the chat; Refused when it went on, or was submitted, since it was read."""
    if len(_ended(_lock(read.participant, read.chat))) != read.turns:
        raise _went_on()


def close(read: Transcript, example: Example) -> None:
    """Let the locked chat be this example: it goes no further."""
    ChatTurn.objects.filter(chat=read.chat.pk, answer=None).delete()
    Chat.objects.filter(pk=read.chat.pk).update(example=example)


def is_of(input: object, example: Example) -> bool:
    """Whether the chat that an input names became this example; one query."""
    uid = input.get("chat") if isinstance(input, dict) else None
    return Chat.objects.filter(uid=_uuid(uid), example=example).exists()
