"""The task file: a strict schema for what an owner writes in YAML; imports no Django.

Sections that belong to apps above (`validation`, `retraining`, `evaluation`) are registered by
these apps, so that a mistake in any section is found when the file is loaded, and not when the
first vote comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from accounts.languages import canonical
from annotate import tongues
from core import patterns, strict_yaml
from core.errors import Refused
from core.looks import seen_as
from core.strict_yaml import NotYaml
from kinds import Kind, Prepared, all_kinds, kind_named
from kinds.answers import NONE
from kinds.comparators import Comparator, parse_comparator
from kinds.wording import fold


def _as_written(word: object) -> object:
    """A whole number as it stands in the file, where no other spelling of it is a number."""
    return str(word) if type(word) is int else word


# Neither blank nor with spaces around it: a person could not tell two of these apart.
Word = Annotated[
    str,
    BeforeValidator(_as_written, json_schema_input_type=str | int),
    StringConstraints(pattern=r"^\S(.*\S)?$", max_length=100),
]
Key = Annotated[
    str,
    BeforeValidator(_as_written, json_schema_input_type=str | int),
    StringConstraints(pattern=r"^\S$"),
]
Language = Annotated[str, AfterValidator(canonical)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class Section(BaseModel):
    """A part of the task file; a key that it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def defaults_for(cls, task: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG003
        """What this section says for such a task where the file does not (`task`: unchecked)."""
        return {}

    def check_task(self, task: TaskFile) -> None:
        """Raise ValueError, as a sentence, when this section cannot serve such a task."""


class Label(Section):
    """One answer: the value stored, the name shown, and the key that stands for it."""

    value: Word
    name: Word
    key: Key | None = None


class Picture(Section):
    """An example shown in the instructions: a static file and what it teaches."""

    image: str
    caption: str
    good: bool


class SampleText(Section):
    """The same in words."""

    text: str
    caption: str
    good: bool


class Instructions(Section):
    """What the annotator reads."""

    goal: str = "Find an input on which the model is wrong, and tell us the right answer."
    steps: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    texts: tuple[SampleText, ...] = ()
    validation: str = "What is the right answer? Judge only by what you see."


class Contexts(Section):
    """How annotators come by what they write about; docs/kinds.md explains each."""

    policy: Literal["least_used", "uniform", "least_fooled", "stratified"] = "least_used"
    tries: Annotated[int, Field(ge=1, le=1_000)] | None = None
    goal: Literal["annotator", "balanced"] = "annotator"


class Quality(Section):
    """What a text must be like to be submitted; nothing is asked by default."""

    min_characters: Annotated[int, Field(ge=1)] | None = None
    max_characters: Annotated[int, Field(ge=1)] | None = None
    min_words: Annotated[int, Field(ge=1, le=1_000)] | None = None
    max_copied: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="Share of it that may stand, as it is, in its context."
    )
    language: bool = Field(
        default=False, description="Whether it must be in the task's language, where one can tell."
    )


_QUESTIONS = {
    "fooled": "What confused it?",
    "not_fooled": "What did it get right?",
    "all": "What made it answer so?",
}


class Explanation(Section):
    """What people are asked about the model's answer in words of their own, and when."""

    asked: Literal["after", "before", "never"] = Field(
        default="after", description="Once the answer is shown, with the submission, or not at all."
    )
    of: Literal["fooled", "not_fooled", "all"] = Field(
        default="fooled", description="Of which submissions; all where it is asked before."
    )
    required: bool = Field(
        default=False, description="Before: nothing is taken without; after: nothing more."
    )
    question: Annotated[str, StringConstraints(pattern=r"\S", max_length=200)] = _QUESTIONS[
        "fooled"
    ]

    @model_validator(mode="before")
    @classmethod
    def _has_a_question(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        before = data.get("asked") == "before"
        data = {"of": "all", **data} if before else data
        usual = _QUESTIONS.get(str(data.get("of", "fooled")), "")
        return {"question": "What is to confuse it?" if before else usual, **data}

    @model_validator(mode="after")
    def _makes_sense(self) -> Explanation:
        if self.asked == "before" and self.of != "all":
            raise ValueError("of: before the answer nobody knows whom it fools: write all")
        if self.asked == "never" and self.required:
            raise ValueError("required: what is never asked cannot be required")
        return self

    @property
    def is_owed(self) -> bool:
        """Whether a submission can owe one, before its author may send another."""
        return self.required and self.asked == "after"

    def asks_of(self, fooled: bool) -> bool:
        """Whether it is asked of such a submission."""
        return self.of == "all" or (self.of == "fooled") is fooled


class Hint(Section):
    """What a part of the annotators is told of where the model errs."""

    text: Annotated[str, StringConstraints(pattern=r"\S", max_length=200)]
    input: Any = Field(default=None, description="What is shown beside it, where it is a picture.")


class Hints(Section):
    """Who is told, and what; docs/rounds.md explains it."""

    share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="Of the annotators, by lot and for good; guests see none."
    )
    shown: Annotated[tuple[Hint, ...], Field(max_length=3)] = ()


