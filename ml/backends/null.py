"""A label from the hash of the input: for tests, and for a task that has no model yet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

from pydantic import Field

from kinds import Kind, Prepared, kind_named
from kinds.texts import MAX_TEXT
from ml.artifacts import ArtifactError
from ml.backends import Answer, Backend, Heard, Options, Source, Talker, Turn

LEAST = 2
SURE = 0.9  # what it gives its own answer; the rest is shared evenly


class Salt(Options):
    salt: str = Field(default="", max_length=100, description="Tells two null models apart.")


OPTIONS = Salt
BLIND = "It answers by chance: nobody is measured against it."


class NullBackend:
    """Always the same of an input, and of no use: nobody is measured against it."""

    blind = True
    remarks = (BLIND,)

    def __init__(self, labels: Sequence[str], salt: str = "", *, several: bool = False) -> None:
        self.labels = tuple(labels)
        self._salt = salt
        self._several = several

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        return [self._answer(one.key) for one in inputs]

    def _answer(self, key: str) -> Answer:
        number = hash_of(self._salt + key)
        chosen = self.labels[number % len(self.labels)]
        if self._several:  # a bit each
            shares = (
                SURE if number >> place & 1 else 1 - SURE for place in range(len(self.labels))
            )
            return Answer(chosen, dict(zip(self.labels, shares, strict=True)))
        rest = round((1 - SURE) / max(len(self.labels) - 1, 1), 6)
        return Answer(chosen, {name: SURE if name == chosen else rest for name in self.labels})


class Guessing:
    """The same where answers are free: one of those that the kind finds in the input."""

    labels = ()
    blind = True
    remarks = (BLIND,)

    def __init__(self, kind: Kind, salt: str = "") -> None:
        self._kind, self._salt = kind, salt

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        return [self._answer(one) for one in inputs]

    def _answer(self, one: Prepared) -> Answer:
        assert self._kind.guesses is not None
        guesses = self._kind.guesses(one.features)
        return Answer(guesses[hash_of(self._salt + one.key) % len(guesses)])


class Echo:
    """It says back what it is told: a task of chats before it has a model."""

    labels = ()
    at_once = 1
    remarks = ("It says back what it is told: nobody is measured against it.",)

    def turn(self, messages: Sequence[Mapping[str, str]]) -> Turn:
        said = f"You said: {messages[-1]['content']}"[:MAX_TEXT]
        return Turn(said, "stop", sum(len(one["content"].split()) for one in messages))

    async def aloud(self, messages: Sequence[Mapping[str, str]], heard: Heard) -> Turn:
        turn = self.turn(messages)
        for piece in re.findall(r"\S+\s*", turn.content):
            heard(piece)
        return turn


def hash_of(text: str) -> int:
    """A number that follows from the text, in every process the same."""
    return int.from_bytes(sha256(text.encode()).digest()[:8])


def load(source: Source) -> Backend | Talker:
    """The registration has the labels, or the kind of input where answers are free, and, where two
    such models are to differ, a `salt`."""
    labels, name = source.config.get("labels", ()), source.config.get("kind")
    if name and kind_named(name).talks:
        return Echo()
    if not labels and name and kind_named(name).guesses:
        return Guessing(kind_named(name), str(source.config.get("salt", "")))
    if len(labels) < LEAST:
        raise ArtifactError("The null model needs two labels or more to choose from.")
    several = bool(source.config.get("several"))
    return NullBackend(labels, str(source.config.get("salt", "")), several=several)
