"""One submission: the model's answer, what may stand in its way, and its insertion.

Several people's that come at the same moment share a transaction (docs/adr/0006).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import DatabaseError, IntegrityError
from django.utils import timezone

from accounts.models import User
from annotate import chats, contents, inference, judged, statements
from annotate.config import TaskFile
from annotate.contents import Content, Duplicate
from annotate.explanations import require_as_asked, require_none_due
from annotate.models import Context, ContextLease, Example, ModelVersion, Round, TargetAnswer
from annotate.quality import require_quality
from annotate.queries import Participant, Target, no_open_round, open_target
from annotate.quotas import is_counted, require_room, takes_turns
from annotate.services import announce, insert, record_copy
from annotate.standing import banned, require_sandbox, require_standing
from annotate.statements import Progress, Together
from core.errors import Conflict, Refused
from core.metrics import SUBMIT_SECONDS
from core.transactions import durable
from kinds import Kind
from kinds.likeness import Ruling
from ml.backends import Answer


class Submitted(NamedTuple):
    """An example, whether it is new, and then how its author does in the task with it."""

    example: Example
    is_new: bool
    progress: Progress | None = None


@SUBMIT_SECONDS.time()
def submit(
    *,
    participant: Participant,
    task_id: int,
    client_id: uuid.UUID,
    input: object,
    label: Any,
    context: object = None,
    explanation: str = "",
    probes: int = 0,
    seconds: float | None = None,
    target: Target | None = None,
) -> Submitted:
    """Let the target model answer, compare, and insert the example.

    The same client id with the same body returns the example of the first time, whatever became of
    the round since; with another body it raises Conflict. Refused (with a code and a sentence) when
    the input, the label or the person's standing does not allow it; nothing is written then. What
    was sent before, by whomever, is a Duplicate, and that it was tried is recorded.
    `target` saves reading the open one; if its round has closed since, that is a Conflict.
    """
    if participant.user is not None:
        require_standing(participant.user)
    try:
        return _submit_new(
            participant=participant,
            task_id=task_id,
            target=target or open_target(task_id),
            client_id=client_id,
            input=input,
            label=label,
            context=context,
            remarks={"explanation": explanation, "probes": probes, "seconds": seconds},
        )
    except (Refused, IntegrityError) as error:
        # Nearly all are new, so only now: a constraint keeps one client id from two examples.
        sent = _Sent(participant, task_id, client_id, input, label, context)
        if earlier := sent.earlier():
            return Submitted(earlier, is_new=False)
        if isinstance(error, Duplicate) and participant.user is not None:
            record_copy(actor=participant.user, of=error.copy.of, is_own=error.copy.is_own)
        if isinstance(error, judged.BeingJudged):
            judged.record(error, participant.user)
        raise


def _submit_new(
    *,
    participant: Participant,
    task_id: int,
    target: Target | None,
    client_id: uuid.UUID,
    input: object,
    label: Any,
    context: object,
    remarks: dict[str, Any],
) -> Submitted:
    if target is None or target.round.is_over:
        target = chats.late_target(participant, task_id, input)
    if target is None:
        raise no_open_round(task_id)
    file = target.config.file
    if participant.sandbox:
        require_sandbox(file)
    given = given_context(target, context)
    chat = chats.transcript(participant, target, input) if file.kind.talks else None
    target = chat.target if chat else target
    prepared = file.kind.parse(chat.input if chat else about(file.kind, input, given))
    file.check_label(label, of=prepared.features, own=True)
    if chat and chat.outcome not in (None, label):
        raise Refused(
            "other_outcome",
            f"By what the model said the outcome is {chat.outcome}.",
            fields={"label": f"not {chat.outcome}"},
        )
    require_as_asked(file.explanation, remarks["explanation"])
    require_quality(file, prepared, given)
    judged.require_not_judged(file.kind, prepared, task_id=target.task.pk, user=participant.user)
    # The slow part, outside the transaction; a pass that the page just asked for is in the cache.
    if chat:  # what its model stands for, nobody has to ask it
        told = [(chat.chat.model, Answer(file.claim))]
        remarks["probes"] = chat.turns
    else:
        asked = target.models_for(str(given.uid) if given else participant.key)
        told = [(one, inference.live_model(one, file.kind).predict_one(prepared)) for one in asked]
    said = [_Said(model, answer, _fooled(file, answer.label, label)) for model, answer in told]
    fooled = sum(one.fooled for one in said) >= (target.round.needed or 1)
    speaker = next(one for one in said if one.fooled == fooled)
    content = contents.content_of(file.kind, prepared, given.sha256 if given else "")
    example = Example(
        task=target.task,
        config=target.config,
        round=target.round,
        model=speaker.model,
        author=participant.user,
        session=participant.session,
        context=given,
        sandbox=participant.sandbox,
        client_id=client_id,
        input=prepared.stored,
        input_hash=prepared.key,
        label=label,
        prediction=speaker.answer.label,
        probabilities=speaker.answer.probabilities,
        fooled=fooled,
        **remarks,
    )
    new = _New(example, content, tuple(said) if target.round.needed else ())
    came = _commit(new, participant, chat)
    return Submitted(example, is_new=True, progress=came.after(fooled=example.fooled))


def given_context(target: Target, uid: object) -> Context | None:
    """The context that this id names, None where none is named; one query then.

    Never free text: it would be shown to validators, and would choose the model among several.
    """
    kind = target.config.file.kind
    if uid is None:
        return None
    if not kind.contexts:
        raise Refused(
            "no_context", f"A {kind.words.thing} has no context.", fields={"context": "not taken"}
        )
    named = _as_uuid(uid)
    found = named and Context.objects.filter(task=target.task, uid=named).first()
    if not found:
        raise Refused(
            "unknown_context",
            "The context must be the id of one that this task gave you.",
            fields={"context": "unknown"},
        )
    return found


def _as_uuid(raw: object) -> uuid.UUID | None:
    """The id that somebody wrote, in capitals or not; None where it is none."""
    with suppress(TypeError, ValueError, AttributeError):
        return uuid.UUID(raw)  # type: ignore[arg-type]
    return None


def about(kind: Kind, input: object, given: Context | None) -> object:
    """An input with what its context says, which it may repeat and may not say otherwise."""
    if given is None:
        return input
    whole = kind.about(input, given.data)
    said = kind.about({}, given.data)
    if isinstance(whole, dict) and isinstance(said, dict):
        for name in kind.given:
            if name in said and whole.get(name) != said[name]:
                raise Refused(
                    "other_context",
                    f"The context that you named has another {name}: leave it out.",
                    fields={"input": f"another {name}"},
                )
    return whole


def _fooled(file: TaskFile, prediction: Any, label: Any) -> bool:
    try:
        return file.comparator_rule.fooled(prediction, label)
    except ValueError as error:
        raise Refused(
            "not_comparable",
            f"This task's rule cannot compare the model's answer with yours: {error}",
            status=409,
        ) from error


class _Said(NamedTuple):
    """What one target answered, and whether that fools it."""

    model: ModelVersion
    answer: Answer
    fooled: bool


class _New(NamedTuple):
    """An example to be inserted, its content, and what each target said where that is kept."""

    example: Example
    content: Content
    said: tuple[_Said, ...]

    @property
    def pair(self) -> tuple[Example, Content]:
        return self.example, self.content

    @property
    def author(self) -> int:
        assert self.example.author_id is not None
        return self.example.author_id


def _commit(new: _New, participant: Participant, chat: chats.Transcript | None) -> Progress:
    """Write it, together with what others send meanwhile; returns how its author did before."""
    # A guest has no row to be locked; whose earlier ones are looked at, or whose chat ends, is
    # locked alone.
    owed = new.example.config.file.explanation.is_owed
    alone = chat is not None or owed or is_counted(new.example)
    if participant.user is not None and not alone:
        came = _together.write(new)
        if came is not None:
            return came
    try:
        with durable():
            return _insert(new, participant, chat)
    except IntegrityError:  # perhaps of another's that was inserted at this moment: now it is seen
        _forget([new])
        with durable():
            return _insert(new, participant, chat)


def _forget(sent: Sequence[_New]) -> None:
    """Make these as if they had not been tried: a key may be another one's by then."""
    for one in sent:
        one.example.pk, one.example._state.adding = None, True


