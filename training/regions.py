"""Look for regions among a model's verified foolings, and ask later models about their members.

A job, or `manage.py discover`, carries out what was asked for. It may be carried out twice, when a
worker was only thought dead: both come to the same, and the first one's is kept.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from django.conf import settings
from django.db.models import Count
from django.utils import timezone

from accounts.models import User
from accounts.services import record_event
from annotate.models import Example, ModelVersion, TargetAnswer, Task
from core.errors import Conflict, Refused
from core.strict_json import dumps
from core.transactions import durable
from kinds import Prepared
from kinds.answers import in_order
from ml import regions as ml
from ml.artifacts import ArtifactError
from ml.backends import source_of
from ml.learners import Item
from ml.regions.spaces import NoSpace, Space, space_of
from training.evaluation import answers_of
from training.evaluations import is_right, opened
from training.models import (
    Discovery,
    GeneratedInput,
    LaterAnswer,
    Region,
    RegionExample,
)
from training.probes import Prober
from training.queries import as_met, known_to, later_models, verified_foolings

logger = logging.getLogger(__name__)

MOST: Final = 20_000  # examples looked at, foolings before the newest others: some ms each
AT_ONCE: Final = 256  # examples read or asked about between two words of progress
SILENT_AFTER: Final = timedelta(seconds=120)

Status = Discovery.Status
Listener = Callable[[float, str], None]
Work = Callable[[Discovery, Listener], None]


# --- ask for it -----------------------------------------------------------------------------------
def foolings_by_model(task: Task) -> list[tuple[ModelVersion, int]]:
    """The models that have verified foolings, the newest first, with how many; three queries."""
    foolings = verified_foolings(task.pk).order_by()
    each = TargetAnswer.objects.filter(fooled=True, example__in=foolings)  # of several that met one
    counts: Counter[int] = Counter()
    for rows in (foolings.filter(answers=None), each):
        counts.update(dict(rows.values_list("model").annotate(n=Count("pk"))))
    return [
        (model, counts[model.pk]) for model in task.models.filter(pk__in=counts).order_by("-number")
    ]


def model_to_look_at(task: Task, name: str = "") -> ModelVersion:
    """The newest model with enough verified foolings, or the one of this name; else Refused."""
    if not (task.kind.answers.few or task.kind.answers.several):
        raise Refused("free_answers", "Answers of this kind of task are free: none is given twice.")
    found = foolings_by_model(task)
    if name and not task.models.filter(name=name).exists():
        raise Refused("no_model", f"{task.slug} has no model {name}.")
    enough = [model for model, n in found if n >= ml.LEAST and name in ("", model.name)]
    if not enough:
        most = max((n for model, n in found if name in ("", model.name)), default=0)
        raise Refused(
            "too_few",
            f"A region takes {ml.LEAST} verified foolings of one model or more: there are {most}.",
            status=409,
        )
    return enough[0]


def begin(
    *,
    task: Task,
    model: ModelVersion,
    seed: int = 0,
    generated: bool = False,
    actor: User | None = None,
) -> Discovery:
    """Insert what is to be carried out; Conflict while another one of the task is."""
    with durable():
        asked = Discovery(
            task=task,
            model=model,
            seed=seed,
            generated=generated,
            requested_by=actor,
            stage="Waiting for a worker.",
        )
        Discovery.objects.bulk_create([asked], ignore_conflicts=True)
        kept = Discovery.objects.filter(uid=asked.uid).first()
        if kept is None:
            raise Conflict("already_looking", f"Regions of {task.slug} are looked for already.")
    return kept


# --- carry it out ---------------------------------------------------------------------------------
def carry_out(
    discovery: Discovery, listener: Listener | None = None, *, work: Work | None = None
) -> Discovery:
    """Do what was asked for, to its end; an error ends it with a sentence."""
    try:
        (work or _discover)(discovery, _Progress(discovery, listener))
    except (Refused, ArtifactError, NoSpace) as error:
        stop(discovery, str(error))
    except _Ended:
        logger.warning("%s were found by another process", discovery)
    except Exception as error:
        logger.exception("%s were not found", discovery)
        stop(discovery, f"An error stopped it: {type(error).__name__}: {error}")
    discovery.refresh_from_db()
    return discovery


def stop(discovery: Discovery, reason: str) -> None:
    """End it without a result."""
    Discovery.objects.filter(pk=discovery.pk, status__in=Discovery.ACTIVE).update(
        status=Status.FAILED, stage=reason[:200], finished_at=timezone.now()
    )


class _Ended(Exception):
    """Another process has come to its end."""


class _Progress:
    def __init__(self, discovery: Discovery, listener: Listener | None) -> None:
        self._discovery, self._listener = discovery, listener

    def __call__(self, fraction: float, stage: str) -> None:
        held = Discovery.objects.filter(pk=self._discovery.pk, status__in=Discovery.ACTIVE)
        if not held.update(
            status=Status.RUNNING, progress=fraction, stage=stage[:200], heartbeat_at=timezone.now()
        ):
            raise _Ended
        if self._listener is not None:
            self._listener(fraction, stage)


@dataclass(frozen=True, slots=True)
class _Read:
    example: Example
    prepared: Prepared
    words: str | None

    @property
    def label(self) -> Any:
        return _label(self.example)

    @property
    def pair(self) -> str:
        return dumps([in_order(self.label), in_order(self.example.prediction)])


def _label(example: Example) -> Any:
    return example.label if example.final_label is None else example.final_label


def _discover(discovery: Discovery, tell: Listener) -> None:
    read = _examples(discovery, tell)
    tell(0.4, f"Laying out {len(read):,} {discovery.task.kind.words.things}.")
    model = discovery.model
    made = {"artifact": model.artifact, "sha256": model.sha256, "config": model.config}
    space = space_of(
        source_of(made, Path(settings.ARTIFACT_DIR)),
        [one.prepared for one in read],
        [one.words for one in read],
    )
    fooled = [row for row, one in enumerate(read) if one.example.fooled]
    tell(0.6, f"Grouping {len(fooled):,} verified foolings.")
    pairs, vectors = [read[row].pair for row in fooled], space.vectors[fooled]
    found = ml.regions_of(pairs, vectors, seed=discovery.seed)
    other = ml.regions_of(pairs, vectors, seed=discovery.seed + 1)
    stability = ml.alike(ml.numbered(found, len(fooled)), ml.numbered(other, len(fooled)))
    members = [[fooled[row] for row in rows] for rows in found]
    tell(0.8, "Asking later models about them.")
    _ask_later_models(discovery.model, [read[row] for rows in members for row in rows])
    tell(0.9, "Looking at what is near.")
    made_regions, names, prober = [], _names_before(discovery), Prober(discovery.model)
    for number, rows in enumerate(members, 1):
        region, examples = _region(discovery, number, rows, read, space)
        texts = [Item(read[row].prepared, read[row].label) for row in rows]
        if (turned := prober.turned_by(texts)) is not None:
            region.shared["turned"] = turned
            tell(0.9 + 0.1 * number / len(members), "Looking at what other wordings change.")
        region.name = names({one.example_id for one in examples if one.member})
        made_regions.append((region, examples))
    store(discovery, made_regions, space=space.name, stability=stability if found else None)


def _examples(discovery: Discovery, tell: Listener) -> list[_Read]:
    """What the model is known to be fooled by or not, as far as it can be read."""
    kind, found = discovery.task.kind, []
    rows = (
        known_to(discovery.model)
        .select_related("context", "config", "task")
        .defer("probabilities", "explanation")
        .order_by("-misread", "-id")[:MOST]
    )
    for place, example in enumerate(map(as_met, rows)):
        if place % AT_ONCE == 0:
            tell(
                0.4 * place / MOST,
                f"Reading the {kind.words.things} that {discovery.model.name} was sent.",
            )
        if (prepared := _prepared(example)) is not None:
            found.append(_Read(example, prepared, kind.likeness.words(prepared)))
    return found


def _prepared(example: Example) -> Prepared | None:
    try:
        return example.task.kind.parse(example.whole_input)
    except Exception as error:  # noqa: BLE001  (one bad item never ends a look)
        logger.warning("%s cannot be read and is left out: %s", example, error)
        return None


def _region(
    discovery: Discovery, number: int, rows: ml.Rows, read: Sequence[_Read], space: Space
) -> tuple[Region, list[RegionExample]]:
    """One region with its members, the most typical first, and what is near, the nearest first."""
    first, vectors = read[rows[0]], space.vectors
    region = Region(
        discovery=discovery,
        number=number,
        label=first.label,
        answer=first.example.prediction,
        shared=_shared(rows, read),
    )
    centre = vectors[rows].mean(axis=0)
    typical = sorted(rows, key=lambda row: (float(np.linalg.norm(vectors[row] - centre)), row))
    near = ml.nearest(rows, vectors, [one.example.author_id for one in read])
    order = dict.fromkeys([*typical, *near])
    inside, beside = set(rows), set(near)
    return region, [
        RegionExample(
            region=region,
            example=read[row].example,
            member=row in inside,
            near=row in beside,
            place=place,
        )
        for place, row in enumerate(order)
    ]


def _shared(rows: ml.Rows, read: Sequence[_Read]) -> dict[str, Any]:
    inside = set(rows)
    texts = [(row in inside, one.words) for row, one in enumerate(read) if one.words is not None]
    if not texts:
        return {}
    here, there = ([text for its, text in texts if its == side] for side in (True, False))
    return ml.shared_words(here, there)


def store(
    discovery: Discovery,
    found: Sequence[tuple[Region, Sequence[RegionExample] | Sequence[GeneratedInput]]],
    **values: Any,
) -> None:
    """End it with these regions and what is in each; nothing, where another process has."""
    with durable():
        held = Discovery.objects.select_for_update(of=("self",)).filter(
            pk=discovery.pk, status__in=Discovery.ACTIVE
        )
        if held.first() is None:
            raise _Ended
        for region, inside in found:
            region.save()
            kind: Any = type(inside[0])
            kind.objects.bulk_create(inside, batch_size=500)
        held.update(status=Status.DONE, progress=1, stage="", finished_at=timezone.now(), **values)
        record_event(
            actor=discovery.requested_by,
            verb="found_regions",
            subject=discovery,
            scope=discovery.task.slug,
            data={"model": discovery.model.name, "seed": discovery.seed, "regions": len(found)},
        )


def _names_before(discovery: Discovery) -> Callable[[set[int]], str]:
    """The name that half of a region's members had in the look before this one."""
    before = newest(discovery.task, discovery.model)
    named = RegionExample.objects.filter(region__discovery=before, member=True).exclude(
        region__name=""
    )
    name_of = dict(named.values_list("example_id", "region__name"))

    def name(members: set[int]) -> str:
        counts = Counter(name_of[one] for one in members if one in name_of)
        best, count = counts.most_common(1)[0] if counts else ("", 0)
        return best if 2 * count > len(members) else ""

    return name


