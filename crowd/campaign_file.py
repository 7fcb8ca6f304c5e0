"""The campaign file: a strict schema for what an owner writes in YAML; imports no Django."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from annotate.sections import Moment, Section, Slug, Word
from core import strict_yaml
from crowd import money
from crowd.platforms import names, platform_named

MINUTES_AN_ITEM = 1.5  # what an example or a vote is taken to need where nothing is said
ON_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}

Text = Annotated[str, StringConstraints(pattern=r"\S", max_length=10_000)]
Origin = Annotated[str, AfterValidator(lambda text: _origin(text))]
Address = Annotated[str, AfterValidator(lambda text: _address(text))]
Worker = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._@:-]{1,100}$")]
ANNOTATE, VALIDATE = "annotate", "validate"


def _address(text: str) -> str:
    """An https address (http on this machine), without user, query and fragment."""
    try:
        parts = urlsplit(text)
        plain = parts.scheme == "http" and parts.hostname in ON_THIS_MACHINE
        _ = parts.port  # ValueError when it is none
    except ValueError:
        raise ValueError(f"{text} is no address") from None
    if not parts.hostname or not (parts.scheme == "https" or plain) or set(text) & set(" ;,'\""):
        raise ValueError(f"{text} is no https address")
    if parts.username or parts.query or parts.fragment:
        raise ValueError(f"leave user, query and fragment out of {text}")
    return text


def _origin(text: str) -> str:
    """The same without a path: https://worker.example.org."""
    if urlsplit(_address(text)).path not in ("", "/"):
        raise ValueError(f"{text} is no origin: leave the path out")
    return text.rstrip("/")


class VisitSize(Section):
    """What one visit is: so many items of each work, or so many minutes at it."""

    examples: Annotated[int, Field(ge=1, le=500)] | None = None
    minutes: Annotated[int, Field(ge=1, le=480)] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> VisitSize:
        if (self.examples is None) == (self.minutes is None):
            raise ValueError("say either examples or minutes")
        return self


class Pay(Section):
    """Amounts as texts; what is left out is nothing."""

    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = "USD"
    base: Any = "0"
    per_verified: Any = "0"
    per_validation: Any = "0"
    screen_out: Any = "0"
    cap: Any = None
    budget: Any = None
    minimum_hourly: Any = "0"

    @model_validator(mode="after")
    def _amounts(self) -> Pay:
        for name in ("base", "per_verified", "per_validation", "screen_out", "minimum_hourly"):
            self.units(name)
        for name in ("cap", "budget"):
            if getattr(self, name) is not None:
                self.units(name)
        return self

    def units(self, name: str) -> int:
        """One of the amounts in the currency's smallest unit."""
        try:
            return money.parse(getattr(self, name), self.currency)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


class Consent(Section):
    text: Text = "What you make and answer here is kept and may be published, without your name."
    version: Word = ""
    keep: bool = True  # examples of somebody who asks to be forgotten stay, without their pseudonym

    @model_validator(mode="before")
    @classmethod
    def _a_text_is_its_own_version(cls, data: Any) -> Any:
        data = {"text": data} if isinstance(data, str) else data
        if isinstance(data, dict) and "version" not in data:
            text = str(data.get("text", cls.model_fields["text"].default))
            data = {**data, "version": hashlib.sha256(text.encode()).hexdigest()[:8]}
        return data


class Question(Section):
    question: Text
    choices: Annotated[tuple[Word, ...], Field(min_length=2, max_length=10)]
    answer: Word

    @model_validator(mode="after")
    def _answer_is_a_choice(self) -> Question:
        if self.answer not in self.choices:
            raise ValueError(f"answer: {self.answer} is none of the choices")
        return self


class LetIn(Section):
    """Who may take part: these workers alone, and nobody who was in one of these campaigns."""

    only: tuple[Worker, ...] = ()
    not_in: tuple[Slug, ...] = ()


class Expected(Section):
    """What an owner believes before the pilot: it makes the plan of costs."""

    minutes: Annotated[float, Field(gt=0, le=480)] | None = None
    fooling_rate: Annotated[float, Field(ge=0, le=1)] = 0.2


class CostPlan(NamedTuple):
    """What a visit and all of them cost, in smallest units, and the wage that this means."""

    visit_at_most: int
    at_most: int
    expected: int
    minutes: float
    hourly: int  # what is sure, without any bonus
    hourly_expected: int