def _insert_several(sent: Sequence[_New]) -> list[Progress | None]:
    """Write the examples that nothing speaks against, of different authors in one round, at once.

    None for the others: alone each of them is told why, or waits until its author is free.
    """
    task_id, round_id = sent[0].example.task_id, sent[0].example.round_id
    try:
        with durable():
            free = statements.lock_free_authors_and_round([one.author for one in sent], round_id)
            came = statements.before_each(
                task_id=task_id,
                round_id=round_id,
                sent={one.author: one.example.client_id for one in sent if one.author in free},
            )
            new = [one for one in sent if one.author in free and not came[one.author].is_there]
            pairs = [one.pair for one in new]
            copies, apart = contents.copies(pairs), contents.apart(pairs)
            new = [one for place, one in enumerate(new) if place not in copies and apart[place]]
            new = [one for one in new if _count_try(one.example)]
            for one in new:
                one.example.tries = came[one.author].tries
            _insert_new(new)
    except BaseException:
        _forget(sent)
        raise
    return [came[one.author].progress if one.example.pk is not None else None for one in sent]


def _insert_new(new: Sequence[_New]) -> None:
    examples = [one.example for one in new]
    insert(examples)
    answers = [
        TargetAnswer(
            example=one.example,
            model=said.model,
            prediction=said.answer.label,
            probabilities=said.answer.probabilities,
            fooled=said.fooled,
        )
        for one in new
        for said in one.said
    ]
    if answers:
        TargetAnswer.objects.bulk_create(answers)
    contents.keep((one.example, one.content, False) for one in new if not one.example.sandbox)
    announce(examples, actors=[example.author for example in examples], verb="submitted")


