"""Every registered model on every frozen set: what boards compare.

A set is what its hash says: clean held-out data, or the verified foolings of one round as they were
frozen. An answer once given to a set is never asked for again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from annotate.models import ModelVersion, Task
from core.errors import Refused
from core.transactions import durable
from kinds.answers import same_answer
from kinds.comparators import AskAnnotator, parse_comparator
from ml import metrics
from ml.artifacts import ArtifactError
from ml.backends import NAMES, Answer, Backend, open_model, source_of, way_named
from ml.learners import Item, learner_named, name_in, read_base
from ml.measure import NotMeasured, measure
from ml.remote import RemoteOptions
from scoring.statistics import LEAST_RESAMPLED, macro_f1
from training.attacked import AttackSet
from training.board import keep_scores
from training.checks import CheckSet, checks_of
from training.clean import choose_clean, digest_of_clean, filled
from training.evaluation import answers_of, as_labels, f1_of
from training.f1 import Labels
from training.models import Evaluation, Snapshot, SnapshotItem, Split, TrainingRun
from training.queries import settings_of, verified_foolings
from training.slices import counts_of, sets_of, sliced_by, slices_of
from training.snapshots import digest_of_set, freeze
from training.stress import StressSet, some_of, stress_sets
from training.versions import shown_versions

logger = logging.getLogger(__name__)

TIMED: Final = 200  # inputs that speed is measured with

Listener = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class FrozenSet:
    """Items that stay as they are; `round` is the one that they fooled, None for clean ones.

    `sources`: where each item's context is from, or ""; `names`: what people's are called.
    """

    name: str
    sha256: str
    items: Sequence[Item]
    round: int | None = None
    sources: Sequence[str] = ()
    names: Sequence[str] = ()

    def figures(self, task: Task, model: ModelVersion, backend: Backend) -> dict[str, Any]:
        """What a model is on it; what it cannot answer it has wrong."""
        return _figures(task, backend, self, _threshold(model, self))


@dataclass(slots=True)
class Evaluated:
    """What one pass came to."""

    models: int = 0
    sets: int = 0
    asked: int = 0
    kept: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def evaluate_models(
    *, task: Task, only: str | None = None, listener: Listener | None = None
) -> Evaluated:
    """Let the models that can be asked answer every set that they have not answered yet.

    `only` names one of them. Speed is measured again for all of them when it is missing for one.
    Refused when there is no such model, or no set. What one model cannot do stops no other.
    """
    models = [model for model in _live(task) if only in (None, model.name)]
    if not models:
        raise Refused("no_model", f"{task.slug} has no model {only or 'that can be asked'}.")
    if task.kind.talks:
        raise Refused("no_data", "A chat is not held again: rounds say how models compare.")
    sets = frozen_sets(task)
    _forget_rounds_without(task, sets)
    if not sets:
        raise Refused("no_data", f"{task.slug} has no clean data and no verified fooling yet.")
    clean = sets[:1] if sets[0].round is None else sets
    some = some_of([item for one in clean for item in one.items])
    asked: list[FrozenSet | StressSet | AttackSet | CheckSet] = [*sets, *stress_sets(task, some)]
    if isinstance(some[0].prepared.features, np.ndarray):
        asked.append(AttackSet(some))
    if checks := checks_of(task, some):
        asked.append(checks)
    outcome, run = Evaluated(models=len(models), sets=len(asked)), uuid.uuid4()
    tell = listener or (lambda *_: None)
    steps = len(models) * len(asked)
    for place, model in enumerate(models):
        missing = [one for one in asked if not _holds(task, model, one)]
        outcome.kept += len(asked) - len(missing)
        tell(place * len(asked), steps, f"{model.name}: {len(missing)} sets")
        try:
            backend = opened(model) if missing else None
            for one in missing:
                assert backend is not None
                figures = one.figures(task, model, backend)
                if figures is not None:
                    _store(task, model, one.name, one.sha256, run, **figures)
                    outcome.asked += 1
        except Exception as error:
            logger.warning("%s could not be evaluated", model, exc_info=True)
            outcome.failed[model.name] = str(error)
    _measure_speed(task, sets, run, outcome)
    _wait_for_nobody(task, asked, outcome)
    _forget_earlier(task)
    keep_scores(task)
    tell(steps, steps, "done")
    return outcome


def costs_nobody(task: Task) -> bool:
    """Whether models may be evaluated unasked: there is something to ask them, and none is asked
    elsewhere, where a question may cost somebody; two queries."""
    models = _live(task)
    here = all(
        one.backend in NAMES and not issubclass(way_named(one.backend).options, RemoteOptions)
        for one in models
    )
    if task.kind.talks or not here:
        return False
    clean = any(name_in(model.config) is not None for model in models)
    return clean or verified_foolings(task.pk).exists()


def wanted(task: Task) -> tuple[int, int]:
    """How many evaluations there are, and how many there would be; reads no data, four queries.

    As of the newest frozen sets: what was verified since makes others. Without stress, which not
    every model can be put under.
    """
    sets = set(_newest(task))
    models = [model.pk for model in _live(task)]
    there = Evaluation.objects.filter(task=task, model__in=models).values_list(
        "data", "data_sha256"
    )
    return sum(1 for one in there if one in sets), len(sets) * len(models)


def _newest(task: Task) -> Iterator[tuple[str, str]]:
    rows = Evaluation.objects.filter(task=task).order_by("-created_at", "-id")
    rows = rows.exclude(data__in=[Evaluation.SPEED, Evaluation.CHECKS])
    rows = rows.exclude(data__startswith=Evaluation.STRESS)
    seen = set()
    for data, sha256 in rows.values_list("data", "data_sha256"):
        if data not in seen:
            seen.add(data)
            yield data, sha256


def _live(task: Task) -> list[ModelVersion]:
    return list(task.models.exclude(backend="").filter(retired_at=None).order_by("number"))


def opened(model: ModelVersion) -> Backend:
    """A registered model, ready to answer; ArtifactError says why not."""
    made = {"artifact": model.artifact, "sha256": model.sha256, "config": model.config}
    return open_model(model.backend, source_of(made, Path(settings.ARTIFACT_DIR)))


def _is_there(model: ModelVersion, data: str, sha256: str) -> bool:
    return Evaluation.objects.filter(model=model, data=data, data_sha256=sha256).exists()


def _of_today(
    task: Task, one: FrozenSet | StressSet | AttackSet | CheckSet
) -> QuerySet[Evaluation]:
    """What models made of a set as it is, and as the task's file now says."""
    assert task.config is not None
    found = Evaluation.objects.filter(task=task, data=one.name, data_sha256=one.sha256)
    if isinstance(one, FrozenSet):
        found = found.filter(figures__sliced_by=sliced_by(task.config.file))
    return found


