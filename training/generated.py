"""Regions of inputs that a program made: hints where a model may err, until people confirm them.

Validators are asked about some of each region in the blind queue. Nothing there says which these
are, but who looks at an input's size can tell: what the page sends is larger. What they confirm a
recipe may learn from (`retraining: {generated: …}`).
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.imported import person_of_a_log
from accounts.models import User
from accounts.services import record_event
from annotate.contents import content_of, copies, keep, recognise
from annotate.models import Example, ModelVersion, Task
from annotate.queries import last_target
from annotate.services import announce, hide, insert
from core.errors import Conflict, Refused
from core.transactions import durable
from kinds import Kind
from ml import artifacts
from ml.learners import Item, learner_named, name_in, read_base
from training import regions
from training.evaluation import answers_of
from training.evaluations import is_right, opened
from training.models import Discovery, GeneratedInput, Region, Snapshot
from training.queries import is_doubted, later_models
from validate.hearing import hear_all
from validate.models import Vote

if TYPE_CHECKING:
    from ml.regions.generated import Made

logger = logging.getLogger(__name__)

KEPT = 60  # inputs of a region: half may be learned from, half never is
ASKED = 4  # of those of a region, validators are asked about so many
SPACE = "label and answer"

Status = Example.Status


# --- make them ------------------------------------------------------------------------------------
def model_to_try(task: Task, name: str = "") -> ModelVersion:
    """The model that people meet, or the one of this name, if its learner says how inputs of its
    kind are made up; else Refused."""
    named = task.models.filter(name=name).first() if name else None
    if name and named is None:
        raise Refused("no_model", f"{task.slug} has no model {name}.")
    target = last_target(task.pk)
    models = (named,) if named else (target.models if target else ())
    able = [model for model in models if model.artifact and _makes_up(model)]
    if not able:
        raise Refused(
            "nothing_makes_up",
            f"Nothing here makes up {task.kind.words.things} for "
            f"{name or 'what this task’s people meet'}: its learner would have to.",
        )
    return able[-1]


def _makes_up(model: ModelVersion) -> bool:
    name = name_in(model.config)
    return name is not None and hasattr(learner_named(name), "redrawn")


def carry_out(discovery: Discovery, listener: regions.Listener | None = None) -> Discovery:
    """Do what was asked for, to its end, as `training.regions` does."""
    ended = regions.carry_out(discovery, listener, work=_make)
    follow(discovery.task)
    return ended


def _make(discovery: Discovery, tell: regions.Listener) -> None:
    from ml.regions.generated import make_up, stability

    model, folder, kind = discovery.model, Path(settings.ARTIFACT_DIR), discovery.task.kind
    artifact = artifacts.load(folder / model.artifact, model.sha256)
    base = read_base(learner_named(artifact.learner), model.config["base"], folder)
    made, other = (
        make_up(artifact, base, kind, seed=discovery.seed + more, tell=_half(tell, more))
        for more in (0, 1)
    )
    before = {
        (region.label, region.answer): region.name
        for last in [regions.newest(discovery.task, model, generated=True)]
        for region in (last.regions.all() if last else ())
    }
    found = []
    for number, (label, answer) in enumerate(made.regions(), 1):
        pair = artifact.labels[label], artifact.labels[answer]
        region = Region(
            discovery=discovery, number=number, label=pair[0], answer=pair[1],
            name=before.get(pair, ""),
        )  # fmt: skip
        rows = [row for row, its in enumerate(made.pairs) if its == (label, answer)]
        found.append((region, _inputs(region, made, rows, discovery.seed)))
    alike = stability(made, other) if found else None
    regions.store(discovery, found, space=SPACE, stability=alike)
    _withdraw_earlier(discovery)


def _withdraw_earlier(discovery: Discovery) -> None:
    """Ask nobody any more about what looks before this one made up, as far as it is open."""
    waiting = Example.objects.filter(
        task=discovery.task, status=Status.OPEN, hidden_at=None, generated__isnull=False
    ).exclude(generated__region__discovery=discovery)
    with durable():
        for hearing in hear_all(list(waiting.values_list("pk", flat=True))).values():
            if hearing.example.status == Status.OPEN:
                hide(hearing.example, actor=None, hidden=True, reason="Others were made up.")


def _half(tell: regions.Listener, number: int) -> regions.Listener:
    name = ("", "Another seed: ")[number]
    return lambda fraction, words: tell((number + fraction) / 2, name + words)


def _inputs(region: Region, made: Made, rows: list[int], seed: int) -> list[GeneratedInput]:
    """Some of a region by lot; what was moved from one clean input is on one side."""
    lots = np.random.default_rng([seed, region.number])
    sides: tuple[list[int], list[int]] = ([], [])
    for row in lots.permutation(rows).tolist():
        side = sides[int(made.origins[row]) % 2]
        if len(side) < KEPT // 2:
            side.append(row)
    return [
        GeneratedInput(region=region, input=made.inputs[row].stored, held_out=held_out, place=place)
        for place, (held_out, row) in enumerate(
            [(False, row) for row in sides[0]] + [(True, row) for row in sides[1]]
        )
    ]


# --- what people say ------------------------------------------------------------------------------
def ask_validators(*, actor: User | None, discovery: Discovery) -> int:
    """Put some inputs of each region into the blind queue; returns how many.

    A region's are one author's, who is nobody: no validator gives too much of one region's votes.
    What looks like an example that is there is left out.
    """
    task = discovery.task
    target = last_target(task.pk)
    if target is None:
        raise Refused("no_round", f"No round of {task.slug} was ever open.", status=409)
    with durable():
        Discovery.objects.select_for_update().get(pk=discovery.pk)
        asked = GeneratedInput.objects.filter(region__discovery=discovery, example__isnull=False)
        if asked.exists():
            raise Conflict("asked_already", "Validators are asked about these regions already.")
        many = 0
        for region in discovery.regions.order_by("number"):
            author = person_of_a_log(f"generated {discovery.pk}-{region.number}")
            left = ASKED
            for one in region.inputs.filter(held_out=False).order_by("place"):
                if left and _ask(one, region, author, target.round.pk, task):
                    left -= 1
            many += ASKED - left
        record_event(
            actor=actor, verb="asked_about_regions", subject=discovery, scope=task.slug,
            data={"inputs": many},
        )  # fmt: skip
    return many


def _ask(one: GeneratedInput, region: Region, author: User, round_: int, task: Task) -> bool:
    prepared = task.kind.parse(one.input)
    content = content_of(task.kind, prepared)
    example = Example(
        task=task,
        config=task.config,
        round_id=round_,
        model=region.discovery.model,
        author=author,
        provisional=True,
        input=one.input,
        input_hash=prepared.key,
        label=region.label,
        prediction=region.answer,
        fooled=True,
    )
    is_kept = recognise(example, content)
    if example.copy_of_id is not None:
        return False
    insert([example])
    keep([(example, content, is_kept)])
    announce([example], actors=[None], verb="generated")
    one.example = example
    one.save(update_fields=["example"])
    return True


@dataclass(frozen=True, slots=True)
class Heard:
    """What validators, as many as the task's policy asks, made of what they were asked about."""

    asked: int = 0
    confirmed: int = 0
    unreadable: int = 0
    waiting: int = 0

    @property
    def otherwise(self) -> int:
        return self.asked - self.confirmed - self.unreadable - self.waiting

    @property
    def is_confirmed(self) -> bool:
        """By most of those that can be read: what nobody can read has left the region."""
        return 2 * self.confirmed > self.asked - self.unreadable

    @property
    def is_refused(self) -> bool:
        return (
            self.asked > 0 and 2 * (self.confirmed + self.waiting) <= self.asked - self.unreadable
        )


