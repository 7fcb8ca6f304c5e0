"""What the database knows of a task, as lines of a release, in chunks; writes nothing.

All of it is read in one view: a vote that comes meanwhile is in none of the lines.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import UTC
from functools import lru_cache
from operator import attrgetter
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
from pydantic_core import from_json as loads

from accounts.models import Event, User
from annotate.models import Example, Round, TargetAnswer, Task, TaskConfig
from annotate.queries import works_alone
from core.errors import Refused
from kinds import Kind
from kinds.answers import in_order
from releases.figures import ALONE, COUNTS, DROPPED, LIVE, LOG, SURPLUS
from releases.models import PersonalFind
from releases.people import Pseudonyms
from releases.sets import NAMES
from validate.decisions import decision_on
from validate.models import AuthorShare, Gold, QueueItem, Reliability, Vote
from validate.policies import JUDGE, Outcome

CHUNK: Final = 1_000
MICROSECONDS: Final = len("2026-01-01 12:00:00.000001")
LEAVE_OUT: Final = PersonalFind.Decision.LEAVE_OUT


def _as_text(*names: str) -> tuple[Any, ...]:
    """Columns as the database writes them: what Django makes of them takes half of all the time."""
    return tuple(Cast(name, TextField()) for name in names)


_EXAMPLE: Final[tuple[Any, ...]] = (
    *("pk", "author_id", *_as_text("uid"), "external_id", "round_id"),
    *_as_text("input", "context__data", "label", "prediction", "probabilities", "final_label"),
    *("model_id", "fooled", "config_id", "status", "adjudicated"),
    *("explanation", "probes", "tries", "seconds", *_as_text("created_at", "settled_at")),
)
_VOTE: Final[tuple[Any, ...]] = (
    *("example_id", "validator_id", *_as_text("label"), "flag"),
    *("reliability", "surplus", "dropped", "close", "seconds", *_as_text("created_at"), "hasty"),
    *("automatic", "id"),
)

_TARGET: Final[tuple[Any, ...]] = (
    *("example_id", "model_id", *_as_text("prediction", "probabilities"), "fooled"),
)

Line = dict[str, Any]


class Item(NamedTuple):
    """An example and the votes on it, as lines of the log; `cast`: the keys of the votes."""

    pk: int
    line: Line
    votes: list[Line]
    cast: list[int]


WITHDRAWN: Final = "withdrawn by their authors"


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
        (WITHDRAWN, Q(retracted_at__isnull=False)),
        ("made up by a program", Q(generated__isnull=False)),
        ("hidden by an owner", Q(hidden_at__isnull=False)),
        ("made on visits that no platform has confirmed", Q(provisional=True)),
        ("kept back for personal data", has(PersonalFind.objects.filter(decision=LEAVE_OUT))),
        ("still asked of validators", asked if waiting else asked | has(QueueItem.objects.all())),
    ]


UNDECIDED: Final = "waiting for an owner's word on personal data"
NOT_BEFORE: Final = "not in the version that this one corrects"


def with_reasons(task: Task, *, waiting: bool) -> QuerySet[Any]:
    """All that was submitted, each with `why` it is left out: "" of what is released."""
    whens = [When(rule, then=Value(why)) for why, rule in reasons(waiting=waiting)]
    return Example.objects.filter(task=task).annotate(why=Case(*whens, default=Value("")))


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
        self._task, self._only, self._waiting = task, only, waiting
        self.last_example = task.examples.aggregate(last=Max("id"))["last"] or 0
        if only is not None:
            self.last_example = max(only, default=0)
        submitted = with_reasons(task, waiting=waiting).filter(pk__lte=self.last_example)
        self._submitted = submitted
        self._examples = submitted.filter(why="").order_by("pk")
        counted = submitted.order_by().values_list("why").annotate(number=Count("pk"))
        self._by_reason: dict[str, int] = dict(counted)
        self.total = self._by_reason.get("", 0) if only is None else len(only)
        """How many there are, or were in the version that this one corrects."""
        self._people = _People(pseudonyms)
        self.sources = self._people.sources
        self._unsteady = unsteady_validators(task)
        self._models = dict(task.models.values_list("pk", "name"))
        self._rounds = dict(task.rounds.values_list("pk", "number"))
        self._several = task.rounds.exclude(needed=None).exists()
        configs = TaskConfig.objects.filter(task=task)
        self.configs = {config.pk: config for config in configs}

    def left_out(self, released: int, *, undecided: int) -> dict[str, int]:
        """How many submissions are not in it, by the first reason that holds."""
        return {
            **{why: self._by_reason.get(why, 0) for why, _ in reasons(waiting=self._waiting)},
            UNDECIDED: undecided,
            NOT_BEFORE: self._by_reason.get("", 0) - released - undecided,
        }

    def erased(self) -> int:
        """How many of those that were withdrawn went with all that they said, as asked."""
        return self._submitted.filter(why=WITHDRAWN, input={}).count()

    def rounds(self, numbers: Collection[int]) -> list[dict[str, Any]]:
        """How these rounds were set, by number: two queries."""
        found = self._task.rounds.filter(number__in=numbers).order_by("number")
        return [_round(one) for one in found.prefetch_related("targets")]

    def gone(self, authors: Collection[str]) -> int:
        """How many of these have closed their account, or were forgotten, by now."""
        closed = User.objects.filter(closed_at__isnull=False, examples__task=self._task)
        names = map(self._people.called, closed.values_list("pseudonym", flat=True).distinct())
        return len(set(names) & set(authors))

    def items(self) -> Iterator[list[Item]]:
        """Every example with its votes in the order in which they came, a chunk at a time."""
        after = 0
        rows = self._examples.values_list(*_EXAMPLE)
        while found := list(rows.filter(pk__gt=after)[:CHUNK]):
            votes = self._votes(found[0][0], found[-1][0])
            targets = self._targets(found[0][0], found[-1][0])
            self._people.meet({row[1] for row in found})
            self._people.meet({vote[1] for some in votes.values() for vote in some})
            yield [
                self._item(row, votes.get(row[0], ()), targets.get(row[0]))
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

    def _targets(self, first: int, last: int) -> dict[int, list[Line]]:
        """What each model said of examples of rounds that ask all of theirs."""
        by_example: dict[int, list[Line]] = defaultdict(list)
        if self._several:
            rows = TargetAnswer.objects.filter(example_id__gte=first, example_id__lte=last)
            rows = rows.order_by("example_id", "model__number")
            for example, model, prediction, probabilities, fooled in rows.values_list(*_TARGET):
                said = {"model": self._models.get(model), "prediction": _json(prediction)}
                if probabilities is not None:
                    said["probabilities"] = loads(probabilities)
                by_example[example].append(said | {"fooled": fooled})
        return by_example

    def _item(self, row: tuple[Any, ...], votes: Any, targets: list[Line] | None = None) -> Item:
        pk, author, uid, external_id, round_id, content, context, *more = row
        label, prediction, probabilities, final, model_id, fooled, config_id, *rest = more
        status, adjudicated, explanation, probes, tries, seconds, created_at, settled_at = rest
        label, prediction, final = _json(label), _json(prediction), _json(final)
        public_id, content = external_id or _uuid(uid), loads(content)
        line: Line = {
            "kind": "example",
            "id": public_id,
            "round": self._rounds[round_id],
            "author": self._people.names[author],
            "input": _plain(self._task.kind, content) if external_id else content,
        }
        if context is not None:
            line["context"] = loads(context)
        line |= {"label": label, "prediction": prediction}
        if probabilities is not None:
            line["probabilities"] = loads(probabilities)
        voted = status, final
        if adjudicated:
            example = Example(label=label, prediction=prediction, fooled=fooled)
            example.config = self.configs[config_id]
            voted = self._by_votes(example, votes)
        line |= {
            "model": self._models[model_id],
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
            "config": self.configs[config_id].version,
            "arm": LOG if external_id else self._arm(config_id, author),
        }
        if targets:
            line["targets"] = targets
        said = [self._vote(vote, public_id) for vote in votes]
        return Item(pk, line, said, [vote[-1] for vote in votes])

    def _arm(self, config_id: int, author: int) -> str:
        """Whether its author saw the model's answers before they submitted."""
        file = self.configs[config_id].file
        alone = file.feedback == "on_submit" or (
            file.control > 0 and works_alone(file.control, self._task.pk, author)
        )
        return ALONE if alone else LIVE

    def _vote(self, row: Any, example: str) -> Line:
        _, validator, label, flag, weight, surplus, dropped, close, *rest = row
        seconds, created_at, hasty, automatic, _ = rest
        return {
            "kind": "vote",
            "example": example,
            "validator": f"{JUDGE if automatic else ''}{self._people.names[validator]}",
            **({"flag": flag} if flag else {"label": _json(label)}),
            "created_at": _text(created_at),
            "effect": SURPLUS if surplus else DROPPED if dropped else COUNTS,
            "weight": weight,
            "close": close,
            "unsteady": dropped or hasty or validator in self._unsteady,
            "seconds": seconds,
        }

    def _by_votes(self, example: Example, rows: Any) -> tuple[str, object]:
        """What the votes say of an example on which an owner decided."""
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
            for _, validator_id, vote_label, flag, weight, surplus, dropped, close, *rest in rows
            if not surplus
        ]
        return said_by(decision_on(example, votes))


def _round(one: Round) -> dict[str, Any]:
    limits = one.limits
    times = {name: getattr(one, name) for name in _TIMES}
    return {
        "round": one.number,
        "status": one.status,
        "targets": [model.name for model in sorted(one.targets.all(), key=_number)],
        "needed": one.needed,
        **{name: time and time.astimezone(UTC).isoformat() for name, time in times.items()},
        "rules": {name: getattr(limits, name) for name in _LIMITS},
    }


_number: Final = attrgetter("number")
_TIMES: Final = ("opens_at", "opened_at", "closes_at", "closed_at")
_LIMITS: Final = ("submissions", "verified", "submissions_each", "verified_each", "retraction")


class _People:
    """The names of those who are met, each read and hashed once."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self.called = pseudonyms.of
        self.names: dict[int, str] = {}
        self.sources: set[str] = set()
        """The published sets that some of them are of."""

    def meet(self, keys: Collection[int]) -> None:
        new = User.objects.filter(pk__in=[pk for pk in keys if pk not in self.names])
        for pk, name, imported in new.values_list("pk", "pseudonym", "imported"):
            self.names[pk] = self.called(name)
            if imported and (source := name.partition(": ")[0]) in NAMES:
                self.sources.add(source)


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