def _holds(
    task: Task, model: ModelVersion, one: FrozenSet | StressSet | AttackSet | CheckSet
) -> bool:
    """Whether it is there. Sets may become again what they were: the newest version is the one that
    was asked for last."""
    with durable():
        return bool(_of_today(task, one).filter(model=model).update(created_at=timezone.now()))


def _forget_rounds_without(task: Task, sets: Sequence[FrozenSet]) -> None:
    """Of rounds without a set, as all of their foolings are gone: what models made of earlier ones
    would be shown for ever."""
    rounds = Evaluation.objects.filter(task=task, data__startswith=Evaluation.ROUND)
    rounds.exclude(data__in=[one.name for one in sets]).delete()


def _wait_for_nobody(
    task: Task, asked: Sequence[FrozenSet | StressSet | AttackSet | CheckSet], outcome: Evaluated
) -> None:
    """Models that failed have no number on a set that half of the models have met as it is now:
    with those that they have by earlier versions they would hold it up for ever."""
    models = [model.pk for model in _live(task)]
    for one in asked:
        met = list(_of_today(task, one).filter(model__in=models).values_list("model", flat=True))
        if 2 * len(met) >= len(models):
            theirs = Evaluation.objects.filter(task=task, data=one.name)
            theirs.filter(model__name__in=outcome.failed).exclude(model__in=met).delete()


def _forget_earlier(task: Task) -> None:
    """Of models that have met the version of a set that is shown, what they made of earlier ones:
    nobody reads it, and boards would ever have more to look through."""
    for data, met in shown_versions(task).items():
        theirs = Evaluation.objects.filter(task=task, data=data, model__in=met.keys())
        earlier = theirs.filter(created_at__lt=min(one.made for one in met.values()))
        earlier.exclude(pk__in=[one.pk for one in met.values()]).delete()


