"""The `validation` section of a task file; imports no Django."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from annotate.config import TaskFile
from annotate.sections import Section
from core.rule_spec import schema_of
from kinds import all_kinds
from validate.policies import POLICIES, Bayes, Policy, parse_policy


class Qualification(Section):
    """What somebody must show before they may validate; no items: nothing."""

    items: int = Field(default=0, ge=0, le=200, description="Known answers that come first.")
    minimum: float = Field(default=0.7, ge=0, le=1, description="Share of them to get right.")
    feedback: bool = Field(default=True, description="Say after each whether it was right.")
    paid: bool = Field(default=False, description="Whether these answers are paid for.")


def _with_policies(schema: dict[str, Any]) -> None:
    """A policy's parameters stand beside its name."""
    own = schema["properties"]
    own["policy"]["enum"] = list(POLICIES)
    for name, policy in POLICIES.items():
        for parameter, one in schema_of(policy).items():
            there = own.setdefault(parameter, {**one, "description": f"Of {name}"})
            if there["description"] != f"Of {name}":  # of several, each with its own default
                there["description"] += f" and {name}"
                there.pop("default", None)


class ValidationSettings(Section):
    """How examples are validated: a policy's name and parameters, and the queue's rules."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_with_policies)

    policy: str = "bayes"
    parameters: dict[str, Any] = Field(default_factory=dict)
    sample: float = Field(
        default=0.10, ge=0, le=1, description="Share of the non-foolings that are validated too."
    )
    lease_seconds: int = Field(default=180, ge=10, le=86_400)
    lease_limit_seconds: int = Field(
        default=900, ge=10, le=86_400, description="How long heartbeats can keep an item."
    )
    open_to: Literal["annotator", "validator"] = "validator"
    gold_first: float = Field(
        default=0.10, ge=0, le=0.5, description="Share of gold in a validator's first items."
    )
    gold_first_items: int = Field(default=50, ge=0, le=10_000)
    gold_later: float = Field(default=0.05, ge=0, le=0.5, description="Share of gold after these.")
    qualification: Qualification = Qualification()
    share_cap: float = Field(
        default=0.20,
        gt=0,
        le=1,
        description="The most that one validator gives of an author's votes, from 20 votes on.",
    )

    judge_share: float = Field(
        default=0,
        ge=0,
        le=0.5,
        description="The most that an admitted judge gives of an author's votes; 0: none.",
    )

    picked: int | None = Field(
        default=None,
        ge=2,
        le=1_000,
        description="How many people an example is for in its first day, on average, picked by lot "
        "among those at work; empty: one more than the policy's cap.",
    )
    skip_share: float = Field(
        default=0.20, ge=0, le=1, description="Skips that each answer pays for, after the first."
    )
    close_look: float = Field(
        default=1,
        ge=0,
        le=1,
        description="Share of new authors' examples, and of weak verdicts, that take a vote more.",
    )

    @model_validator(mode="before")
    @classmethod
    def _other_keys_are_policy_parameters(cls, data: Any) -> Any:
        """`{policy: bayes, fixed_reliability: 0.827}` as the contract has it."""
        if not isinstance(data, dict):
            return data
        own = {key: value for key, value in data.items() if key in cls.model_fields}
        other = {key: value for key, value in data.items() if key not in cls.model_fields}
        return {**own, "parameters": {**own.get("parameters", {}), **other}}

    @model_validator(mode="after")
    def _policy_is_known(self) -> ValidationSettings:
        parse_policy({"policy": self.policy, **self.parameters})
        return self

    @classmethod
    def defaults_for(cls, task: Mapping[str, Any]) -> dict[str, Any]:
        kind = all_kinds().get(str(task.get("input")))
        return {"policy": kind.policy} if kind else {}

    def check_task(self, task: TaskFile) -> None:
        if isinstance(self.rule, Bayes) and not task.kind.answers.few:
            raise ValueError(
                f"validation: the policy bayes weighs a few labels against each other, and "
                f"{task.input} has none; choose k_matching"
            )

    @cached_property
    def rule(self) -> Policy:
        return parse_policy({"policy": self.policy, **self.parameters})

    @property
    def people_picked(self) -> int:
        return self.picked or self.rule.cap + 1

    def gold_share(self, answered: int) -> float:
        """How likely the item after `answered` others is gold: the first one never is."""
        if answered == 0:
            return 0.0
        return self.gold_first if answered < self.gold_first_items else self.gold_later
