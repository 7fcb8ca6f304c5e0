"""The task file: a strict schema for what an owner writes in YAML; imports no Django.

Sections that belong to apps above (`validation`, `retraining`, `evaluation`) are registered by
these apps, so that a mistake in any section is found when the file is loaded, and not when the
first vote comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from annotate import tongues
from annotate.sections import (
    Chat,
    Contexts,
    Explanation,
    Hints,
    Instructions,
    Label,
    Language,
    Quality,
    Rounds,
    Section,
    Slug,
    Word,
)
from core import strict_yaml
from core.errors import Refused
from core.looks import seen_as
from core.strict_yaml import NotYaml
from kinds import Kind, Prepared, all_kinds, kind_named
from kinds.answers import NONE, in_order
from kinds.comparators import NEW_FILES_SAY, Comparator, parse_comparator

PLACES = 9  # that one digit can name

_sections: dict[str, type[Section]] = {}


def register_section(name: str, section: type[Section]) -> None:
    """Let an app above own the section `name` of the task file."""
    _sections[name] = section


def sections() -> Mapping[str, type[Section]]:
    """Those that apps above own, by name."""
    return _sections


class TaskFile(Section):
    """A whole task file with its defaults filled in."""

    slug: Slug
    name: Annotated[str, StringConstraints(pattern=r"\S", max_length=200)]
    input: str
    labels: tuple[Label, ...] = ()
    instructions: Instructions = Instructions()
    claim: Word | None = Field(
        default=None, description="Of a chat's outcomes the one that the model stands for."
    )
    chat: Chat = Chat()
    contexts: Contexts = Contexts()
    quality: Quality = Quality()
    daily: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="Submissions that a person may make in a day (UTC)."
    )
    awards: tuple[Literal["streak", "verified"], ...] = Field(
        default=("streak", "verified"), description="What people are told that they reached."
    )
    explanation: Explanation = Explanation()
    feedback: Literal["live", "on_submit"] = Field(
        default="live", description="Whether people see the model's answer before they submit."
    )
    control: Annotated[float, Field(ge=0, le=0.9)] = Field(
        default=0.0, description="Share of the annotators who see no model's answer beforehand."
    )
    hints: Hints = Hints()
    rounds: Rounds = Rounds()
    comparator: dict[str, Any] = Field(
        description="When the model counts as fooled: a rule, and its parameters."
    )
    agreement: Literal["exact", "by_rule"] = Field(
        default="exact",
        description="Where answers are free: whether an answer that the comparator does not tell"
        " from the author's is the same. New files say by_rule.",
    )
    public: bool = True
    sandbox: bool = True
    language: Language | None = None
    content_warning: Annotated[str, StringConstraints(pattern=r"\S", max_length=300)] | None = None
    validation: dict[str, Any] = Field(default_factory=dict)
    retraining: dict[str, Any] = Field(default_factory=dict)
    evaluation: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _sections_know_their_defaults(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        rule = _rules_of(data.get("input"))[:1] or ("exact_match",)
        data = {"comparator": {"rule": rule[0]}, **data}
        defaults = {name: section.defaults_for(data) for name, section in _sections.items()}
        given = {name: data[name] for name in defaults if isinstance(data.get(name), dict)}
        filled = {name: {**defaults[name], **given.get(name, {})} for name in defaults}
        return {**filled, **data, **{name: filled[name] for name in given}}

    @field_validator("labels", mode="before")
    @classmethod
    def _plain_labels_are_their_own_names(cls, labels: object) -> object:
        if not isinstance(labels, list | tuple):
            return labels
        if any(isinstance(label, bool | float | None) for label in labels):
            raise ValueError("write labels such as true, null and 1.50 in quotes")
        return [
            {"value": str(label), "name": str(label)} if isinstance(label, str | int) else label
            for label in labels
        ]

    @field_validator("input")
    @classmethod
    def _kind_is_known(cls, name: str) -> str:
        if name not in all_kinds():
            raise ValueError(f"choose one of {', '.join(sorted(all_kinds()))}")
        return name

    @field_validator("comparator")
    @classmethod
    def _comparator_is_known(cls, comparator: dict[str, Any]) -> dict[str, Any]:
        parse_comparator(comparator)
        return comparator

    @field_validator("validation", "retraining", "evaluation")
    @classmethod
    def _section_is_understood(cls, data: dict[str, Any], info: Any) -> dict[str, Any]:
        section = _sections.get(info.field_name)
        return section.model_validate(data).model_dump(mode="json") if section else data

    @model_validator(mode="after")
    def _labels_are_distinct(self) -> TaskFile:
        values = [label.value for label in self.labels]
        if len(set(values)) != len(values):
            raise ValueError("two labels have the same value")
        keys = [label.key.lower() for label in self.labels if label.key]
        if len(set(keys)) != len(keys):
            raise ValueError("two labels have the same key")
        answers = self.kind.answers
        if (answers.few or answers.several) and len(values) < 2:
            raise ValueError("at least two labels are needed")
        if self.contexts != Contexts() and not self.kind.contexts:
            raise ValueError(f"contexts: {self.input} tasks have none")
        if self.quality != Quality() and self.kind.likeness.words(self._probe) is None:
            raise ValueError(f"quality: inputs of {self.input} tasks are no texts")
        if self.quality.language and not (self.language and tongues.can_tell(self.language)):
            raise ValueError("quality.language: name the task's `language`, one that can be told")
        if self.contexts.goal == "balanced" and not answers.few:
            raise ValueError(
                f"contexts: no goal can be balanced over answers to {self.input} tasks"
            )
        return self

    @model_validator(mode="after")
    def _somebody_sees_answers(self) -> TaskFile:
        if self.control and self.feedback == "on_submit":
            raise ValueError("control: with feedback on_submit nobody sees answers beforehand")
        return self

    @model_validator(mode="after")
    def _hints_can_be_seen(self) -> TaskFile:
        for hint in self.hints.shown:
            if hint.input is not None and self.kind.picture(hint.input) is None:
                raise ValueError("hints: an input is shown where it is a picture, as it is stored")
        return self

    @model_validator(mode="after")
    def _talks_have_a_claim(self) -> TaskFile:
        if not self.kind.talks:
            if self.claim is not None or self.chat != Chat():
                raise ValueError(f"claim and chat: in {self.input} tasks nobody chats")
            return self
        if self.control or self.feedback != "live":
            raise ValueError("control and feedback: nobody can chat without the model's answers")
        if self.claim not in self.label_values:
            raise ValueError("claim: name the outcome that the model stands for, one of the labels")
        rule = self.chat.rule
        if rule is not None and rule.outcome not in set(self.label_values) - {self.claim}:
            raise ValueError("chat.rule.outcome: name one of the labels, not the claim")
        return self

    @model_validator(mode="after")
    def _sections_serve_the_task(self) -> TaskFile:
        for name in _sections:
            self.section(name).check_task(self)
        return self

    @property
    def _probe(self) -> Prepared:
        return self.kind.parse(self.kind.probes[0])

    @cached_property
    def kind(self) -> Kind:
        """All that is particular to this kind of input."""
        return kind_named(self.input)

    def check_label(
        self, label: object, name: str = "label", *, of: object = None, own: bool = False
    ) -> None:
        """Refuse what is no answer of this task, or not to the input `of` (features or stored).

        `own`: it is its author's, who is here. `name` is what the sentence calls it.
        """
        self.kind.answers.check(self.label_values, label, name)
        if of is None:
            return
        complaint = self.kind.fits(of, label)
        if own and not complaint:
            complaint = self.kind.stands(of, label)
        if complaint:
            raise Refused(f"unknown_{name}", f"The {name}: {complaint}", fields={name: complaint})

    @property
    def label_values(self) -> list[str]:
        return [label.value for label in self.labels]

    @cached_property
    def keyed_labels(self) -> tuple[Label, ...]:
        """The labels with the keys that choose them, the same on every page.

        A key of its own; else a value of one character, which people press as they read it; else
        its place, unless that digit is something else here.
        """
        own = Counter((label.key or label.value).casefold() for label in self.labels)
        taken = {*own, *(label.name for label in self.labels)}

        def key(label: Label, place: int) -> str | None:
            alone = own[label.value.casefold()] == 1  # a and A are one key
            if label.key or (len(label.value) == 1 and alone):
                return label.key or label.value
            digit = str(place)
            return digit if place <= PLACES and digit not in taken else None

        return tuple(
            label.model_copy(update={"key": key(label, place)})
            for place, label in enumerate(self.labels, start=1)
        )

    @cached_property
    def none_of_them(self) -> dict[str, str | None] | None:
        """What pages offer beside the labels where an answer is a set of them, in their form."""
        if not self.kind.answers.several:
            return None
        taken = {text for label in self.keyed_labels for text in (label.key, label.name)}
        return {"value": "", "name": NONE, "key": None if "0" in taken else "0"}

    @cached_property
    def comparator_rule(self) -> Comparator:
        return parse_comparator(self.comparator)

    @cached_property
    def _reads_by_rule(self) -> bool:
        return self.agreement == "by_rule" and self.kind.answers.free

    def read_beside(self, answer: Any, own: Any, wrong: Any = None) -> Any:
        """What somebody said of an example whose author, or whoever settled it, said `own`.

        That very answer where they are the same: a list of labels is a set, and two free answers
        are one where the task's rule would not call a model fooled that gave the one for the other.
        `wrong` is what the model said where it counts as fooled: an answer by which it would not be
        bears no fooling out, and stays as it was said. Stored versions from before that say
        `exact`: what was decided under them stands.
        """
        answer, own = in_order(answer), in_order(own)
        if answer == own or answer is None or own is None or not self._reads_by_rule:
            return answer
        rule = self.comparator_rule
        with suppress(ValueError):  # it cannot compare them
            if not rule.fooled(answer, own) and (wrong is None or rule.fooled(wrong, answer)):
                return own
        return answer

    def read_in_turn(self, answers: Iterable[Any], own: Any, wrong: Any = None) -> list[Any]:
        """What several people said of it, in their order: who does not say what its author says
        may say what somebody before them said. None, of who said nothing, stays None."""
        read: list[Any] = []
        for answer in answers:
            said = self.read_beside(answer, own, wrong)
            if self._reads_by_rule and said is not None and said != own:
                others = (one for one in read if one is not None and one != own)
                said = next((one for one in others if self.same(said, one)), said)
            read.append(said)
        return read

    def same(self, answer: Any, own: Any, wrong: Any = None) -> bool:
        """Whether somebody says the same as an example's author, or whoever settled it."""
        return bool(self.read_beside(answer, own, wrong) == in_order(own))

    def section(self, name: str) -> Any:
        """The parsed section that an app above registered under `name`."""
        if name not in self.parsed_sections:
            self.parsed_sections[name] = _sections[name].model_validate(getattr(self, name))
        return self.parsed_sections[name]

    @cached_property
    def parsed_sections(self) -> dict[str, Any]:
        """Each is parsed once: every vote looks into one a dozen times."""
        return {}


