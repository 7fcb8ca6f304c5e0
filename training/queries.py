"""Reads: what waits to be learned from, which run is active, what a model has learned from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any, Final

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from accounts.models import Event
from annotate.models import Example, ModelVersion, TargetAnswer, Task
from annotate.queries import Target
from ml.learners import learners_of, name_in
from training.config import RetrainingSettings
from training.models import SnapshotItem, Split, TrainingRun
from validate.models import Review

SAMPLE = 24

Role, Status = SnapshotItem.Role, Example.Status
_OF_ROLE: Final = {
    Role.FOOLING: Q(fooled=True, status=Status.VERIFIED),
    Role.RELABELLED: Q(status=Status.RELABELLED),
    Role.HONEST: Q(fooled=False, status=Status.VERIFIED),
    Role.AMBIGUOUS: Q(status=Status.AMBIGUOUS),
}


def settings_of(task: Task) -> RetrainingSettings:
    """The task's `retraining` section as it is configured now."""
    assert task.config is not None
    settings: RetrainingSettings = task.config.file.section("retraining")
    return settings


def verified_foolings(task_id: int) -> QuerySet[Example]:
    """What a task's models may learn from and be tested with: confirmed, and still to be used.

    Each content once: of copies, which a log may hold, the first alone. None whose verdict rests on
    a vote that lost its weight, until its owner has looked.
    """
    return _to_freeze(task_id).filter(_OF_ROLE[Role.FOOLING])


def learnable(task_id: int, also: Iterable[str] = ()) -> QuerySet[Example]:
    """Verified foolings, and what else the task's models learn from: their `role_of`s."""
    wanted = Q()
    for role in (Role.FOOLING, *also):
        wanted |= _OF_ROLE[Role(role)]
    return _to_freeze(task_id).filter(wanted)


def role_of(example: Example) -> SnapshotItem.Role:
    """As what a settled example is frozen."""
    if example.status == Status.VERIFIED:
        return Role.FOOLING if example.fooled else Role.HONEST
    return Role(example.status)


def _to_freeze(task_id: int) -> QuerySet[Example]:
    return Example.objects.usable().filter(~is_doubted("pk"), task_id=task_id, copy_of=None)


def is_doubted(example: str) -> Exists:
    """Whether the verdict on the example of this name in a row rests on a vote that lost its
    weight, and no owner has looked yet."""
    return Exists(
        Review.objects.filter(
            example=OuterRef(example), kind=Review.Kind.QUARANTINE, closed_at=None
        )
    )


def known_to(model: ModelVersion) -> QuerySet[Any]:
    """What was sent to a model and is known to fool it or not (`misread`), with what it `said`:
    verified foolings, and what nobody disputes that fooled it not. A claim that waits, or was not
    upheld, is neither. One query more, to know whether its rounds ever asked others beside it."""
    own = TargetAnswer.objects.filter(example=OuterRef("pk"), model=model)
    found = Example.objects.usable().filter(copy_of=None, task=model.task_id)
    if TargetAnswer.objects.filter(model=model).exists():
        found = found.filter(Q(model=model) | Exists(own)).annotate(
            misread=Coalesce(Subquery(own.values("fooled")), F("fooled")),
            said=Coalesce(Subquery(own.values("prediction")), F("prediction")),
        )
    else:
        found = found.filter(model=model).annotate(misread=F("fooled"), said=F("prediction"))
    undisputed = Q(fooled=False, misread=False, status=Example.Status.OPEN)
    return found.filter(Q(status=Example.Status.VERIFIED) | undisputed)


def as_met(example: Any) -> Example:
    """One of these, never to be saved, as if that model alone had been asked."""
    example.fooled, example.prediction = example.misread, example.said
    met: Example = example
    return met


def authors_of_copies(task_id: int) -> list[tuple[str, str]]:
    """Who sent what another author had sent, with that author: pseudonyms."""
    copies = Example.objects.counted().filter(task_id=task_id, copy_of__isnull=False)
    pairs = copies.values_list("author__pseudonym", "copy_of__author__pseudonym")
    return [(one, other) for one, other in pairs.distinct() if one and other and one != other]


def waiting_foolings(task_id: int) -> QuerySet[Example]:
    """Verified foolings that no run has used yet; a run that was broken off used none."""
    used = TrainingRun.objects.filter(snapshot__items__example=OuterRef("pk")).exclude(
        status__in=TrainingRun.BROKEN_OFF
    )
    return verified_foolings(task_id).filter(~Exists(used))


def is_trainable(task: Task) -> bool:
    """Whether anything here learns its kind of input (no query)."""
    return bool(learners_of(task.input_kind))


def trainable_model(target: Target | None) -> ModelVersion | None:
    """The newest of the open round's models that a learner here can train further."""
    models = target.models if target is not None else ()
    able = [model for model in models if model.artifact and name_in(model.config) is not None]
    return able[-1] if able else None


