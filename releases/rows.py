"""What the database knows of a task, as lines of a release, in chunks; writes nothing.

All of it is read in one view: a vote that comes meanwhile is in none of the lines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import lru_cache
from json import loads
from typing import Any, Final, NamedTuple

from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    Max,
    OuterRef,
    Q,
    QuerySet,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Cast

from accounts.models import Event
from annotate.models import Example, Task, TaskConfig
from core.errors import Refused
from kinds import Kind
from kinds.answers import in_order
from releases.figures import COUNTS, DROPPED, JUDGE, SURPLUS
from releases.models import PersonalFind
from releases.people import Pseudonyms
from validate.decisions import decision_on
from validate.models import AuthorShare, Gold, QueueItem, Reliability, Vote
from validate.policies import Outcome

CHUNK: Final = 1_000
MICROSECONDS: Final = len("2026-01-01 12:00:00.000001")
LEAVE_OUT: Final = PersonalFind.Decision.LEAVE_OUT


def _as_text(*names: str) -> tuple[Any, ...]:
    """Columns as the database writes them: what Django makes of them takes half of all the time."""
    return tuple(Cast(name, TextField()) for name in names)


_EXAMPLE: Final[tuple[Any, ...]] = (
    *("pk", *_as_text("uid"), "external_id", "round__number", "author__pseudonym"),
    *_as_text("input", "context__data", "label", "prediction", "probabilities", "final_label"),
    *("model__name", "fooled", "config_id", "config__version", "status", "adjudicated"),
    *("explanation", "probes", "tries", "seconds", *_as_text("created_at", "settled_at")),
)
_VOTE: Final[tuple[Any, ...]] = (
    *("example_id", "validator__pseudonym", "validator_id", *_as_text("label"), "flag"),
    *("reliability", "surplus", "dropped", "close", "seconds", *_as_text("created_at"), "hasty"),
    *("automatic", "id"),
)

Line = dict[str, Any]


class Item(NamedTuple):
    """An example and the votes on it, as lines of the log; `cast`: the keys of the votes."""

    pk: int
    line: Line
    votes: list[Line]
    cast: list[int]


def reasons(*, waiting: bool) -> list[tuple[str, Q]]:
    """Why a submission is not in a release; the first that holds is told.

    A known answer that still tests people is among what they are asked about, and counted with it:
    apart, two versions would tell which one it is.
    """

    def has(rows: QuerySet[Any]) -> Q:
        return Q(Exists(rows.filter(example=OuterRef("pk"))))

    asked = has(Gold.objects.filter(retired_at=None))
    return [
        ("practice", Q(sandbox=True)),
        ("withdrawn by their authors", Q(retracted_at__isnull=False)),
        ("made up by a program", Q(generated__isnull=False)),
        ("hidden by an owner", Q(hidden_at__isnull=False)),
        ("made on visits that no platform has confirmed", Q(provisional=True)),
        ("kept back for personal data", has(PersonalFind.objects.filter(decision=LEAVE_OUT))),
        ("still asked of validators", asked if waiting else asked | has(QueueItem.objects.all())),
    ]


NOT_BEFORE: Final = "not in the version that this one corrects"


def with_reasons(task: Task, *, waiting: bool) -> QuerySet[Any]:
    """All that was submitted, each with `why` it is left out: "" of what is released."""
    whens = [When(rule, then=Value(why)) for why, rule in reasons(waiting=waiting)]
    return Example.objects.filter(task=task).annotate(why=Case(*whens, default=Value("")))


def left_out(task: Task, *, waiting: bool, up_to: int, released: int) -> dict[str, int]:
    """How many submissions are not in it, by the first reason that holds."""
    counted = (
        with_reasons(task, waiting=waiting).filter(pk__lte=up_to).order_by().values_list("why")
    )
    by_reason = dict(counted.annotate(number=Count("pk")))
    return {
        **{why: by_reason.get(why, 0) for why, _ in reasons(waiting=waiting)},
        NOT_BEFORE: by_reason.get("", 0) - released,
    }


def known_answers_in_use(task: Task) -> bool:
    """Whether validators are tested: a release of all that waits would tell by what."""
    return Gold.objects.filter(task=task, retired_at=None).exists()


class Reader:
    """Reads a task's lines; `pseudonyms` names its people."""

    def __init__(
        self,
        task: Task,
        pseudonyms: Pseudonyms,
        *,
        waiting: bool,
        only: Collection[int] | None = None,
    ) -> None:
        """`only`: the keys of the examples of the version that this one corrects."""
        self._kind, self._name, self._only = task.kind, pseudonyms.of, only
        self.last_example = task.examples.aggregate(last=Max("id"))["last"] or 0
        if only is not None:
            self.last_example = max(only, default=0)
        self._examples = (
            with_reasons(task, waiting=waiting)
            .filter(why="", pk__lte=self.last_example)
            .order_by("pk")
        )
        self._unsteady = unsteady_validators(task)
        configs = TaskConfig.objects.filter(task=task)
        self.configs = {config.pk: config for config in configs}

    def count(self) -> int:
        """How many there are, or were in the version that this one corrects."""
        return self._examples.count() if self._only is None else len(self._only)

    def gone(self) -> int:
        """How many authors have closed their account, or were forgotten, by now."""
        left = self._examples.filter(author__closed_at__isnull=False)
        return left.order_by().aggregate(n=Count("author", distinct=True))["n"]

    def items(self) -> Iterator[list[Item]]:
        """Every example with its votes in the order in which they came, a chunk at a time."""
        after = 0
        rows = self._examples.values_list(*_EXAMPLE)
        while found := list(rows.filter(pk__gt=after)[:CHUNK]):
            votes = self._votes(found[0][0], found[-1][0])
            yield [
                self._item(row, votes.get(row[0], ()))
                for row in found
                if self._only is None or row[0] in self._only
            ]
            after = found[-1][0]

    def _votes(self, first: int, last: int) -> dict[int, list[tuple[Any, ...]]]:
        by_example: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
        rows = Vote.objects.filter(
            example_id__gte=first, example_id__lte=last, purpose=Vote.Purpose.VERDICT
        )
        for row in rows.order_by("id").values_list(*_VOTE):
            by_example[row[0]].append(row)
        return by_example

    def _item(self, row: tuple[Any, ...], votes: Any) -> Item:
        pk, uid, external_id, number, author, content, context, *more = row
        label, prediction, probabilities, final, model, fooled, config_id, version, *rest = more
        status, adjudicated, explanation, probes, tries, seconds, created_at, settled_at = rest
        label, prediction, final = _json(label), _json(prediction), _json(final)
        public_id, content = external_id or _uuid(uid), loads(content)
        line: Line = {
            "kind": "example",
            "id": public_id,
            "round": number,
            "author": self._name(author),
            "input": _plain(self._kind, content) if external_id else content,
        }
        if context is not None:
            line["context"] = loads(context)
        line |= {"label": label, "prediction": prediction}
        if probabilities is not None:
            line["probabilities"] = loads(probabilities)
        voted = status, final
        if adjudicated:
            voted = self._by_votes(config_id, label, votes)
        line |= {
            "model": model,
            "created_at": _text(created_at),
            "fooled": fooled,
            "status": status,
            "final_label": final,
            "adjudicated": adjudicated,
            "voted_status": voted[0],
            "voted_label": voted[1],
            "explanation": explanation,
            "probes": probes,
            "tries": tries,
            "seconds": seconds,
            "settled_at": settled_at and _text(settled_at),
            "config": version,
        }
        said = [self._vote(vote, public_id) for vote in votes]
        return Item(pk, line, said, [vote[-1] for vote in votes])

    def _vote(self, row: Any, example: str) -> Line:
        _, validator, pk, label, flag, weight, surplus, dropped, close, *rest = row
        seconds, created_at, hasty, automatic, _ = rest
        return {
            "kind": "vote",
            "example": example,
            "validator": f"{JUDGE if automatic else ''}{self._name(validator)}",
            **({"flag": flag} if flag else {"label": _json(label)}),
            "created_at": _text(created_at),
            "effect": SURPLUS if surplus else DROPPED if dropped else COUNTS,
            "weight": weight,
            "close": close,
            "unsteady": dropped or hasty or pk in self._unsteady,
            "seconds": seconds,
        }

    def _by_votes(self, config_id: int, label: object, rows: Any) -> tuple[str, object]:
        """What the votes say of an example on which an owner decided."""
        example = Example(label=label, config=self.configs[config_id])
        votes = [
            Vote(
                validator_id=validator_id,
                label=_json(vote_label),
                flag=flag,
                reliability=weight,
                dropped=dropped,
                close=close,
                automatic=rest[-2],
            )
            for _, _, validator_id, vote_label, flag, weight, surplus, dropped, close, *rest in rows
            if not surplus
        ]
        return said_by(decision_on(example, votes))


