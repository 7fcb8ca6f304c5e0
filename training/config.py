"""The `retraining` section of a task file: when, who tests, what is asked; imports no Django.

What else it may say is the learner's: each says in ml/learners which settings it takes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, field_validator, model_validator

from annotate.config import TaskFile
from annotate.sections import Section, Slug, Word
from core.errors import Refused
from kinds import Kind, Prepared
from ml.learners import Learner, all_learners, learners_of
from training.gates import GateSettings, parse_gate_settings

_OF_A_RECIPE: Final = ("start", "replay")
MOST: Final = 30  # trainings of one run


Sentence = Annotated[str, StringConstraints(pattern=r"\S", max_length=300)]
TOLERANCE: Final = 0.1  # that a probability may move where it should not


class Check(Section):
    """One thing that a model should be able to do: say so of these inputs, or, where a text is
    changed, not move, or not move one way."""

    inputs: Annotated[tuple[Any, ...], Field(max_length=500)] = Field(
        default=(), description="Whole inputs; of kinds with one text, texts."
    )
    says: Word | None = Field(default=None, description="What it should say of each of them.")
    add: Annotated[tuple[Sentence, ...], Field(max_length=20)] = Field(
        default=(), description="Sentences, each added to the end of each item."
    )
    swap: dict[Word, Word] = Field(
        default_factory=dict, description="A word to another, wherever it stands as it is written."
    )
    raises: Word | None = Field(default=None, description="A label that must not lose by it.")
    lowers: Word | None = Field(default=None, description="A label that must not gain by it.")

    @model_validator(mode="after")
    def _is_one_sort(self) -> Self:
        if [bool(self.inputs), bool(self.add), bool(self.swap)].count(True) != 1:
            raise ValueError("write inputs, add or swap, one of the three")
        if bool(self.inputs) is (self.says is None):
            raise ValueError("write inputs and what the model says of them, both or none")
        if [self.says, self.raises, self.lowers].count(None) < 2:
            raise ValueError("write raises or lowers where a text is changed, one of the two")
        return self

    @property
    def must(self) -> str:
        """What it asks for, in words."""
        if self.says is not None:
            return f"says {self.says}"
        if self.raises is not None:
            return f"{self.raises} does not lose"
        return "does not move" if self.lowers is None else f"{self.lowers} does not gain"

    def whole(self, kind: Kind) -> list[Prepared]:
        """The inputs, read; Refused."""
        fields = kind.text_fields
        alone = fields[0] if len(fields) == 1 else None
        return [
            kind.parse({alone: one} if alone and isinstance(one, str) else one)
            for one in self.inputs
        ]

    def changed(self, text: str) -> list[str]:
        """What comes of a text: nothing where no word is swapped."""
        if self.add:
            return [f"{text} {sentence}" for sentence in self.add]
        words = "|".join(map(re.escape, sorted(self.swap, key=len, reverse=True)))
        other = re.sub(rf"(?<!\w)(?:{words})(?!\w)", lambda found: self.swap[found[0]], text)
        return [other] if other != text else []


class EvaluationSettings(Section):
    """What models are looked at apart on, beside labels, lengths and sources, and checked for."""

    slices: dict[Word, Annotated[list[Word], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="Name of a slice to words; a text with one of them, in any case, is in it.",
    )

    checks: Annotated[dict[Word, Check], Field(max_length=50)] = Field(
        default_factory=dict, description="Name of a check to what a model should be able to do."
    )

    def check_task(self, task: TaskFile) -> None:
        if self.slices and not task.kind.text_fields:
            raise ValueError(f"evaluation.slices are of texts, and {task.input} is none")
        if self.checks and not (task.kind.text_fields and task.kind.answers.few):
            raise ValueError(f"evaluation.checks are of texts with few labels, unlike {task.input}")
        for name, check in self.checks.items():
            for label in {check.says, check.raises, check.lowers} - {None, *task.label_values}:
                raise ValueError(f"evaluation.checks.{name}: {label} is no label of the task")
            try:
                check.whole(task.kind)
            except Refused as refused:
                raise ValueError(f"evaluation.checks.{name}: {refused.message}") from refused


class RetrainingSettings(Section):
    """When a task's model learns from its foolings, how, and what it must show to be promoted."""

    model_config = ConfigDict(extra="allow", frozen=True)

    trigger: int | None = Field(
        default=50,
        ge=1,
        description="New verified foolings that start a run; null: only an owner starts one.",
    )
    held_out_share: float = Field(
        default=0.2, gt=0, lt=1, description="Share of the authors whose foolings only test."
    )
    seed: int = Field(default=0, ge=0, lt=2**32)
    author_share: float = Field(
        default=0.34, gt=0, le=1, description="Most of what one run learns that one author gives."
    )
    start: Literal["parent", "scratch"] = Field(
        default="parent", description="scratch: a first model anew, from clean data and foolings."
    )
    replay: float = Field(
        default=1, ge=0, le=1, description="Share of what was learned before that is learned again."
    )
    seeds: Annotated[int, Field(ge=1, le=10)] = Field(
        default=1, description="How often each recipe is trained."
    )
    recipes: dict[Slug, dict[str, Any]] = Field(
        default_factory=dict, description="Several ways to learn, by name: what differs in each."
    )
    also: tuple[Literal["relabelled", "honest", "ambiguous"], ...] = Field(
        default=(),
        description="What is learned beside verified foolings: what validators gave another label, "
        "what they confirmed and fooled nobody, what they could not agree on, by their shares.",
    )
    promote: Literal["automatic", "after_a_look", "by_owner"] = Field(
        default="after_a_look",
        description="after_a_look: by itself once an owner has promoted one that learned.",
    )
    gates: dict[str, Any] = Field(
        default_factory=dict, description="What differs from the defaults of training.gates."
    )

    @field_validator("gates")
    @classmethod
    def _gates_are_known(cls, gates: dict[str, Any]) -> dict[str, Any]:
        parse_gate_settings(gates)
        return gates

    @classmethod
    def defaults_for(cls, task: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the learners of its kind of input."""
        return {
            name: value
            for learner in learners_of(str(task.get("input")))
            for name, value in learner.settings().model_dump(mode="json").items()
        }

    def check_task(self, task: TaskFile) -> None:
        """Each learner of the kind takes its settings; one that is another kind's does nothing."""
        if "ambiguous" in self.also and not task.kind.answers.few:
            raise ValueError(f"also: ambiguous takes few labels, unlike {task.input}")
        known = {name for learner in all_learners() for name in learner.settings.model_fields}
        if unknown := self._others.keys() - known:
            raise ValueError(f"retraining has no setting {', '.join(sorted(unknown))}")
        for name, changes in self.recipes.items():
            if unknown := changes.keys() - known - {*_OF_A_RECIPE}:
                raise ValueError(f"the recipe {name} has no setting {', '.join(sorted(unknown))}")
        trials = self.trials()
        if len(trials) > MOST:
            raise ValueError(f"{len(trials)} trainings are more than the {MOST} of one run")
        for learner in learners_of(task.input):
            for _, recipe in trials:
                taken = recipe.of_learner(learner)
                if recipe.start == "scratch" and taken.get("generated"):
                    raise ValueError(
                        "a model from scratch learns nothing generated: write generated: 0 beside "
                        "start: scratch, or leave start as it is"
                    )

    def trials(self) -> list[tuple[str, Self]]:
        """Each way to learn with each seed, in the order of the recipes' names."""
        own = {**self.model_dump(), "recipes": {}, "seeds": 1}
        return [
            (name, self.model_validate({**own, **changes, "seed": (self.seed + more) % 2**32}))
            # Of what the file says first a database knows nothing.
            for name, changes in sorted((self.recipes or {"": {}}).items())
            for more in range(self.seeds)
        ]

    @property
    def _others(self) -> dict[str, Any]:
        return self.model_extra or {}

    def of_learner(self, learner: Learner) -> dict[str, Any]:
        """What is set of what this learner takes; ValueError when it cannot be so."""
        taken = learner.settings.model_fields
        given = {name: value for name, value in self._others.items() if name in taken}
        return learner.settings.model_validate(given).model_dump()

    @property
    def uses_generated(self) -> bool:
        """Whether one of its ways to learn takes generated regions."""
        return any(recipe._others.get("generated") for _, recipe in self.trials())

    @property
    def gate_settings(self) -> GateSettings:
        return parse_gate_settings(self.gates)
