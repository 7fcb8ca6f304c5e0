"""The `retraining` section of a task file: when, who tests, what is asked; imports no Django.

What else it may say is the learner's: each says in ml/learners which settings it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, field_validator

from annotate.config import TaskFile
from annotate.sections import Section, Slug, Word
from ml.learners import Learner, all_learners, learners_of
from training.gates import GateSettings, parse_gate_settings

_OF_A_RECIPE: Final = ("start", "replay")
MOST: Final = 30  # trainings of one run


class EvaluationSettings(Section):
    """What models are looked at apart on, beside labels, lengths and sources."""

    slices: dict[Word, Annotated[list[Word], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="Name of a slice to words; a text with one of them, in any case, is in it.",
    )

    def check_task(self, task: TaskFile) -> None:
        if self.slices and not task.kind.text_fields:
            raise ValueError(f"evaluation.slices are of texts, and {task.input} is none")


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
