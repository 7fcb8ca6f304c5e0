"""The `retraining` section of a task file; imports no Django."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from annotate.config import Section
from training.gates import GateSettings, parse_gate_settings


class RetrainingSettings(Section):
    """When a task's model learns from its foolings, how, and what it must show to be promoted."""

    trigger: int | None = Field(
        default=50,
        ge=1,
        description="New verified foolings that start a run; null: only an owner starts one.",
    )
    held_out_share: float = Field(
        default=0.2, gt=0, lt=1, description="Share of the authors whose foolings only test."
    )
    mix: Literal["half", "union"] = "half"
    epochs: int = Field(default=5, ge=1, le=200)
    epoch_images: int = Field(
        default=4_300, ge=1, le=10**6, description="Clean drawings an epoch, redrawn each time."
    )
    blend: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="How far from the old weights to the tuned ones the candidate lies.",
    )
    batch_size: int = Field(default=64, ge=2, le=4096)
    learning_rate: float = Field(default=0.01, gt=0, le=1)
    momentum: float = Field(default=0.5, ge=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    promote: Literal["automatic", "by_owner"] = "automatic"
    gates: dict[str, Any] = Field(
        default_factory=dict, description="What differs from the defaults of training.gates."
    )

    @field_validator("gates")
    @classmethod
    def _gates_are_known(cls, gates: dict[str, Any]) -> dict[str, Any]:
        parse_gate_settings(gates)
        return gates

    @property
    def gate_settings(self) -> GateSettings:
        return parse_gate_settings(self.gates)
