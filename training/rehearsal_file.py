"""The file of a rehearsal: who takes part, what is paid, how long it goes on; imports no Django."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, model_validator

from annotate.sections import Section

Share = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[Decimal, Field(ge=0, le=10**6, allow_inf_nan=False)]


class People(Section):
    """Whose work is scripted: how many, and what part of them is not honest."""

    people: Annotated[int, Field(ge=2, le=200)] = 12
    a_day: Annotated[int, Field(ge=1, le=10_000)] = 20
    errors: Share = Field(default=0.02, description="Wrong labels that the honest give.")
    spammers: Share = Field(default=0, description="Share of the people who label at random.")
    colluders: Share = Field(default=0, description="Share who are in league with each other.")

    @model_validator(mode="after")
    def _are_no_more_than_all(self) -> People:
        if self.spammers + self.colluders > 1:
            raise ValueError("spammers and colluders are more than all")
        return self


class Annotators(People):
    """`tries`: how often the honest alter an input before they send it as it is.

    A colluder sends unaltered inputs under wrong labels, `wrong` of the time.
    """

    tries: Annotated[int, Field(ge=1, le=50)] = 3
    wrong: Share = 1


class Validators(People):
    """A colluder confirms what the league sent under wrong labels and else answers honestly."""

    people: Annotated[int, Field(ge=2, le=200)] = 8
    a_day: Annotated[int, Field(ge=1, le=10_000)] = 200
    errors: Share = Field(default=0.05, description="Wrong answers of the honest.")


class Pay(Section):
    """What each act costs; a fooling is paid for once it is verified."""

    submission: Amount = Decimal(0)
    fooling: Amount = Decimal(0)
    vote: Amount = Decimal(0)
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"


class RehearsalFile(Section):
    """A rehearsal: `rounds` of `foolings` verified ones each, as often as there are `seeds`."""

    rounds: Annotated[int, Field(ge=1, le=20)] = 3
    foolings: Annotated[int, Field(ge=1, le=10_000)] = 50
    seeds: Annotated[int, Field(ge=1, le=50)] = 3
    days: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=30, description="After these a round ends with the foolings there are."
    )
    source: str | None = Field(
        default=None,
        description="A folder of real inputs, as the learner reads it; else the task's clean data.",
    )
    labels: dict[str, str] = Field(
        default_factory=dict, description="The task's names for the labels of the source."
    )
    exam: Annotated[int, Field(ge=10, le=20_000)] = Field(
        default=2_000, description="Inputs that nobody sends: what each model is tested with."
    )
    annotators: Annotators = Annotators()
    validators: Validators = Validators()
    pay: Pay = Pay()
    budget: Amount | None = Field(default=None, description="At this cost nobody is asked more.")
    task: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="What differs from sections of the task's own file."
    )