def _rules_of(kind: object) -> tuple[str, ...]:
    kinds = all_kinds()
    return kinds[kind].rules if isinstance(kind, str) and kind in kinds else ()


def as_new(data: object) -> object:
    """What a file says that is written now, and one that is stored from before does not."""
    kinds = all_kinds()
    kind = kinds.get(str(data.get("input"))) if isinstance(data, dict) else None
    if not isinstance(data, dict) or kind is None or not kind.answers.free:
        return data
    rule = data.get("comparator", {"rule": kind.rules[0]})
    if isinstance(rule, dict):
        rule = {**rule, **NEW_FILES_SAY.get(str(rule.get("rule")), {}), **rule}
    return {"agreement": "by_rule", **data, "comparator": rule}


def _require_sense(file: TaskFile) -> None:
    """Asked of new files only: a stored one stays readable, whatever it says."""
    if file.agreement == "by_rule" and not file.kind.answers.free:
        raise NotYaml(f"agreement: answers to {file.input} tasks are labels; leave it out")
    for texts in (file.label_values, [label.name for label in file.labels]):
        if len({seen_as(text) for text in texts}) != len(texts):
            raise NotYaml("labels: two of them look the same to a person")
    rule, rules = file.comparator["rule"], file.kind.rules
    if rule not in rules:
        raise NotYaml(
            f"comparator: the rule {rule} cannot compare answers to {file.input} tasks; choose "
            f"{' or '.join(rules)}"
        )
    if rule == "numeric":
        try:
            for label in file.label_values:
                file.comparator_rule.fooled(label, label)
        except ValueError as error:
            raise NotYaml(
                f"comparator: numeric compares numbers, and of the labels {error}"
            ) from None
    _require_satisfiable(file.quality)


def _require_satisfiable(rules: Quality) -> None:
    """Refuse what no text can be."""
    most = rules.max_characters
    if most is None:
        return
    if (rules.min_characters or 0) > most:
        raise NotYaml("quality: min_characters is more than max_characters")
    if rules.min_words is not None and 2 * rules.min_words - 1 > most:
        raise NotYaml("quality: so many min_words do not fit into max_characters")


def read_task_file(text: str | bytes) -> TaskFile:
    """Read a task file's YAML; NotYaml says what is wrong with it, and on which line."""
    return parse_task_file(strict_yaml.loads(text), text=text)


def parse_task_file(data: object, *, text: str | bytes | None = None) -> TaskFile:
    """Check what was read from YAML; NotYaml names every mistake and where it is."""
    file = strict_yaml.parse(TaskFile, as_new(data), what="task file", text=text)
    _require_sense(file)
    return file
