"""Inputs changed so that their answer stays, to see whether a model's does; one file a suite, found
by its name.

A suite has `OF` (the type of what it changes: an array, or a text), `ABOUT` (what unchanged answers
are a sign of), `CHANGES`, and `LEGIBLE` where it can look at a copy itself, for whether a reader
still finds in it what the input says: else the copy is asked of no model. What comes of an input
hangs on the input, the change and SEED alone, whichever others are asked beside it. Nobody judged
the copies: what they show is automatic, and is never counted with what people did. Imports no
Django.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Final

import numpy as np
from numpy.random import Generator

from kinds import Prepared

NAMES: Final = tuple(sorted(found.name for found in iter_modules(__path__)))
SEED: Final = 14


@dataclass(frozen=True, slots=True)
class Change:
    """One way to change an input; None where there is nothing in it to change."""

    name: str
    parameters: Mapping[str, Any]
    apply: Callable[[Any, Generator], Any]


@dataclass(frozen=True, slots=True)
class Legible:
    """How much of an input is found again in a copy, 0 to 1, and how much must be."""

    least: float
    share: Callable[[Any, Any], float]


@dataclass(frozen=True, slots=True)
class Suite:
    name: str
    about: str
    of: type
    changes: Sequence[Change]
    legible: Legible | None = None

    @property
    def recorded(self) -> dict[str, Any]:
        """All that decides what it makes of an input."""
        changes = {change.name: dict(change.parameters) for change in self.changes}
        told: dict[str, Any] = {"suite": self.name, "seed": SEED, "changes": changes}
        return told | ({"legible": self.legible.least} if self.legible else {})

    def copies(self, one: Prepared, field: str = "") -> Iterator[tuple[str, Prepared]]:
        """The changed inputs, each with its change's name; `field` names the text to change."""
        own = one.features[field] if field else one.features
        for change in self.changes:
            told = f"{SEED} {self.name} {change.name} {content_of(own)}"
            digest = hashlib.sha256(told.encode()).hexdigest()
            made = change.apply(own, np.random.default_rng(int(digest[:16], 16)))
            if made is None or np.array_equal(made, own):
                continue
            if self.legible and self.legible.share(own, made) < self.legible.least:
                continue
            features = {**one.features, field: made} if field else made.astype(np.float32)
            yield change.name, Prepared(digest, features)


@cache
def suite_named(name: str) -> Suite:
    module = import_module(f"ml.stress.{name}")
    legible = getattr(module, "LEGIBLE", None)
    return Suite(name, module.ABOUT, module.OF, module.CHANGES, legible)


def suites_for(own: object) -> list[Suite]:
    """Those that can change such features, or such a text."""
    return [suite for suite in map(suite_named, NAMES) if isinstance(own, suite.of)]


def content_of(own: Any) -> str:
    """What names it; the key of an input is no name, for some have none."""
    data = own.encode() if isinstance(own, str) else np.ascontiguousarray(own).tobytes()
    return hashlib.sha256(data).hexdigest()