_together: Together[_New, Progress] = Together(
    _insert_several,
    alike=lambda new: new.example.round_id,
    apart=lambda new: new.author,
    expected=(DatabaseError, Refused),
)


@dataclass(frozen=True)
class _Sent:
    """What a client sent under its id, to tell a repetition from another submission."""

    participant: Participant
    task_id: int
    client_id: uuid.UUID
    input: object
    label: object
    context: object

    def earlier(self) -> Example | None:
        """The example of the first time; Conflict when that was another submission; one query."""
        sent = self.participant.sent_under(self.client_id)
        earlier = sent.select_related("model", "round", "task", "context").first()
        if earlier is not None and not self._made(earlier):
            raise Conflict(
                "client_id_reused", "This client_id was already used for another submission."
            )
        return earlier

    def _made(self, earlier: Example) -> bool:
        return (
            earlier.task_id == self.task_id
            and earlier.label == self.label
            and self._names(earlier.context)
            and self._says_the_same(earlier)
        )

    def _names(self, context: Context | None) -> bool:
        return _as_uuid(self.context) == context.uid if context else self.context is None

    def _says_the_same(self, earlier: Example) -> bool:
        kind, context = earlier.task.kind, earlier.context
        if kind.talks:
            return chats.is_of(self.input, earlier)
        whole = kind.about(self.input, context.data if context else None)
        return kind.parse(whole).key == earlier.input_hash


def _insert(new: _New, participant: Participant, chat: chats.Transcript | None) -> Progress:
    """Insert it where it still may be; returns how its author did before."""
    example = new.example
    _lock_standing(participant.user, example.round, late=chat is not None)
    if chat is not None:
        chats.lock_as_it_was(chat)
    came = statements.before(
        **participant.ids,
        task_id=example.task_id,
        round_id=example.round_id,
        client_id=example.client_id,
    )
    if not example.sandbox and (copy := contents.copies([new.pair]).get(0)):
        if copy.ruling is Ruling.COPY:
            raise Duplicate(copy)
        example.copy_of_id = copy.of  # and its owner decides
    require_room(example)
    require_none_due(example, participant)
    if not _count_try(example):
        raise _may_not_try(example)
    example.tries = came.tries
    _insert_new([new])
    if chat is not None:
        chats.close(chat, example)
    return came.progress


def _count_try(example: Example) -> bool:
    """Count it among its author's tries about its context, if it has one; False: not allowed."""
    if example.context_id is None:
        return True
    rules = example.config.file.contexts
    return statements.count_try(
        example, most=rules.tries, goals=rules.goal == "balanced", now=timezone.now()
    )


def _may_not_try(example: Example) -> Refused:
    """Why not; one query."""
    owner = {"author": example.author} if example.author else {"session": example.session}
    lease = ContextLease.objects.filter(context=example.context_id, **owner).first()
    if lease is None:
        return Refused("not_your_context", "Ask for a context first: you were not given this one.")
    if lease.goal not in ("", example.label):
        return Refused(
            "other_goal",
            f"You were asked to write for {lease.goal}: choose that, or ask for another one.",
            fields={"label": f"not {lease.goal}"},
        )
    times = f"{lease.tries} {'try' if lease.tries == 1 else 'tries'}"
    return Refused(
        "no_tries_left", f"You have used your {times} here: ask for another one.", status=409
    )


def _lock_standing(user: User | None, round_: Round, *, late: bool) -> None:
    """Take a person's submissions one by one, into a round that stays open until the commit, or
    that may be over by now (`late`).

    Refused when a ban, the account's end or the round's came first. Two of the same at once
    would both find none before them; one that overtakes a ban would stay in the queue; and closing
    a round waits for this lock (open_next_round locks the row FOR UPDATE).
    """
    found = statements.lock_author_and_round(
        author=user.pk if user else None, round_id=round_.pk, in_turn=takes_turns(round_)
    )
    if found.banned is None:
        raise Refused("signed_out", "Sign in again: this account is closed.", status=403)
    if found.banned:
        raise banned()
    if not found.open and not late:
        if open_target(round_.task_id) is None:
            raise no_open_round(round_.task_id)
        raise Conflict("round_changed", "A new round has begun: look at the new model's answer.")