def _store(
    task: Task, model: ModelVersion, data: str, sha256: str, run: uuid.UUID, **values: Any
) -> None:
    with durable():
        Evaluation.objects.update_or_create(
            model=model,
            data=data,
            data_sha256=sha256,
            defaults={"task": task, "run": run, "created_at": timezone.now(), **values},
        )


# --- sets -----------------------------------------------------------------------------------------
def frozen_sets(task: Task) -> list[FrozenSet]:
    """Clean data, where a model brings some, and each round's verified foolings, frozen now if they
    are not yet.

    Where a model was ever trained here, a round's set is of authors whom training never sees.
    """
    clean = _clean(task)
    return [*([clean] if clean else []), *_rounds(task)]


def _clean(task: Task) -> FrozenSet | None:
    for model in task.models.order_by("-number"):
        learner = name_in(model.config)
        if learner is not None:
            named = model.config["base"]
            base = read_base(learner_named(learner), named, Path(settings.ARTIFACT_DIR))
            chosen, sha256 = choose_clean(task, settings_of(task), base), named["sha256"]
            if chosen is not None:
                base = filled(task, base, chosen)
                sha256 = hashlib.sha256(f"{sha256} {digest_of_clean(chosen)}".encode()).hexdigest()
            if not base.held_out:
                return None
            return FrozenSet(Evaluation.CLEAN, _by_rule(task, sha256), base.held_out)
    return None


def set_as_it_is(task: Task, name: str) -> FrozenSet | None:
    """The set of this name as it was frozen last: nothing is frozen now."""
    if name == Evaluation.CLEAN:
        return _clean(task)
    newest = task.snapshots.order_by("-created_at", "-id").first()
    found = _sets_of(task, newest) if newest is not None else ()
    return next((one for one in found if one.name == name), None)


def _rounds(task: Task) -> Iterator[FrozenSet]:
    snapshot = _snapshot(task)
    if snapshot is not None:
        yield from _sets_of(task, snapshot)


def _sets_of(task: Task, snapshot: Snapshot) -> Iterator[FrozenSet]:
    items = (
        snapshot.items.filter(role=SnapshotItem.Role.FOOLING)
        .select_related("example__round", "example__context", "example__config", "example__task")
        .order_by("example__round__number", "example_id")
        .defer("example__probabilities", "example__explanation")
    )
    if TrainingRun.objects.filter(task=task, candidate__isnull=False).exists():
        items = items.filter(split=Split.HELD_OUT)
    for number, group in groupby(items.iterator(500), lambda item: item.example.round.number):
        rows = list(group)
        found = [
            (one, _source(row), row.example.public_id)
            for row in rows
            if (one := _item(task, row)) is not None
        ]
        if found:
            read, sources, names = zip(*found, strict=True)
            sha256 = _by_rule(task, digest_of_set(rows))
            yield FrozenSet(f"{Evaluation.ROUND}{number}", sha256, read, number, sources, names)


def _by_rule(task: Task, sha256: str) -> str:
    """The hash of a set under the task's rule of what is right, which makes it another set; under
    its kind's usual one it is that of its items."""
    assert task.config is not None
    rule, usual = task.config.file.comparator_rule, task.kind.rules[0]
    if rule == parse_comparator({"rule": usual}):
        return sha256
    return hashlib.sha256(f"{sha256} {rule!r}".encode()).hexdigest()


def _snapshot(task: Task) -> Snapshot | None:
    """The newest one, made now when something was verified since, or is no longer; None where
    nothing is."""
    foolings = verified_foolings(task.pk)
    if not foolings.exists():
        return None
    newest = task.snapshots.order_by("-created_at", "-id").first()
    known = SnapshotItem.objects.filter(snapshot=newest, role=SnapshotItem.Role.FOOLING)
    added = foolings.exclude(pk__in=known.values("example"))
    if added.exists() or known.exclude(example__in=foolings).exists():
        round_ = task.rounds.order_by("-number").first()
        assert round_ is not None
        newest = freeze(task=task, round_=round_, settings=settings_of(task))
    return newest


def _item(task: Task, row: SnapshotItem) -> Item | None:
    try:
        return Item(task.kind.parse(row.example.whole_input), row.label)
    except Exception as error:  # noqa: BLE001  (one bad item ends no evaluation)
        logger.warning("%s cannot be read and is left out: %s", row.example, error)
        return None


