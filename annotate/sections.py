"""The parts of a task's file, each with what it may say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from accounts.languages import canonical
from core import patterns
from kinds.wording import fold

if TYPE_CHECKING:
    from annotate.config import TaskFile


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


def _of_a_year(at: datetime) -> datetime:
    try:
        at.astimezone(UTC)
    except OverflowError:
        raise ValueError("say a time of the years 1 to 9999 in UTC") from None
    return at


Moment = Annotated[AwareDatetime, AfterValidator(_of_a_year)]  # databases and pages take it to UTC


class Rounds(Section):
    """What holds in each round that opens from now on; docs/rounds.md explains each."""

    opens_at: Moment | None = None
    closes_at: Moment | None = None
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
