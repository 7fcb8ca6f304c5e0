"""Chat models, behind any server that speaks chat completions: asked for a label in words.

What is none of the task's labels is no answer: nobody fools a model that said something else.
In a task of chats it is asked for its next turn, and there is nothing to read out of it.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from string import Formatter
from typing import Any, Final, Self

from pydantic import Field, field_validator, model_validator

from kinds import Prepared, kind_named
from kinds.texts import MAX_TEXT
from ml.artifacts import ArtifactError
from ml.backends import Answer, Backend, Down, Failed, Heard, Source, Talker, Turn
from ml.batcher import Busy
from ml.remote import WORDS, RemoteOptions, options_in
from ml.streams import Streaming

FREE: Final = "Answer with the words of the text that answer the question, and nothing else."
# Why a turn ended that is a whole one, by servers' names. Of half of one, or of one that a filter
# cut or that does not say, nobody knows what it would have been.
WHOLE: Final = {"stop", "eos", "eos_token", "stop_sequence", "end_turn"}
OF_LABELS: Final = "Answer with one of these and nothing else: {labels}."
# What may stand around the label: of "non-hateful" or "cannot be called hateful" nobody knows what
# other words make of it.
_AROUND: Final = frozenset({
    "a", "an", "answer", "as", "best", "category", "class", "classification", "final", "hypothesis",
    "i", "is", "it", "its", "label", "message", "my", "of", "option", "passage", "premise",
    "response", "review", "s", "say", "sentence", "sentiment", "statement", "text", "that", "the",
    "this", "would",
})  # fmt: skip
_MINUTE: Final = 60.0
_DAY: Final = 86_400


class ChatOptions(RemoteOptions):
    """The key is sealed; caps are those of one process of this server."""

    model: str = Field(min_length=1, max_length=200, description="Its name on its server.")
    prompt: str | None = Field(
        default=None,
        max_length=10_000,
        description="What it is asked, with {text} and other fields of the input, and {labels}.",
    )
    system: str | None = Field(default=None, max_length=10_000)
    temperature: float = Field(default=0, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=None, ge=0, lt=2**31)
    max_tokens: int = Field(
        default=64,
        ge=1,
        le=4_096,
        description="Of an answer; 1,024 where nothing is said of chats.",
    )
    seconds: float = Field(
        default=20,
        gt=0,
        le=120,
        description="That an answer may take; 120 where nothing is said of chats.",
    )
    per_minute: int | None = Field(default=None, ge=1, description="Most questions a minute.")
    tokens_per_day: int | None = Field(default=None, ge=1, description="Most tokens a day.")
    price: float | None = Field(
        default=None, ge=0, description="Of a million tokens, for its page."
    )
    cost_per_day: float | None = Field(
        default=None, gt=0, description="Most that a day may cost, by its price."
    )

    @field_validator("prompt")
    @classmethod
    def _prompt_has_names(cls, prompt: str | None) -> str | None:
        for _, name, spec, conversion in Formatter().parse(prompt or ""):
            if name is not None and (spec or conversion or not name.isidentifier()):
                raise ValueError("name fields plainly, as in {text}; write {{ and }} for braces")
        return prompt

    @model_validator(mode="after")
    def _cost_has_a_price(self) -> Self:
        if self.cost_per_day is not None and not self.price:
            raise ValueError("cost_per_day takes a price: that of a million tokens")
        return self

    @property
    def most_tokens(self) -> int | None:
        """A day, by tokens or by what they cost, whichever is less."""
        caps = [] if self.tokens_per_day is None else [self.tokens_per_day]
        if self.cost_per_day is not None and self.price:
            caps.append(int(self.cost_per_day / self.price * 1_000_000))
        return min(caps, default=None)


OPTIONS = ChatOptions
# A label is short, and a turn that is cut looks like nonsense; nor may it be lost where it comes
# slowly, as without a GPU. Those registered before go on as they were: a round's model does not
# change.
TALKING: Final = {"max_tokens": 1_024, "seconds": 120}


class Chat:
    """One chat model: a conversation in, its next turn out. Safe from several threads."""

    def __init__(self, options: ChatOptions) -> None:
        self.options = options
        self._remote = Streaming(options)
        key = options.key.get_secret_value() if options.key else None
        self._caps = _caps_of(
            options.url, options.model, key,
            per_minute=options.per_minute, tokens_per_day=options.most_tokens,
        )  # fmt: skip

    def turn(self, messages: Sequence[Mapping[str, str]]) -> Turn:
        """The model's next turn after these (`role`, `content`).

        Raises Down, Failed, or Busy when a cap is reached.
        """
        self._caps.pass_()
        turn = self._whole(self._body(messages))
        self._caps.count(turn.tokens or 0)
        return turn

    async def aloud(self, messages: Sequence[Mapping[str, str]], heard: Heard) -> Turn:
        """The same on the event loop; `heard` gets it piece by piece."""
        self._caps.pass_()
        said = _Streamed(heard, time.monotonic() + self.options.seconds)
        how = {"stream": True, "stream_options": {"include_usage": True}}
        await self._remote.lines("/chat/completions", self._body(messages) | how, said.take)
        turn = said.turn()
        self._caps.count(turn.tokens or 0)
        return turn

    def _body(self, messages: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.options.model,
            "messages": list(messages),
            "temperature": self.options.temperature,
            "max_tokens": self.options.max_tokens,
        }
        for name in ("top_p", "seed"):
            if (value := getattr(self.options, name)) is not None:
                body[name] = value
        return body

    def _whole(self, body: dict[str, Any]) -> Turn:
        return _turn_in(self._remote.post("/chat/completions", body))


def _turn_in(told: dict[str, Any]) -> Turn:
    """The turn in an answer that came whole."""
    choice = _choice(told)
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, str):
        raise Failed("The chat model's server answered without a text.")
    return Turn(_storable(content), _reason(choice), _tokens(told))


class _Streamed:
    """What was heard of a turn: pieces until one says why it ended, or half an answer.

    A server that knows no streams sends it whole, as one object.
    """

    def __init__(self, heard: Heard, ends: float) -> None:
        self._heard, self._ends = heard, ends
        self._pieces: list[str] = []
        self._reason: str | None = None
        self._tokens: int | None = None
        self._plain: list[bytes] | None = []
        """The lines of what is no stream; None once it is one."""

    def take(self, line: bytes) -> None:
        """The next line of the stream."""
        if time.monotonic() > self._ends:
            raise Failed("The chat model takes too long.")
        if not line.startswith(b"data:"):
            if self._plain is not None:
                self._plain.append(line)
            return
        self._plain = None
        data = line.removeprefix(b"data:").strip()
        if data == b"[DONE]":
            return
        try:
            told = json.loads(data)
        except ValueError as error:
            raise Failed("The chat model's server sent what is no JSON.") from error
        if not isinstance(told, dict):
            raise Failed("The chat model's server sent what is no JSON object.")
        if fault := told.get("error"):  # its status was sent before it knew
            raise Failed(f"The chat model's server could not go on: {str(fault)[:WORDS]}")
        self._tokens = _tokens(told) or self._tokens
        if not told.get("choices"):
            return  # the last one of some has the usage alone
        choice = _choice(told)
        delta = choice.get("delta")
        piece = delta.get("content") if isinstance(delta, dict) else None
        if piece:
            self._pieces.append(str(piece))
            self._heard(str(piece))
        self._reason = _reason(choice) or self._reason

    def turn(self) -> Turn:
        """All of it; Down where it ended before its end."""
        if self._plain:
            with suppress(ValueError):
                if isinstance(told := json.loads(b"\n".join(self._plain)), dict):
                    turn = _turn_in(told)
                    self._heard(turn.content)
                    return turn
        if self._reason is None:
            raise Down("The chat model broke off.")
        return Turn(_storable("".join(self._pieces)), self._reason, self._tokens)


def _storable(said: str) -> str:
    """The same as every database keeps it; pieces may have parted a pair of surrogates."""
    whole = said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", "\ufffd")


def _choice(told: dict[str, Any]) -> dict[str, Any]:
    choices = told.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Failed("The chat model's server answered without a choice.")
    first: dict[str, Any] = choices[0]
    return first


def _reason(choice: dict[str, Any]) -> str | None:
    reason = choice.get("finish_reason")
    return reason if isinstance(reason, str) else None


def _tokens(told: dict[str, Any]) -> int | None:
    usage = told.get("usage")
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return total if type(total) is int and 0 <= total < 2**31 else None


class _Caps:
    """So many questions a minute and tokens a day, of this process."""

    def __init__(self, per_minute: int | None, tokens_per_day: int | None) -> None:
        self._per_minute, self._tokens_per_day = per_minute, tokens_per_day
        self._lock = threading.Lock()
        self._asked: deque[float] = deque()
        self._day, self._tokens = 0, 0

    def pass_(self) -> None:
        """Count a question; Busy, until when, where it would be one too many."""
        with self._lock:
            now, wall = time.monotonic(), time.time()
            if (day := int(wall // _DAY)) != self._day:
                self._day, self._tokens = day, 0
            if self._tokens_per_day is not None and self._tokens >= self._tokens_per_day:
                raise Busy(0, round(1000 * (_DAY - wall % _DAY)))
            while self._asked and self._asked[0] <= now - _MINUTE:
                self._asked.popleft()
            if self._per_minute is not None and len(self._asked) >= self._per_minute:
                raise Busy(0, round(1000 * (self._asked[0] + _MINUTE - now)) + 1)
            self._asked.append(now)

    def count(self, tokens: int) -> None:
        with self._lock:
            self._tokens += tokens


@cache
def _caps_of(*_: object, per_minute: int | None, tokens_per_day: int | None) -> _Caps:
    """The same however often such a model is opened: by judges, for evaluations, in each round."""
    return _Caps(per_minute, tokens_per_day)


class TalkingBackend:
    """A chat model that holds its part of a chat; its system prompt comes first."""

    labels: tuple[str, ...] = ()
    at_once = 1
    remote = True

    def __init__(self, options: ChatOptions) -> None:
        self._chat = Chat(options)
        self._begin = [{"role": "system", "content": options.system}] if options.system else []
        self.lanes, self.seconds = options.lanes, options.seconds
        self.remarks = (
            f"Asked at temperature {options.temperature:g}; its server may change it at any time.",
        )

    def turn(self, messages: Sequence[Mapping[str, str]]) -> Turn:
        return _told(self._chat.turn([*self._begin, *messages]))

    async def aloud(self, messages: Sequence[Mapping[str, str]], heard: Heard) -> Turn:
        return _told(await self._chat.aloud([*self._begin, *messages], heard))


def _told(turn: Turn) -> Turn:
    """A turn as it is shown and kept; Failed where there is nothing to be shown."""
    if not turn.content.strip():
        raise Failed("The chat model said nothing.")
    if len(turn.content) > MAX_TEXT:
        return Turn(turn.content[:MAX_TEXT], "length", turn.tokens)
    return turn


class ChatBackend:
    """A chat model that is asked for one of the labels, or freely where the task has none."""

    at_once = 1
    remote = True
    is_told_labels = True  # in their order, which may move its answers
    tokens: int | None = None  # of the last answer, where its server tells

    def __init__(self, options: ChatOptions, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self.chat, self._options = Chat(options), options
        self.lanes, self.seconds = options.lanes, options.seconds
        self.remarks = (
            "It answers in words and gives no probabilities; what is no label is no answer.",
            f"Asked at temperature {options.temperature:g}; its server may change it at any time.",
        )

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        return [self._ask(one.features) for one in inputs]

    def _ask(self, features: Any) -> Answer:
        if not isinstance(features, dict):
            raise ValueError("it reads texts")
        fields = {name: value for name, value in features.items() if isinstance(value, str)}
        system = (
            [{"role": "system", "content": self._options.system}] if self._options.system else []
        )
        asked = {"role": "user", "content": self._prompt(fields)}
        turn = self.chat.turn([*system, asked])
        self.tokens = turn.tokens
        if turn.finish_reason not in WHOLE:
            raise Failed(f"The model broke off ({turn.finish_reason}) at {turn.content[:60]!r}.")
        said = turn.content
        return Answer(label_in(said, self.labels) if self.labels else _answer_in(said, fields))

    def _prompt(self, fields: Mapping[str, str]) -> str:
        labels = ", ".join(self.labels)
        if self._options.prompt is None:
            told = "\n".join(f"{name}: {text}" for name, text in fields.items())
            return f"{told}\n\n{OF_LABELS.format(labels=labels) if labels else FREE}"
        try:
            return self._options.prompt.format(labels=labels, **fields)
        except KeyError as missing:
            raise ValueError(f"its prompt names {missing}, which an input has not") from missing


def label_in(said: str, labels: Sequence[str]) -> str:
    """The label that is all that was said, or all but a few words that change nothing.

    Failed for all else: of "not good", nobody knows what it means.
    """
    plain = _plain(said)
    for label in labels:
        if plain == _plain(label):
            return label
    # The longest first: "not hateful" has "hateful" in it.
    found, rest = [], f" {plain} "
    for label in sorted(labels, key=len, reverse=True):
        if (word := f" {_plain(label)} ") in rest:
            found.append(label)
            rest = rest.replace(word, "  ", 1)
    if len(found) != 1 or not _AROUND.issuperset(rest.split()) or "?" in said:
        raise Failed(f"The model answered {said[:60]!r}, which is none of its labels.")
    return found[0]


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w]+", " ", text.casefold()).split())


def _answer_in(said: str, fields: Mapping[str, str]) -> Any:
    """Its words with their place in the passage, where they stand there; else bare words."""
    words = said.strip().strip("\"'“”‘’").removesuffix(".")
    start = fields.get("context", "").find(words) if words else -1
    return {"text": words, "start": start} if start >= 0 else words


def load(source: Source) -> Backend | Talker:
    """One whose labels are the task's, by name, or mapped from other words; or one that talks."""
    options = options_in(source.config, ChatOptions)
    if (name := source.config.get("kind")) and kind_named(name).talks:
        if options.prompt is not None:
            raise ArtifactError("A model that chats has no prompt: what it is told is `system`.")
        return TalkingBackend(options)
    if source.config.get("several"):
        raise ArtifactError("A chat model answers with one label: this task's answers are sets.")
    return ChatBackend(options, source.config.get("labels", ()))