def shown_of(trial: Mapping[str, Any]) -> dict[str, Any]:
    """One way to learn beside others: what it gains, in points, and the gates that stop it."""
    sets = {name: trial["figures"][name] for name in ("clean", "new_round")}
    return {
        "recipe": trial["recipe"] or "as the task says",
        "seed": trial["seed"],
        "sha256": trial["made"]["sha256"],
        "failed": ", ".join(gate["name"] for gate in trial["gates"] if not gate["passed"]),
        **{
            name: 100 * (one["now"] - one["before"]) if one["items"] else 0.0
            for name, one in sets.items()
        },
    }


def an_owner_looked(task: Task) -> bool:
    """Whether an owner ever promoted one of the task's retrained models, having seen its sample."""
    learned = set(
        TrainingRun.objects.filter(task=task, candidate__rounds__isnull=False).values_list(
            "candidate__name", flat=True
        )
    )
    by_hand = Event.objects.filter(
        scope=task.slug, verb__in=["opened", "scheduled"], actor__isnull=False
    )
    opened = by_hand.values_list("data", flat=True) if learned else ()
    return any(learned & set(data["models"]) for data in opened)


def sample_of_learned(run: TrainingRun) -> list[SnapshotItem]:
    """Some of what a run learned that its parent had not, chosen by its id: what an owner looks at.

    Examples with their inputs; two queries.
    """
    before = learned_examples(run.parent).values("example_id")
    new = SnapshotItem.objects.filter(snapshot=run.snapshot_id, split=Split.TRAIN).exclude(
        example__in=before
    )
    ids = sorted(new.values_list("pk", flat=True))
    chosen = Random(run.uid.int).sample(ids, min(SAMPLE, len(ids)))
    return list(
        SnapshotItem.objects.filter(pk__in=chosen)
        .select_related("example__task", "example__config", "example__context")
        .order_by("example__prediction", "pk")
    )


def same_models(model: ModelVersion) -> list[ModelVersion]:
    """The task's models that are this one under any name, itself among them: of one file, or one
    name at one address. One query."""
    return [one for one in model.task.models.all() if _origin(one) == _origin(model)]


def _origin(model: ModelVersion) -> object:
    if url := model.config.get("url"):
        return url, model.config.get("model")
    return model.sha256 or model.pk


def later_models(model: ModelVersion) -> QuerySet[ModelVersion]:
    """Those that came since and may be asked unbidden: none behind an address, which somebody pays
    for, and none that is retired."""
    newer = model.task.models.filter(number__gt=model.number, retired_at=None)
    return newer.exclude(backend="").exclude(config__has_key="url").order_by("number")


def clean_of_people(runs: QuerySet[TrainingRun]) -> list[tuple[int, dict[str, list[int]]]]:
    """The candidates of these runs that learned, or were tested with, what people sent as clean
    data: the keys of that by its side. One query."""
    found = runs.filter(candidate__isnull=False, metrics__has_key="clean_of_people")
    rows = found.values_list("candidate", "metrics__clean_of_people")
    return [(candidate, keys) for candidate, keys in rows if keys]


def taught_to(model: ModelVersion | None) -> set[int]:
    """The keys of all that it, or an ancestor, learned from; two queries a generation, and one more
    where people's clean data were among it."""
    found: set[int] = set()
    while model is not None:
        left_out = {name for names in left_out_of(model).values() for name in names}
        items = SnapshotItem.objects.filter(
            snapshot__runs__candidate=model, split=Split.TRAIN
        ).select_related("example")
        items = items.only("example__uid", "example__external_id")
        found |= {one.example_id for one in items if one.example.public_id not in left_out}
        if "clean_of_people" in model.provenance.get("data", {}):
            for _, clean in clean_of_people(TrainingRun.objects.filter(candidate=model)):
                found.update(clean[Split.TRAIN])
        model = model.parent
    return found


def left_out_of(model: ModelVersion) -> dict[str, list[Any]]:
    """What a training left out, by the reason: names of examples, of clean items their places.

    Before reasons were kept they are "unknown"."""
    kept = model.provenance.get("data", {}).get("left_out", {})
    return kept if isinstance(kept, dict) else {"unknown": kept}


def learned_examples(model: ModelVersion | None) -> QuerySet[SnapshotItem]:
    """The items that the model, or an ancestor, was trained and promoted with.

    Snapshots hold everything verified up to their time, so the nearest one is enough.
    """
    while model is not None:
        run = TrainingRun.objects.filter(candidate=model, snapshot__isnull=False).first()
        if run is not None:
            return SnapshotItem.objects.filter(snapshot=run.snapshot_id)
        model = model.parent
    return SnapshotItem.objects.none()