def unsteady_validators(task: Task) -> set[int]:
    """Whose votes lost their weight for a time: a verdict may stand that was reached without."""
    rows = Reliability.objects.filter(task=task)
    theirs = rows.exclude(quarantined_at=None, restarted_at=None)
    tied = AuthorShare.objects.filter(task=task).exclude(named_at=None, cleared_at=None)
    back = Event.objects.filter(
        Q(scope="", verb="unbanned") | Q(scope=task.slug, verb="let_back_in"), object_type="user"
    )
    return {
        *theirs.values_list("validator", flat=True),
        *tied.values_list("validator", flat=True),
        *task.barred.values_list("person", flat=True),
        *map(int, back.values_list("object_id", flat=True)),
    }


def _plain(kind: Kind, stored: Any) -> Any:
    """A picture of a log, which is kept as it came, without what a camera wrote into it."""
    if kind.picture(stored) is None:
        return stored
    with suppress(Refused):
        return kind.parse(stored).stored
    return {}


def said_by(decision: Any) -> tuple[str, object]:
    """A decision as an example's status and final label."""
    if decision.outcome is Outcome.PENDING:
        return Example.Status.OPEN.value, None
    return decision.outcome.value, in_order(decision.label)


@lru_cache(maxsize=10_000)
def _json(text: str | None) -> Any:
    """A label, which many share; None stays None."""
    return None if text is None else loads(text)


def _text(moment: str) -> str:
    """A moment as Python writes it, from the database's own text, which is in UTC."""
    if len(moment) == MICROSECONDS and moment[-3] != "+":  # as SQLite has nearly all
        return f"{moment[:10]}T{moment[11:]}+00:00"
    whole, _, fraction = moment.removesuffix("+00").partition(".")
    parts = f".{fraction:0<6}" if fraction else ""
    return f"{whole[:10]}T{whole[11:]}{parts}+00:00"


def _uuid(text: str) -> str:
    """With dashes, which SQLite does not keep."""
    if len(text) > 32:
        return text
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def names_of(task: Task) -> QuerySet[Any]:
    """Everybody who submitted, as (key, pseudonym)."""
    authors = Example.objects.usable().filter(task=task).order_by("author")
    return authors.annotate(name=F("author__pseudonym")).values_list("author", "name").distinct()