def heard(discovery: Discovery) -> dict[int, Heard]:
    """By the keys of its regions, nothing by any other; one query.

    What an owner hid is out. A verdict that rests on a vote that lost its weight waits for them.
    """
    labels = Vote.objects.counted().filter(example=OuterRef("example"), flag="")
    asked = GeneratedInput.objects.filter(
        region__discovery=discovery, example__isnull=False, example__hidden_at=None
    )
    told: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for region, *facts in asked.values_list(
        "region", "example__status", is_doubted("example"), Exists(labels)
    ):
        told[region][_fate(*facts)] += 1
    found = defaultdict(Heard)
    for region, by in told.items():
        found[region] = Heard(by.total(), by["confirmed"], by["unreadable"], by["waiting"])
    return found


def _fate(status: str, doubted: bool, labelled: bool) -> str:
    if doubted or status == Status.OPEN:
        return "waiting"
    if status == Status.VERIFIED:
        return "confirmed"
    # Two who read different things could read it.
    unread = status == Status.FLAGGED or (status == Status.AMBIGUOUS and not labelled)
    return "unreadable" if unread else "otherwise"


def _read() -> QuerySet[GeneratedInput]:
    """What validators read as its region's label, as far as nobody doubts that or hid it."""
    return GeneratedInput.objects.filter(
        ~is_doubted("example"), example__status=Status.VERIFIED, example__hidden_at=None
    )