def newest(
    task: Task, model: ModelVersion | None = None, *, generated: bool = False
) -> Discovery | None:
    """The last look that came to its end, of this model or of any; one query."""
    done = Discovery.objects.filter(task=task, status=Status.DONE, generated=generated)
    done = done.select_related("model", "task__config")
    return (done if model is None else done.filter(model=model)).order_by("-id").first()


# --- afterwards -----------------------------------------------------------------------------------
def follow(task: Task) -> None:
    """Ask the models that came since about the members of every model's regions; never raises."""
    try:
        for model in ModelVersion.objects.filter(discoveries__task=task).distinct():
            examples = (
                known_to(model)
                .filter(pk__in=_members(task, model))
                .select_related("context", "config", "task")
            )
            read = [(one, _prepared(one)) for one in examples]
            _ask_later_models(model, [_Read(e, p, None) for e, p in read if p is not None])
    except Exception:
        logger.exception("later models of %s were not asked about its regions", task)


def _members(task: Task, model: ModelVersion) -> Any:
    last = newest(task, model)
    return RegionExample.objects.filter(region__discovery=last, member=True).values("example")


def _ask_later_models(before: ModelVersion, members: Sequence[_Read]) -> None:
    """Each model once about each; what one model cannot do stops no other."""
    for model in later_models(before):
        known = set(LaterAnswer.objects.filter(model=model).values_list("example_id", flat=True))
        unknown = [one for one in members if one.example.pk not in known]
        try:
            if unknown:
                _ask(model, unknown)
        except Exception:
            logger.warning("%s could not be asked about regions", model, exc_info=True)


