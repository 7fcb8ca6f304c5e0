"""What a person sees of their own examples: filters, pages, plain words, and a download."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.http import QueryDict

from accounts.models import User
from annotate.models import Chat, Example, Task
from annotate.quotas import why_kept
from kinds import Kind
from kinds.answers import in_words

PAGE_SIZE = 24
LONGEST_ID = 19  # digits; a database compares no more

_FATES = {
    "waiting": Q(status=Example.Status.OPEN, queued=True, retracted_at=None),
    "confirmed": Q(status=Example.Status.VERIFIED, retracted_at=None),
    "not_confirmed": Q(
        status__in=[
            Example.Status.REJECTED,
            Example.Status.RELABELLED,
            Example.Status.AMBIGUOUS,
            Example.Status.FLAGGED,
        ],
        retracted_at=None,
    ),
    "taken_back": Q(retracted_at__isnull=False),
}


class WorkFilter(forms.Form):
    """Which of one's own examples to show; a choice that is none is as good as no choice."""

    task = forms.ChoiceField(required=False)
    fooled = forms.ChoiceField(
        label="The model",
        required=False,
        choices=[("", "any"), ("yes", "was fooled"), ("no", "was right")],
    )
    fate = forms.ChoiceField(
        label="What became of it",
        required=False,
        choices=[
            ("", "any"),
            ("waiting", "waits for validators"),
            ("confirmed", "confirmed"),
            ("not_confirmed", "not confirmed"),
            ("taken_back", "taken back"),
        ],
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = Example.objects.filter(author=user).values("task_id")
        tasks = Task.objects.filter(pk__in=own).order_by("name").values_list("slug", "name")
        self.fields["task"].choices = [("", "all"), *tasks]  # type: ignore[attr-defined]

    def apply(self, examples: QuerySet[Example]) -> QuerySet[Example]:
        """Keep the examples that were asked for."""
        self.full_clean()
        chosen = self.cleaned_data
        if chosen.get("task"):
            examples = examples.filter(task__slug=chosen["task"])
        if chosen.get("fooled"):
            examples = examples.filter(fooled=chosen["fooled"] == "yes")
        if chosen.get("fate"):
            examples = examples.filter(_FATES[chosen["fate"]])
        return examples


@dataclass(frozen=True)
class WorkItem:
    """One example as its author sees it; `tone` is the colour of its chip."""

    example: Example
    words: str
    tone: str
    kind: Kind
    picture: str | None
    texts: list[tuple[str, str]]
    counts: str
    said: str
    read: str
    share: str
    kept: str
    """Why it cannot be taken back, where that is so."""

    @property
    def can_be_taken_back(self) -> bool:
        return self.example.retracted_at is None and not self.kept


def own_examples(user: User) -> QuerySet[Example]:
    """Everything this person submitted, newest first."""
    return (
        Example.objects.filter(author=user)
        .select_related("task", "round", "model", "context")
        .order_by("-id")
    )


def page_of_work(
    examples: QuerySet[Example], asked: QueryDict, of: Task | None = None
) -> dict[str, Any]:
    """The `items` of the page asked for, and the queries of the `newer` and the `older` page.

    A key instead of an offset: the thousandth page costs what the first does. What all are `of`,
    if they are of one task, need not be read with each.
    """
    before = asked.get("before", "")
    if before.isdecimal() and len(before) < LONGEST_ID:
        examples = examples.filter(id__lt=int(before))
    found = list(examples[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    if of is not None:
        for one in shown:
            one.task = of
    query = asked.copy()
    query.pop("before", None)
    newest = f"?{query.urlencode()}" if before else ""
    older = ""
    if len(found) > PAGE_SIZE:
        query["before"] = str(shown[-1].pk)
        older = f"?{query.urlencode()}"
    return {"items": [work_item(one) for one in shown], "newer": newest, "older": older}


def work_item(example: Example) -> WorkItem:
    """The example with its status in words."""
    words, tone = _status_in_words(example)
    kind = example.task.kind
    return WorkItem(
        example=example,
        words=words,
        tone=tone,
        kind=kind,
        picture=kind.picture(example.input),
        texts=kind.texts(example.input),
        counts=kind.counts(example.input),
        said=in_words(example.label),
        read=in_words(example.prediction),
        share=_percent((example.shares or {}).get(str(example.prediction))),
        kept="" if example.retracted_at else why_kept(example),
    )


def _percent(p: float | None) -> str:
    """Whole percents as the task's page shows them: never 100 % for what was not certain."""
    if p is None:
        return ""
    return ">99\u00a0%" if 0.99 < p < 1 else f"{p:.0%}".replace("%", "\u00a0%")


def _status_in_words(example: Example) -> tuple[str, str]:
    if example.retracted_at is not None:
        return "taken back", ""
    if example.hidden_at is not None:
        return "hidden by the owner", "bad"
    match example.status:
        case Example.Status.VERIFIED:
            return "confirmed", "good"
        case Example.Status.REJECTED:
            return "not confirmed", "bad"
        case Example.Status.RELABELLED:
            return f"others say {in_words(example.final_label)}", "warn"
        case Example.Status.AMBIGUOUS:
            return "others could not agree", "warn"
        case Example.Status.FLAGGED:
            return "flagged, for the owner to judge", "bad"
    if example.queued:
        return "waits for validators", "accent"
    return ("kept", "") if example.fooled else ("the model was right", "")


# --- download ------------------------------------------------------------------------------------
OwnRows = Callable[[User], AsyncIterator[dict[str, Any]]]
_rows_from_above: list[OwnRows] = []


def add_to_own_data(rows: OwnRows) -> None:
    """Let an app above add what it stores about a person to their download."""
    _rows_from_above.append(rows)


async def own_data(user: User) -> AsyncIterator[str]:
    """All that is stored about a person's work, one JSON object a line, the person first."""
    async for row in _own_examples(user):
        yield _line(row)
    for rows in _rows_from_above:
        async for row in rows(user):
            yield _line(row)


async def _own_examples(user: User) -> AsyncIterator[dict[str, Any]]:
    yield {
        "kind": "person",
        "username": user.username,
        "email": user.email,
        "pseudonym": user.pseudonym,
        "role": user.role,
        "joined_at": user.date_joined.isoformat(),
    }
    async for example in own_examples(user).aiterator(chunk_size=500):
        row: dict[str, Any] = {
            "kind": "example",
            "id": example.public_id,
            "task": example.task.slug,
            "round": example.round.number,
            "input": example.input,
            "label": example.label,
            "prediction": example.prediction,
            "probabilities": example.probabilities,
            "model": example.model.name,
            "fooled": example.fooled,
            "explanation": example.explanation,
            "status": example.status,
            "final_label": example.final_label,
            "probes": example.probes,
            "tries": example.tries,
            "seconds": example.seconds,
            "created_at": example.created_at.isoformat(),
            "retracted_at": example.retracted_at and example.retracted_at.isoformat(),
        }
        if example.context is not None:
            row["context"] = example.context.data
        yield row
    talks = Chat.objects.filter(author=user, example=None).prefetch_related("turns")
    async for chat in talks.select_related("round__task").aiterator(chunk_size=100):
        yield {
            "kind": "chat",
            "task": chat.round.task.slug,
            "created_at": chat.created_at.isoformat(),
            "turns": [{"said": one.content, "answer": one.answer} for one in chat.turns.all()],
        }


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
