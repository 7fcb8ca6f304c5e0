"""What is told about one model: its card, its check, how often it was fooled and on what."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, F, Prefetch, Sum
from django.db.models.functions import Greatest

from annotate.models import Example, ModelVersion, Round, Task, Viewer
from kinds.answers import in_order, in_words
from scoring.kept import Tallies
from scoring.queries import Rate, wilson_rate
from scoring.targets import OF_ANSWER, answers_of_examples, answers_of_targets, fate

SHOWN: Final = 12  # rows of a table; what is left out is counted together


@dataclass(frozen=True, slots=True)
class Share:
    """How a model did on examples of one sort, and what it most often said when it was wrong."""

    name: str
    mer: Rate
    verified: int
    said: str = ""
    said_times: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """What became of a model: all it met, by the author's label and by where contexts are from.

    `answers` is about how often it was asked for it: once at least for each submission, and for
    each answer that its author saw before; `cost` what that took, where somebody tells.
    """

    submitted: int
    answers: int
    cost: Mapping[str, float] | None
    mer: Rate
    vmer: Rate
    labels: tuple[Share, ...]
    sources: tuple[Share, ...]


def models_of(task: Task) -> list[ModelVersion]:
    """All of a task's, newest first, each with the rounds that were opened; two queries."""
    opened = Round.objects.exclude(status=Round.Status.DRAFT).order_by("number")
    models = ModelVersion.objects.filter(task=task).select_related("parent")
    return list(models.prefetch_related(Prefetch("rounds", opened)).order_by("-number"))


def model_visible_to(viewer: Viewer, pk: int) -> ModelVersion | None:
    """The model if this person may see it."""
    seen = ModelVersion.objects.visible_to(viewer).select_related("task", "parent")
    return seen.filter(pk=pk).first()


def card_of(model: ModelVersion) -> dict[str, Any]:
    """A model as REST shows it; one query."""
    numbers = (
        model.rounds.exclude(opened_at=None).order_by("number").values_list("number", flat=True)
    )
    unscored = {"dynascore": None, "dynascore_of": {"reason": "not evaluated yet"}}
    return {
        **{name: getattr(model, name) for name in _TOLD},
        "metrics": unscored | model.metrics,
        "id": model.pk,
        "task": model.task.slug,
        "parent": model.parent.name if model.parent else None,
        "card": model.provenance.get("card", {}),
        "check": model.provenance.get("check"),
        "rounds": list(numbers),
    }


_TOLD: Final = ("number", "name", "backend", "sha256", "created_at", "retired_at")


def record_told(model: ModelVersion, tallies: Tallies) -> Record:
    """Its record as of these tallies."""
    return tallies.once(("record", model.pk), lambda now: record_of(model, now.left_out))


def record_of(model: ModelVersion, left_out: Collection[int] = ()) -> Record:
    """Of everything submitted against a model, but by those left out; two queries. Claims until
    they are verified.

    What is said in free words is no sort of examples: there would be as many as examples.
    """
    few = model.task.kind.answers.few or model.task.kind.answers.several
    met = ((answers_of_examples(left_out), ""), (answers_of_targets(left_out), OF_ANSWER))
    rows = [
        _Row(dict(row))
        for answers, example in met
        for row in answers.filter(model=model)
        .values(
            "fooled",
            *(["prediction"] if few else []),
            source=F(f"{example}context__source"),
            **({"it_is": F(f"{example}label")} if few else {}),
        )
        .annotate(
            n=Count("pk"),
            verified=Count("pk", filter=fate(Example.Status.VERIFIED, example)),
            asked=Sum(Greatest(f"{example}probes", 1)),
        )
    ]
    whole, asked = _share("", rows), sum(row.answers for row in rows)
    return Record(
        submitted=whole.mer.of,
        answers=asked,
        cost=_cost_of(model, asked),
        mer=whole.mer,
        vmer=wilson_rate(whole.verified, whole.mer.of),
        labels=_shares((row.label, row) for row in rows) if few else (),
        sources=_shares((row.source, row) for row in rows if row.source),
    )


class _Row:
    """Examples that are alike in what is counted."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.label, self.said = (
            in_words(in_order(row[name])) if name in row else "" for name in ("it_is", "prediction")
        )
        self.source: str = row["source"] or ""
        self.n: int = row["n"]
        self.answers: int = row["asked"]
        self.fooled = self.n if row["fooled"] else 0
        self.verified: int = row["verified"]


def _cost_of(model: ModelVersion, answers: int) -> dict[str, float] | None:
    """About what people's questions cost, by the tokens that an answer took in its check.

    None where nobody tells, and for whole conversations, of which each turn takes more.
    """
    each = (model.provenance.get("check") or {}).get("tokens")
    if each is None or model.task.kind.talks:
        return None
    tokens, price = answers * each, model.config.get("price")
    return {"tokens": tokens} | ({"money": tokens * price / 1e6} if price is not None else {})


def _shares(named: Iterable[tuple[str, _Row]]) -> tuple[Share, ...]:
    groups: defaultdict[str, list[_Row]] = defaultdict(list)
    for name, row in named:
        groups[name].append(row)
    shares = sorted((_share(*group) for group in groups.items()), key=lambda one: -one.mer.of)
    return tuple(shares[:SHOWN])


def _share(name: str, rows: Sequence[_Row]) -> Share:
    wrong: Counter[str] = Counter()
    for row in rows:
        if row.fooled:
            wrong[row.said] += row.fooled
    said, times = wrong.most_common(1)[0] if wrong else ("", 0)
    fooled, submitted = wrong.total(), sum(row.n for row in rows)
    return Share(
        name=name,
        mer=wilson_rate(fooled, submitted),
        verified=sum(row.verified for row in rows),
        said=said,
        said_times=times,
    )