def _source(row: SnapshotItem) -> str:
    context = row.example.context
    return context.source if context is not None else ""


# --- figures --------------------------------------------------------------------------------------
def _figures(
    task: Task, model: Backend, data: FrozenSet, threshold: float | None
) -> dict[str, Any]:
    assert task.config is not None
    file = task.config.file
    found = answers_of(model, data.items)
    truth = [item.label for item in data.items]
    right = [
        answer is not None and is_right(file.comparator_rule, answer.label, label)
        for answer, label in zip(found, truth, strict=True)
    ]
    answers = [answer or Answer(None) for answer in found]
    figures: dict[str, Any] = {
        "unanswered": found.count(None),
        "sliced_by": sliced_by(file),
        "slices": counts_of(slices_of(file, data.items, data.sources), right),
        "bits": np.packbits(np.array(right, bool)).tobytes().hex(),
    }
    if file.kind.answers.few:
        figures |= metrics.figures(answers, truth, file.label_values)
        if (sure := metrics.confidence(answers)) is not None:
            as_told = metrics.right_answers(answers, truth)
            if len(truth) >= LEAST_RESAMPLED:
                figures["calibration_interval"] = metrics.calibration_interval(sure, as_told)
            figures["selective"] = metrics.selective(sure, as_told)
            figures["sets"] = sets_of(answers, truth, threshold)
            figures["sets_from"] = data.name if threshold is None else Evaluation.CLEAN
    if answers:
        figures["f1"], figures["f1_interval"] = (
            _words_f1(answers, truth)
            if file.kind.answers.free
            else macro_f1(_pairs(answers, truth))
        )
    return {"items": len(truth), "right": sum(right), "figures": figures}


def _pairs(answers: Sequence[Answer], truth: Sequence[Any]) -> Counter[tuple[Labels, Labels]]:
    """How many items have which right labels and which answer."""
    said = (as_labels([] if one.label is None else one.label) for one in answers)
    return Counter(zip(map(as_labels, truth), said, strict=True))


def _words_f1(
    answers: Sequence[Answer], truth: Sequence[Any]
) -> tuple[float, tuple[float, float] | None]:
    """Of answers' words with the right ones, on average; and its 95 % interval, none of too few
    items or where all of them are alike."""
    each = np.array(
        [f1_of(answer.label, label) for answer, label in zip(answers, truth, strict=True)]
    )
    value, error = float(each.mean()), float(each.std()) / sqrt(len(each))
    if len(truth) < LEAST_RESAMPLED or not error:
        return value, None
    reach = NormalDist().inv_cdf(0.975) * error
    return value, (max(0.0, value - reach), min(1.0, value + reach))


def _threshold(model: ModelVersion, data: FrozenSet) -> float | None:
    """What clean data says of the sets of labels that it tells; None where a set says it itself."""
    if data.round is None:
        return None
    kept = Evaluation.objects.filter(model=model, data=Evaluation.CLEAN)
    clean = kept.order_by("-created_at", "-id").first()
    sets = clean.figures.get("sets") if clean is not None else None
    return sets["threshold"] if sets else None


def is_right(rule: Any, said: Any, label: Any) -> bool:
    """By the task's own rule of what fools, so that a board and a round mean the same."""
    if isinstance(rule, AskAnnotator):
        return same_answer(said, label)
    try:
        return not rule.fooled(said, label)
    except ValueError:
        return False


def _measure_speed(
    task: Task, sets: Sequence[FrozenSet], run: uuid.UUID, outcome: Evaluated
) -> None:
    """All models one after the other on this machine, with the same inputs, if one lacks it."""
    played = next((one.items for one in sets if one.round is not None), ())
    inputs = [item.prepared.stored for item in played[:TIMED]] or list(task.kind.probes)
    sha256 = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
    models = _live(task)
    if all(_is_there(model, Evaluation.SPEED, sha256) for model in models):
        return
    for model in models:
        made = {"artifact": model.artifact, "sha256": model.sha256, "config": model.config}
        try:
            found = measure(
                model.backend,
                source_of(made, Path(settings.ARTIFACT_DIR)),
                task.input_kind,
                inputs,
            )
        except (NotMeasured, ArtifactError) as error:
            outcome.failed.setdefault(model.name, f"Its speed could not be measured: {error}")
            continue
        _store(task, model, Evaluation.SPEED, sha256, run, items=len(inputs), figures=found)