def _ask(model: ModelVersion, members: Sequence[_Read]) -> None:
    assert model.task.config is not None
    rule, backend = model.task.config.file.comparator_rule, opened(model)
    for part in _in_parts(members):
        answers = answers_of(backend, [Item(one.prepared, one.label) for one in part])
        LaterAnswer.objects.bulk_create(
            [
                LaterAnswer(
                    example=one.example,
                    model=model,
                    erred=answer is None or not is_right(rule, answer.label, one.label),
                )
                for one, answer in zip(part, answers, strict=True)
            ],
            ignore_conflicts=True,
        )


def _in_parts(members: Sequence[_Read]) -> Iterable[Sequence[_Read]]:
    return (members[at : at + AT_ONCE] for at in range(0, len(members), AT_ONCE))


def name_region(*, actor: User, region: Region, name: str) -> None:
    """Call it so; an empty name takes the old one away."""
    name = " ".join(name.split())
    if len(name) > (most := Region._meta.get_field("name").max_length or 0):
        raise Refused("too_long", f"A name has {most} characters at most.")
    with durable():
        Region.objects.filter(pk=region.pk).update(name=name)
        record_event(
            actor=actor,
            verb="named_region",
            subject=region,
            scope=region.discovery.task.slug,
            data={"name": name},
        )