class CampaignFile(Section):
    """A whole campaign file with its defaults filled in."""

    slug: Slug
    task: Slug
    platform: str
    work: tuple[Literal["annotate", "validate"], ...] = ("annotate",)
    places: Annotated[int, Field(ge=1, le=10_000)]
    visit: VisitSize = VisitSize(examples=5)
    pay: Pay = Pay()
    consent: Consent = Consent()
    check: tuple[Question, ...] = ()
    return_to: tuple[Address, ...] = ()
    frame: tuple[Origin, ...] = ()
    let_in: LetIn = LetIn()
    expected: Expected = Expected()
    time_limit: Annotated[int, Field(ge=5, le=10_080)] = 120  # minutes from link to end
    until: Moment | None = None  # by when one must have begun
    signed: bool | None = None
    people: tuple[Worker, ...] = ()  # of a panel: an invitation each, under a name of one's own
    parameters: dict[Literal["worker", "assignment"], Word] = Field(default_factory=dict)
    codes: dict[Literal["complete", "screened_out"], Word] = Field(default_factory=dict)
    study: Worker | None = None
    secured: bool = False  # Prolific's links come with a signature

    @model_validator(mode="before")
    @classmethod
    def _people_are_places(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("people"), list) and data["people"]:
            return {"places": len(data["people"]), **data}
        return data

    @field_validator("work", mode="before")
    @classmethod
    def _one_work_is_a_list_of_one(cls, work: object) -> object:
        if work == "both":
            return (ANNOTATE, VALIDATE)
        return (work,) if isinstance(work, str) else work

    @field_validator("return_to", "frame", mode="before")
    @classmethod
    def _one_address_is_a_list_of_one(cls, addresses: object) -> object:
        return (addresses,) if isinstance(addresses, str) else addresses

    @field_validator("check", mode="before")
    @classmethod
    def _questions_alone(cls, check: object) -> object:
        return (
            check["questions"] if isinstance(check, dict) and [*check] == ["questions"] else check
        )

    @field_validator("platform")
    @classmethod
    def _platform_is_known(cls, name: str) -> str:
        if name not in names():
            raise ValueError(f"choose one of {', '.join(names())}")
        return name

    @model_validator(mode="after")
    def _hangs_together(self) -> CampaignFile:
        if not self.work or len(set(self.work)) != len(self.work):
            raise ValueError("work: annotate, validate or both")
        if self.secured and self.platform != "prolific":
            raise ValueError("secured: only Prolific signs its links")
        if self.people and (self.platform != "panel" or len(set(self.people)) != self.places):
            raise ValueError("people: a panel's names, each once, as many as places")
        units, pay = self.pay.units, self.pay
        per_item = units("per_verified") + units("per_validation")
        if self.visit.minutes and per_item and pay.cap is None:
            raise ValueError("pay: say a cap, since minutes do not bound how much can be earned")
        if pay.cap is not None and units("cap") < units("base"):
            raise ValueError("pay: the cap is less than the base")
        if (plan := self.plan()).at_most > self.budget:
            raise ValueError(
                f"pay: {self.places} places may cost {money.in_words(plan.at_most, pay.currency)}, "
                "more than the budget: lower the places, or raise the budget"
            )
        platform_named(self.platform).check(self)
        return self

    def plan(self, minutes: float | None = None, fooling_rate: float | None = None) -> CostPlan:
        """What it will cost, by what is expected or by what a pilot showed."""
        units = self.pay.units
        rate = self.expected.fooling_rate if fooling_rate is None else fooling_rate
        items = self.visit.examples
        minutes = (
            minutes
            or max(self.expected.minutes or 0, self.visit.minutes or 0)
            or len(self.work) * (items or 0) * MINUTES_AN_ITEM
        )
        done = items or minutes / MINUTES_AN_ITEM / len(self.work)
        annotated, validated = ANNOTATE in self.work, VALIDATE in self.work
        verified, voted = units("per_verified") * annotated, units("per_validation") * validated
        most = units("base") + (items or 0) * (verified + voted)
        usual = units("base") + done * (rate * verified + 0.8 * voted)
        if self.pay.cap is not None:
            most = units("cap") if items is None else min(most, units("cap"))
            usual = min(usual, units("cap"))
        screened = self.places * units("screen_out") if self.check else 0
        return CostPlan(
            most,
            self.places * most + screened,
            round(self.places * usual),
            minutes,
            int(units("base") * 60 / minutes),
            int(usual * 60 / minutes),
        )

    @cached_property
    def budget(self) -> int:
        """The most that is ever paid; as much as the places may cost where nothing is said."""
        return self.plan().at_most if self.pay.budget is None else self.pay.units("budget")

    @property
    def is_signed(self) -> bool:
        """Whether each place has a link of its own."""
        return platform_named(self.platform).signed if self.signed is None else self.signed

    def promise(self, place: int) -> str:
        """A digest of what a place's link promises: the work, how much of it, what is paid, and, of
        a panel, to whom."""
        who = self.people[place - 1] if 0 < place <= len(self.people) else ""
        return _digest([*self._told(), who])

    @property
    def agreement(self) -> str:
        """A digest of all that is told to whoever agrees to it."""
        return _digest([*self._told(), self.time_limit, bool(self.check), self.consent.version])

    def _told(self) -> list[Any]:
        """Named one by one: what a later version adds to a file breaks no link."""
        pay = self.pay
        names = ("base", "per_verified", "per_validation", "screen_out")
        cap = None if pay.cap is None else pay.units("cap")
        size = [self.visit.examples, self.visit.minutes]
        return [self.work, size, pay.currency, *map(pay.units, names), cap]

    def money(self, units: int) -> str:
        return money.in_words(units, self.pay.currency)


def _digest(said: object) -> str:
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]


def read_campaign_file(text: str | bytes) -> CampaignFile:
    """Read a campaign file's YAML; NotYaml says what is wrong with it."""
    return strict_yaml.parse(CampaignFile, strict_yaml.loads(text), what="campaign file")
