"""Ways of asking a model, behind one protocol; one file a backend, found by its name.

A file has `load(source) -> Backend`, which raises ml.artifacts.ArtifactError when the model cannot
be used. What else it may have is told by `Way`. Nothing heavy is imported before a model needs it.
Imports no Django.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from math import isfinite
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from kinds import Prepared
from ml.artifacts import ArtifactError

LIKELY: Final = 0.5
SUM_TOLERANCE: Final = 1e-4
NAMES: Final = tuple(sorted(found.name for found in iter_modules(__path__)))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says: a label as JSON, and a probability for every label where it gives them."""

    label: Any
    probabilities: dict[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What a model said, why it stopped (`stop`, `length`, …) and its cost, where that is told."""

    content: str
    finish_reason: str | None
    tokens: int | None


Heard = Callable[[str], None]
"""Gets what a model says piece by piece, on the event loop that asks it."""


class Failed(Exception):
    """The model did not answer this input, in a sentence; another one may well be answered."""


class Down(Failed):
    """The model answers nobody at the moment."""


class Talker(Protocol):
    """A model that talks, from any thread; it may have what a backend may have."""

    def turn(self, messages: Sequence[Mapping[str, str]]) -> Turn:
        """Its next turn after these (`role`, `content`), of which the last is a person's.

        Raises Failed, Down, or ml.batcher.Busy.
        """

    async def aloud(self, messages: Sequence[Mapping[str, str]], heard: Heard) -> Turn:
        """The same on an event loop, which waits for nothing else; `heard` gets it as it comes."""


class Backend(Protocol):
    """A model that is ready to answer, from any thread and from several at once.

    It may have `at_once`, the most inputs of one call (64), `lanes`, how many calls may be under
    way (1), `remote`, when asking costs somebody something (then `seconds`, how long an answer may
    take, and `tokens`, how many the last one took), `blind`, when it may know nothing of the
    probes, `remarks`, sentences for its page, and `why`, a method of an input and a label: what of
    the one spoke for the other (ml.why).
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """What it can answer, by name; empty where answers are free."""

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        """One answer an input, in order.

        What an input is answered does not depend on its company by more than 1e-6. Raises
        ValueError for features of another shape or type than it was made for, Failed or Down where
        somebody else's server is asked.
        """


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from: its file, where it has one, and what its registration says."""

    path: Path | None
    sha256: str
    config: Mapping[str, Any]

    @property
    def file(self) -> Path:
        """The file, for backends that need one."""
        if self.path is None:
            raise ArtifactError("This model needs its file.")
        return self.path


class Options(BaseModel):
    """What a model file may say to one backend; a key that it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Way:
    """What a backend's file says of itself before any model is opened."""

    options: type[Options]
    """`OPTIONS`: what a model file may say to it beside what all may."""
    suffixes: tuple[str, ...]
    """`SUFFIXES`: of the files that it takes; empty where it has none."""
    sent: str
    """`SENT`: of these the one that may be sent from afar, for nothing in it is run; or ""."""
    file_optional: bool
    """`FILE_OPTIONAL`: whether it can do without its file."""
    names_labels: bool
    """`NAMES_LABELS`: whether its models know their labels by name."""
    pack: Callable[[Path], bytes] | None
    """`pack`: how a folder, where it takes one, becomes a file of the first of its suffixes."""
    received: Callable[[bytes], bytes] | None
    """`received`: the same of what was sent from afar, where that travels otherwise."""
    fetch: Callable[[Any], Path | None] | None
    """`fetch`: the folder that its options name elsewhere, where they do."""
    talking: Mapping[str, Any]
    """`TALKING`: options of one that talks, where its file does not say otherwise."""


def way_named(backend: str) -> Way:
    """ArtifactError where there is no such backend."""
    module = _module(backend)
    return Way(
        options=getattr(module, "OPTIONS", Options),
        suffixes=getattr(module, "SUFFIXES", ()),
        sent=getattr(module, "SENT", ""),
        file_optional=getattr(module, "FILE_OPTIONAL", False),
        names_labels=getattr(module, "NAMES_LABELS", False),
        pack=getattr(module, "pack", None),
        received=getattr(module, "received", None),
        fetch=getattr(module, "fetch", None),
        talking=getattr(module, "TALKING", {}),
    )


def _module(backend: str) -> Any:
    if backend not in NAMES:
        raise ArtifactError(f"There is no backend {backend!r}: they are {', '.join(NAMES)}.")
    return import_module(f"ml.backends.{backend}")


def source_of(made: Mapping[str, Any], folder: Path) -> Source:
    """Of what a version's registration says, with the folder in which its file lies."""
    path = folder / made["artifact"] if made.get("artifact") else None
    return Source(path, made["sha256"], made["config"])


def open_model(backend: str, source: Source) -> Sound:
    """The model of a version, its file checked, warmed up; ArtifactError says why not.

    One that talks instead of answering comes as it is: people judge what it says.
    """
    loaded: Any = _module(backend).load(source)
    if not hasattr(loaded, "answer"):
        talker: Sound = loaded
        return talker
    names = source.config.get("names")
    named = Renamed(loaded, names) if names else loaded
    return Sound(Several(named) if source.config.get("several") else named)


class Wrapped:
    """A backend whose answers are told otherwise; all else of it is as it was."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class Renamed(Wrapped):
    """A backend whose labels are called otherwise in the task."""

    def __init__(self, backend: Backend, names: Mapping[str, str]) -> None:
        super().__init__(backend)
        self._names = names
        self.labels = tuple(names.get(label, label) for label in backend.labels)

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        return [
            Answer(
                self._names.get(one.label, one.label) if isinstance(one.label, str) else one.label,
                one.probabilities
                and {self._names.get(name, name): p for name, p in one.probabilities.items()},
            )
            for one in self._backend.answer(inputs)
        ]

    @property
    def why(self) -> Callable[[Prepared, str], Any]:
        """As the backend's; AttributeError where that cannot tell."""
        told = self._backend.why  # type: ignore[attr-defined]
        own = {here: name for name, here in self._names.items()}

        def why(one: Prepared, label: str) -> Any:
            found = told(one, own.get(label, label))
            other = self._names.get(found.rather_than, found.rather_than)
            return replace(found, label=label, rather_than=other)

        return why


class Several(Wrapped):
    """A backend that gives each label a probability of its own: it answers with the likely ones."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.labels = backend.labels

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        found = self._backend.answer(inputs)
        if any(one.probabilities is None for one in found):
            raise Failed("The model must give every label a probability: export it with them.")
        return [Answer(self._likely(one.probabilities or {}), one.probabilities) for one in found]

    def _likely(self, shares: Mapping[str, float]) -> list[str]:
        return [label for label in self.labels if shares.get(label, 0) >= LIKELY]


class Sound(Wrapped):
    """A backend of which only answers come out: what is none is Failed, and fools nobody.

    Every model is opened behind this one, whatever answers it: a graph may give NaN for one input
    in a million, and somebody else's server anything.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.labels = backend.labels
        self._known = frozenset(backend.labels)

    @property
    def itself(self) -> Backend:
        """The backend behind it."""
        return self._backend

    def answer(self, inputs: Sequence[Prepared], /) -> list[Answer]:
        found = self._backend.answer(inputs)
        if len(found) != len(inputs):
            raise Failed(f"The model gave {len(found)} answers to {len(inputs)} inputs.")
        for one in found:
            if fault := fault_of(one, self._known):
                raise Failed(fault)
        return found


def fault_of(answer: Answer, labels: frozenset[str]) -> str:
    """Why this is no answer of a model with these labels, with what to do; "" when it is one."""
    said, shares = answer.label, answer.probabilities
    several = isinstance(said, list)
    if not labels:
        words = said.get("text") if isinstance(said, dict) else said
        return "" if words else "The model answered nothing."
    if not isinstance(said, list | str) or not labels.issuperset(said if several else (said,)):
        return f"The model answered {str(said)[:60]!r}, which is none of its labels."
    if shares is None:
        return ""
    if shares.keys() != labels:
        return "The model must give every label a probability: export it with them."
    total, low, high = sum(shares.values()), min(shares.values()), max(shares.values())
    if not (isfinite(total) and low >= 0 and high <= 1):
        return "A probability of the model is not between 0 and 1: export it with them."
    # Each is rounded to six digits.
    if not several and abs(total - 1) > SUM_TOLERANCE + 1e-6 * len(labels):
        return "The model's probabilities do not sum to 1: export it with a softmax."
    if isinstance(said, str) and shares[said] < high:
        return f"The model answered {said!r}, which is not what it holds likeliest."
    return ""


def answers_of(labels: Sequence[str], table: NDArray[np.float32]) -> list[Answer]:
    """Each row of probabilities as an answer, rounded to six digits.

    Rounded together, which takes an eighth of the time: to the same digits as `round`. The product
    of a float32 and a million is exact in 64 bits, and so is its half way.
    """
    rounded = np.rint(table.astype(np.float64) * 1e6) / 1e6
    best = table.argmax(axis=1).tolist()
    return [
        Answer(labels[index], dict(zip(labels, probabilities, strict=True)))
        for index, probabilities in zip(best, rounded.tolist(), strict=True)
    ]
