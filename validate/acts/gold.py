"""Gold: examples with a known answer, mixed unseen among what validators are asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.dispatch import Signal
from django.utils import timezone

from accounts.models import User
from accounts.services import record_event
from annotate.contents import content_of, keep, recognise
from annotate.models import Context, Example, Round, Task
from annotate.services import context_of, require_owner
from core.errors import Refused
from core.refused_lines import RefusedLines
from core.strict_json import NotJson, loads
from core.transactions import durable
from kinds import Prepared
from validate.hearing import hear
from validate.models import Gold, Lease
from validate.verdicts import settle, take_out

# example: a locked one that is to be a known answer. A receiver refuses it by raising Refused.
marking_gold = Signal()


def mark_gold(*, actor: User, example_id: int, answer: object, reason: str = "") -> Gold:
    """Make an example gold; one that waits for votes is settled by this answer first."""
    with durable():
        hearing = hear(example_id)
        example = hearing.example
        require_owner(example, actor)
        if example.hidden_at is not None or example.retracted_at is not None:
            raise Refused("withdrawn", "A hidden or retracted example cannot be gold.", status=409)
        example.config.file.check_label(answer, "answer", of=example.whole_input)
        marking_gold.send(Gold, example=example)
        if example.status == Example.Status.OPEN and not example.sandbox:
            take_out(hearing)
            right = example.config.file.same(answer, example.label, example.wrong)
            settle(
                hearing,
                status=Example.Status.VERIFIED if right else Example.Status.REJECTED,
                label=example.label if right else answer,
                actor=actor,
                data={"reason": reason or "An owner knows the answer and made it gold."},
            )
        gold, _ = Gold.objects.update_or_create(
            example=example,
            defaults={
                "task_id": example.task_id,
                "answer": answer,
                "created_by": actor,
                "retired_at": None,
            },
        )
        record_event(
            actor=actor,
            verb="made_gold",
            subject=example,
            scope=example.task.slug,
            data={"answer": answer, "reason": reason},
        )
    return gold


def retire_gold(*, actor: User, example_id: int, reason: str = "") -> None:
    """Ask nobody about this gold any more; what was answered stays scored."""
    with durable():
        example = hear(example_id).example
        require_owner(example, actor)
        withdraw_gold(example, actor=actor, reason=reason)


def withdraw_gold(example: Example, *, actor: User | None, reason: str) -> None:
    """The same for a locked example; leases that are out on it end."""
    if not Gold.objects.filter(pk=example.pk, retired_at=None).update(retired_at=timezone.now()):
        return
    Lease.objects.filter(example=example, gold=True, ended_at=None).update(
        ended_at=timezone.now(), end=Lease.End.SUPERSEDED
    )
    record_event(
        actor=actor,
        verb="retired_gold",
        subject=example,
        scope=example.task.slug,
        data={"reason": reason},
    )


@dataclass
class Upload(RefusedLines):
    """What an upload of gold came to."""

    new: int = 0
    known: int = 0


def load_gold(*, actor: User, task: Task, lines: Iterable[bytes]) -> Upload:
    """Bring in `{"input", "answer", "context"?}` lines as gold.

    What is about one of the task's contexts, by its text, is about that one. They become sandbox
    examples of the owner: they count nowhere and are data for nothing. The same input again changes
    its answer. A line is taken whole or refused with its number.
    """
    if not task.is_owned_by(actor):
        raise Refused("not_an_owner", "Only an owner of the task may do this.", status=403)
    round_ = task.rounds.order_by("-number").first()
    model = round_.targets.order_by("number").first() if round_ else None
    if round_ is None or model is None:
        raise Refused("no_round", "Open a round of the task first.", status=409)
    outcome = Upload()
    for number, line in enumerate(lines, start=1):
        if not (text := line.strip()):
            continue
        try:
            prepared, answer, context = _read(task, text)
        except (NotJson, Refused) as error:
            outcome.refuse(number, getattr(error, "message", str(error)))
            continue
        with durable():
            new = _load_one(actor, task, round_, model.pk, prepared, answer, context)
        outcome.new += new
        outcome.known += not new
    return outcome


def _read(task: Task, text: bytes) -> tuple[Prepared, Any, Any]:
    assert task.config is not None
    data = loads(text)
    if not isinstance(data, dict) or not {"input", "answer"} <= set(data):
        raise Refused("bad_line", 'A line is an object with "input" and "answer".')
    if unknown := set(data) - {"input", "answer", "context"}:
        raise Refused("bad_line", f"A line has no {', '.join(sorted(unknown))}.")
    file, context = task.config.file, data.get("context")
    prepared = file.kind.parse(file.kind.about(data["input"], context))
    file.check_label(data["answer"], "answer", of=prepared.features)
    if (
        file.kind.told(prepared.features, context) is None
        and file.kind.contexts
        and task.contexts.filter(offered=True).exists()
    ):
        raise Refused(
            "bad_line",
            'Say in "context" what it is about: all else is, so that it would stand out.',
        )
    return prepared, data["answer"], context


def _context(task: Task, prepared: Prepared, said: Any) -> Context | None:
    """The task's context of the same text, with its title; else what the line said, if anything."""
    text = (task.kind.told(prepared.features, said) or {}).get("context")
    same = task.contexts.filter(data__context=text).order_by("-offered", "pk")
    known = same.first() if text is not None else None
    return known or (context_of(task.pk, said) if said is not None else None)


def _load_one(
    actor: User,
    task: Task,
    round_: Round,
    model_id: int,
    prepared: Prepared,
    answer: Any,
    context: Any,
) -> bool:
    assert task.config is not None
    given = _context(task, prepared, context)
    known = Gold.objects.filter(
        task=task, example__input_hash=prepared.key, example__sandbox=True
    ).first()
    if known is not None:
        Gold.objects.filter(pk=known.pk).update(answer=answer, retired_at=None)
        Example.objects.filter(pk=known.pk, context=None).update(context=given)
        if known.answer != answer:
            record_event(
                actor=actor,
                verb="changed_gold",
                subject=known.example,
                scope=task.slug,
                data={"from": known.answer, "to": answer},
            )
        return False
    example = Example(
        task=task,
        config=task.config,
        round=round_,
        model_id=model_id,
        author=actor,
        sandbox=True,
        context=given,
        input=prepared.stored,
        input_hash=prepared.key,
        label=answer,
        prediction=answer,  # no model was asked; nothing reads it
        fooled=False,
    )
    content = content_of(task.kind, prepared, given.sha256 if given else "")
    is_kept = recognise(example, content)  # as everybody's: what is refused would tell gold
    example.save()
    keep([(example, content, is_kept)])
    Gold.objects.create(example=example, task=task, answer=answer, created_by=actor)
    record_event(
        actor=actor, verb="made_gold", subject=example, scope=task.slug, data={"answer": answer}
    )
    return True