def confirmed_input(task: Task, region: int) -> Any:
    """One that validators read as the label of this confirmed region; else Refused."""
    last = regions.newest(task, generated=True)
    said = heard(last).get(region) if last else None
    if said is None or not said.is_confirmed:
        raise Refused("not_confirmed", "Validators have not confirmed this region.", status=409)
    return _read().filter(region=region).order_by("place").values_list("input", flat=True)[0]


# --- what is learned ------------------------------------------------------------------------------
def to_learn_from(task: Task) -> list[int]:
    """The keys of all inputs of the newest look's confirmed regions, less those that validators
    did not read as the region's label, in this look or, much the same, in one before."""
    last = regions.newest(task, generated=True)
    if last is None:
        return []
    confirmed = [pk for pk, said in heard(last).items() if said.is_confirmed]
    kept = Q(example=None) | Q(pk__in=_read())
    found = GeneratedInput.objects.filter(kept, region__in=confirmed)
    made = list(found.select_related("region").order_by("pk"))
    unread = _copies_of_unread(task, [one for one in made if one.example_id is None])
    return [one.pk for one in made if one.pk not in unread]


def _copies_of_unread(task: Task, made: Sequence[GeneratedInput]) -> set[int]:
    asked = Example.objects.filter(task=task, generated__isnull=False)
    unread = set(asked.exclude(generated__in=_read()).values_list("pk", flat=True))
    if not unread:
        return set()
    new = [
        (
            Example(task=task, config=task.config, label=one.region.label),
            content_of(task.kind, task.kind.parse(one.input)),
        )
        for one in made
    ]
    return {made[place].pk for place, copy in copies(new).items() if copy.of in unread}


def frozen(snapshot: Snapshot, kind: Kind) -> tuple[list[Item], list[Item]]:
    """What of a snapshot is generated: to learn from, and held out."""
    rows = GeneratedInput.objects.filter(pk__in=snapshot.generated).select_related("region")
    sides: tuple[list[Item], list[Item]] = ([], [])
    for one in rows.order_by("pk"):
        sides[one.held_out].append(Item(kind.parse(one.input), one.region.label))
    return sides


def follow(task: Task) -> None:
    """Ask the models that came since about the newest look's inputs; what one model cannot do
    stops no other."""
    last = regions.newest(task, generated=True)
    if last is None:
        return
    for model in later_models(last.model):
        try:
            _ask_later_model(last, model)
        except Exception:
            logger.warning("%s could not be asked about made-up inputs", model, exc_info=True)


def _ask_later_model(discovery: Discovery, model: ModelVersion) -> None:
    task, number = discovery.task, str(model.number)
    assert task.config is not None
    rule, backend = task.config.file.comparator_rule, opened(model)
    for region in discovery.regions.all():
        if number not in region.later:
            inputs = list(region.inputs.order_by("place"))
            items = [Item(task.kind.parse(one.input), region.label) for one in inputs]
            answers = answers_of(backend, items)
            erred = [a is None or not is_right(rule, a.label, region.label) for a in answers]
            region.later[number] = _by_side(inputs, erred)
            region.save(update_fields=["later"])


def _by_side(inputs: Sequence[GeneratedInput], erred: Sequence[bool]) -> dict[str, Any]:
    told = {}
    for name, held_out in (("learned", False), ("held_out", True)):
        side = [e for one, e in zip(inputs, erred, strict=True) if one.held_out is held_out]
        told[name] = [sum(side), len(side)]
    return told
