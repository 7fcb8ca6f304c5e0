"""The `validation` section of a task file; imports no Django."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from annotate.config import Section, TaskFile
from validate.policies import Bayes, Policy, parse_policy

# Their answers are not one of a few labels, so there is nothing to spread a probability over.
_OPEN_ANSWERS = ("passage_qa", "text_multilabel")


class ValidationSettings(Section):
    """How examples are validated: a policy's name and parameters, and the queue's rules."""

    policy: str = "bayes"
    parameters: dict[str, Any] = Field(default_factory=dict)
    sample: float = Field(
        default=0.10, ge=0, le=1, description="Share of the non-foolings that are validated too."
    )
    lease_seconds: int = Field(default=180, ge=10, le=86_400)
    open_to: Literal["annotator", "validator"] = "validator"

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
        return {"policy": "k_matching"} if task.get("input") in _OPEN_ANSWERS else {}

    def check_task(self, task: TaskFile) -> None:
        if isinstance(self.rule, Bayes) and task.input in _OPEN_ANSWERS:
            raise ValueError(
                f"validation: the policy bayes weighs a few labels against each other, and "
                f"{task.input} has none; choose k_matching"
            )

    @property
    def rule(self) -> Policy:
        return parse_policy({"policy": self.policy, **self.parameters})