class ChatRule(Section):
    """What the model must not say, such as a secret of its system prompt, and the outcome when it
    does."""

    contains: Annotated[str, StringConstraints(pattern=r"\S", max_length=1_000)] | None = Field(
        default=None, description="Said also where case, spaces and what nobody sees differ."
    )
    matches: Annotated[str, StringConstraints(min_length=1, max_length=1_000)] | None = Field(
        default=None, description="A regular expression of RE2, searched in what the model says."
    )
    outcome: Word

    @model_validator(mode="after")
    def _says_it_once(self) -> ChatRule:
        if (self.contains is None) == (self.matches is None):
            raise ValueError("write contains or matches, one of the two")
        if self.matches is not None:
            try:
                patterns.compiled(self.matches)
            except patterns.NoPattern as error:
                raise ValueError(f"matches: {error}") from error
        return self

    def is_said(self, answer: str) -> bool:
        """Whether an answer of the model says it."""
        if self.matches is not None:
            return patterns.compiled(self.matches).search(answer) is not None
        assert self.contains is not None
        return fold(self.contains) in fold(answer)


class Chat(Section):
    """How long a chat may be, and what says its outcome where people do not."""

    turns: Annotated[int, Field(ge=1, le=200)] = Field(default=20, description="Of a person.")
    tokens: Annotated[int, Field(ge=1)] = Field(
        default=50_000, description="That a chat may cost, what is asked and what is said."
    )
    characters: Annotated[int, Field(ge=1, le=20_000)] = Field(
        default=4_000, description="Of a person's turn."
    )
    rule: ChatRule | None = None


Quota = Annotated[int, Field(ge=1, le=10**6)]


class Rounds(Section):
    """What holds in each round that opens from now on; docs/rounds.md explains each."""

    opens_at: AwareDatetime | None = None
    closes_at: AwareDatetime | None = None
    submissions: Quota | None = Field(default=None, description="So many a round takes.")
    verified: Quota | None = Field(default=None, description="Foolings with which it is over.")
    submissions_each: Quota | None = Field(default=None, description="So many of a person.")
    verified_each: Quota | None = Field(default=None, description="A person is done with these.")
    retraction: Literal["always", "while_open", "never"] = "always"

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> Rounds:
        if self.opens_at and self.closes_at and self.opens_at >= self.closes_at:
            raise ValueError("a round must open before it closes")
        return self

    @property
    def words(self) -> str:
        """What people must know of it besides its times."""
        said = {
            "It takes {:,} submissions in all.": self.submissions,
            "It is over with {:,} verified foolings.": self.verified,
            "The first {:,} that you send count, and no more are taken.": self.submissions_each,
            "With {:,} verified foolings you are done.": self.verified_each,
            "Nothing can be taken back.": self.retraction == "never",
            "Nothing can be taken back once it is over.": self.retraction == "while_open",
        }
        return " ".join(words.format(value) for words, value in said.items() if value)


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
    comparator: dict[str, Any]
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

    def check_label(self, label: object, name: str = "label", *, of: object = None) -> None:
        """Refuse what is no answer of this task, or not to the input `of` (features or stored).

        `name` is what the sentence calls it.
        """
        self.kind.answers.check(self.label_values, label, name)
        if of is not None and (complaint := self.kind.fits(of, label)):
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


def _require_sense(file: TaskFile) -> None:
    """Asked of new files only: a stored one stays readable, whatever it says."""
    for texts in (file.label_values, [label.name for label in file.labels]):
        if len({seen_as(text) for text in texts}) != len(texts):
            raise NotYaml("labels: two of them look the same to a person")
    rule, rules = file.comparator["rule"], file.kind.rules
    if rule not in rules:
        raise NotYaml(
            f"comparator: the rule {rule} cannot compare answers to {file.input} tasks; choose "
            f"{' or '.join(rules)}"
        )


def read_task_file(text: str | bytes) -> TaskFile:
    """Read a task file's YAML; NotYaml says what is wrong with it, and on which line."""
    return parse_task_file(strict_yaml.loads(text), text=text)


def parse_task_file(data: object, *, text: str | bytes | None = None) -> TaskFile:
    """Check what was read from YAML; NotYaml names every mistake and where it is."""
    file = strict_yaml.parse(TaskFile, data, what="task file", text=text)
    _require_sense(file)
    return file
