"""What one run tried, what changed by it, and what it left out: for its page and for REST."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from annotate.models import Example, Task
from annotate.queries import with_configs
from kinds.answers import in_words
from ml.artifacts import ArtifactError
from ml.learners import Base, learner_named, name_in, read_base
from training.models import TrainingRun
from training.paired import paired_lower_bound
from training.queries import left_out_of

CONFIDENCE: Final = 0.95
NAMED: Final = 50  # of what was left out for one reason

SETS: Final = {
    "new_round": "Held-out foolings of the new round",
    "earlier_rounds": "Held-out foolings of earlier rounds",
    "clean": "Held-out clean data",
}
REASONS: Final = {
    "unreadable": "cannot be read",
    "unknown_label": "have a label that the model does not have",
    "author_share": "are more than one author’s share",
    "unanswered": "could not be answered, so that they tested nothing",
    "unanswered_clean": "of the clean data could not be answered, so that they tested nothing",
    "unknown": "were left out when no reason was kept yet",
}


@dataclass(frozen=True)
class Change:
    """How often both models are right on one set; shares, and the difference with its ends."""

    items: int
    before: float | None
    now: float | None
    low: float | None
    high: float | None

    @property
    def gain(self) -> float | None:
        return None if self.before is None or self.now is None else self.now - self.before


@dataclass(frozen=True)
class Trial:
    """One recipe with one seed, beside the others of its run."""

    number: int
    recipe: str
    seed: int
    clean: Change
    new_round: Change
    gates: Sequence[Mapping[str, Any]]
    is_candidate: bool
    can_be_chosen: bool

    @property
    def failed(self) -> list[str]:
        return [gate["name"] for gate in self.gates if not gate["passed"]]


def trials_of(run: TrainingRun, choosable: Collection[str] = ()) -> list[Trial]:
    """All of them, in the order in which they were trained; `choosable` are files."""
    candidate = run.candidate.sha256 if run.candidate else None
    return [
        Trial(
            number=number,
            recipe=trial["recipe"] or "as the task says",
            seed=trial["seed"],
            clean=_change(trial, "clean", "clean"),
            new_round=_change(trial, "new_round", "new round"),
            gates=trial["gates"],
            is_candidate=trial["made"]["sha256"] == candidate,
            can_be_chosen=trial["made"].get("artifact") in choosable,
        )
        for number, trial in enumerate(run.trials)
    ]


def _change(trial: Mapping[str, Any], name: str, gate_name: str) -> Change:
    """With Tango's interval of the difference of paired shares, from McNemar's counts."""
    told = trial["figures"][name]
    gate = next((one for one in trial["gates"] if one["name"] == gate_name), None)
    ends: tuple[float | None, float | None] = (None, None)
    if gate is not None and gate["n"] and gate["b"] is not None:
        ends = _ends(gate["n"], gate["b"], gate["c"])
    return Change(told["items"], told["before"], told["now"], *ends)


def change_of(items: int, before: int, now: int, lost: int, gained: int) -> Change:
    """From how many of them each model has right."""
    return Change(items, before / items, now / items, *_ends(items, lost, gained))


def _ends(items: int, lost: int, gained: int) -> tuple[float, float]:
    each = (1 + CONFIDENCE) / 2
    low = paired_lower_bound(lost, gained, items, each)
    return low, -paired_lower_bound(gained, lost, items, each)


@dataclass(frozen=True)
class Flipped:
    """An item on which one model is right and the other is not; `example` of people's alone."""

    example: Example | None
    label: str
    said: str
    picture: str | None
    texts: list[tuple[str, str]]


@dataclass(frozen=True)
class Flips:
    """Of one set, one way: how many there were, and those that can still be shown."""

    count: int
    shown: list[Flipped]


@dataclass(frozen=True)
class FlipsOn:
    title: str
    lost: Flips
    gained: Flips


def flips_of_trial(run: TrainingRun, trial: Mapping[str, Any]) -> list[FlipsOn]:
    """What changed from right to wrong and back, set by set; reads the clean data where any of it
    did. What was withdrawn since is not shown."""
    flips = trial.get("flips", {})
    names = [item[0] for on in flips.values() for way in on.values() for item in way["items"]]
    examples = named(run.task, names)
    changed = [way for way in flips.get("clean", {}).values() if way["items"]]
    base = _base_of(run) if changed else None
    found = []
    for name, title in SETS.items():
        if any(way["count"] for way in flips.get(name, {}).values()):
            lost, gained = (
                Flips(
                    flips[name][way]["count"],
                    [
                        shown
                        for item in flips[name][way]["items"]
                        if (shown := _shown(run.task, item, examples, base))
                    ],
                )
                for way in ("lost", "gained")
            )
            found.append(FlipsOn(title, lost, gained))
    return found


def _shown(
    task: Task, item: Sequence[Any], examples: Mapping[str, Example], base: Base | None
) -> Flipped | None:
    name, label, before, now = item
    kind, example = task.kind, None
    if isinstance(name, str):
        example = examples.get(name)
        if example is None:
            return None
        stored, whole = example.input, example.whole_input
    else:
        if base is None or name >= len(base.held_out):
            return None
        try:
            whole = stored = kind.parse(kind.raw(base.held_out[name].prepared.features)).stored
        except Exception:  # noqa: BLE001  (one that cannot be shown hides no other)
            return None
    said = f"{in_words(before)} before, {in_words(now)} now"
    return Flipped(example, in_words(label), said, kind.picture(stored), kind.texts(whole))


def _base_of(run: TrainingRun) -> Base | None:
    learner = name_in(run.parent.config)
    if learner is None:
        return None
    try:
        named_ = run.parent.config["base"]
        return read_base(learner_named(learner), named_, Path(settings.ARTIFACT_DIR))
    except (ArtifactError, OSError):
        return None


@dataclass(frozen=True)
class LeftOut:
    """What a run left out for one reason; `names` are of those that are still there."""

    reason: str
    count: int
    names: list[tuple[str, Example]]


def left_out(run: TrainingRun) -> list[LeftOut]:
    """What was left out of the training or the test, reason by reason, and the names of some, as
    there may be many; one query."""
    if run.candidate is None:
        return []
    kept = left_out_of(run.candidate)
    examples = named(run.task, (name for names in kept.values() for name in names[:NAMED]))
    return [
        LeftOut(
            reason,
            len(kept[why]),
            [(name, examples[name]) for name in kept[why][:NAMED] if name in examples],
        )
        for why, reason in REASONS.items()
        if kept.get(why)
    ]


def named(task: Task, names: Iterable[Any]) -> dict[str, Example]:
    """The task's examples with these public names, but what was withdrawn or hidden."""
    wanted = {name for name in names if isinstance(name, str)}
    if not wanted:
        return {}
    uids = {uid for name in wanted if (uid := _uid(name)) is not None}
    found = Example.objects.usable().filter(Q(uid__in=uids) | Q(external_id__in=wanted), task=task)
    found = found.select_related("task", "context").defer("probabilities", "explanation")
    return {example.public_id: with_configs(example) for example in found}


def _uid(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None
