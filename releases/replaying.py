"""Ask the models that come with a release again: is each published fooling one still?

From the release's files alone. A model that answers one input in two ways is asked several times,
and what it does then is a share with its interval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json as loads

from annotate.config import TaskFile
from core.errors import Refused
from kinds import Kind, Prepared, kind_named
from kinds.answers import same_answer
from kinds.comparators import AskAnnotator
from ml.artifacts import ArtifactError
from ml.backends import Backend, Failed, Source, open_model
from releases.folders import as_lines
from releases.orders import LOG
from scoring.statistics import wilson

FOOLED: Final = b'"fooled":true'
EXAMPLE: Final = b'{"kind":"example",'  # votes stand in most lines
BATCH: Final = 256
FIRST_LOOK: Final = 50  # inputs that are asked twice, to see whether answers vary
TIMES: Final = 5

Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What one model did with its published foolings; without `times` it could not be asked."""

    model: str
    foolings: int
    why_not: str = ""
    times: int = 0
    fooled: int = 0
    always: int = 0
    varies: bool = False

    def as_json(self) -> dict[str, Any]:
        asked = self.foolings * self.times
        return {
            "model": self.model,
            "foolings": self.foolings,
            "times": self.times,
            "fooled": self.fooled,
            "asked": asked,
            **bounds(self.fooled, asked),
            "every_time": self.always,
            "varies": self.varies,
            "why_not": self.why_not,
        }


def bounds(fooled: int, asked: int) -> dict[str, float]:
    low, high = wilson(fooled, asked)
    return {"low": round(low, 6), "high": round(high, 6)}


def replay_into(folder: Path, about: Line, file: Path, times: int = TIMES) -> list[Line]:
    """Ask anew, with a line an example into a new file: how often, of how many times, and when."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    with file.open("xb") as lines:
        asked = replay(
            folder, about, times, lambda line: lines.write(as_lines([line | {"at": at}]))
        )
        found = [one.as_json() for one in asked]
    if not file.stat().st_size:
        file.unlink()
    return found


def replay(
    folder: Path, about: Line, times: int, tell: Callable[[Line], object]
) -> Iterator[Replayed]:
    """Each model that was in the loop, by what release.json says of it; `tell` gets a line an
    example: how often it was fooled."""
    kind = kind_named(about["kind"])
    configs = {
        int(version): TaskFile.model_validate(config)
        for version, config in about["configs"].items()
    }
    for name, number in sorted(_counted(folder, about).items()):
        try:
            if kind.talks:
                raise ArtifactError("A chat is not held again.")
            backend = _opened(about["models"].get(name, {}), folder)
        except ArtifactError as error:
            yield Replayed(model=name, foolings=number, why_not=str(error))
            continue
        mine = (line for line in _foolings(folder) if name in fooled_by(line))
        yield _Session(name, backend, kind, configs, tell).play(mine, times)


def _counted(folder: Path, about: Line) -> Counter[str]:
    """How many published foolings each model has; before format 4 the log alone tells."""
    if about.get("format", 0) < 4:
        return Counter(name for line in _foolings(folder) for name in fooled_by(line))
    met = [part["met"] for part in about["figures"]["rounds"]]
    return +sum((Counter({n: m["fooled"] for n, m in one.items()}) for one in met), Counter[str]())


def _foolings(folder: Path) -> Iterator[Line]:
    """Read anew for each model: a million lines fit on a disk and not in memory."""
    with (folder / LOG).open("rb") as lines:
        for text in lines:
            if text.startswith(EXAMPLE) and FOOLED in text and fooled_by(line := loads(text)):
                yield line


def fooled_by(line: Mapping[str, Any]) -> list[str]:
    """The models that an example fooled: where its round asks several, each by its own answer."""
    if targets := line.get("targets"):
        return [one["model"] for one in targets if one["fooled"]]
    return [line["model"]] if line.get("fooled") else []


def _opened(model: Line, folder: Path) -> Backend:
    if not model.get("backend"):
        raise ArtifactError("It is known from a log only.")
    if "config" not in model:
        raise ArtifactError("It answers elsewhere: register it, and ask it there.")
    if model.get("withheld"):
        raise ArtifactError(model["withheld"])
    path = folder / model["file"] if model.get("file") else None
    return open_model(model["backend"], Source(path, model["sha256"], model["config"]))


class _Session:
    """One model, asked about its foolings."""

    def __init__(
        self,
        name: str,
        backend: Backend,
        kind: Kind,
        configs: dict[int, TaskFile],
        tell: Callable[[Line], object],
    ) -> None:
        self._name, self._backend, self._kind = name, backend, kind
        self._configs, self._tell = configs, tell

    def play(self, foolings: Iterator[Line], times: int) -> Replayed:
        """Ask about each; where the model fails on the way, what it said until then counts."""
        asked = fooled = always = unread = 0
        varies, why_not = False, ""
        try:
            while some := list(islice(foolings, BATCH)):
                read = [(line, one) for line in some if (one := self._read(line)) is not None]
                unread += len(some) - len(read)
                inputs = [prepared for _, prepared in read]
                if not asked and inputs:
                    varies = self._varies(inputs[:FIRST_LOOK])
                    times = times if varies else 1
                answers = [self._answers(inputs) for _ in range(times)]
                for place, (line, _) in enumerate(read):
                    again = sum(self._is_fooled(line, said[place]) for said in answers)
                    fooled, always = fooled + again, always + (again == times)
                    told = {"id": line["id"], "model": self._name, "fooled": again, "times": times}
                    self._tell(told | bounds(again, times))
                asked += len(read)
        except Failed as error:
            why_not = str(error)
        return Replayed(
            model=self._name,
            foolings=asked,
            times=times if asked else 0,
            fooled=fooled,
            always=always,
            varies=varies,
            why_not=why_not or _unread(unread),
        )

    def _read(self, line: Line) -> Prepared | None:
        if isinstance(self._configs[line["config"]].comparator_rule, AskAnnotator):
            return None  # only its author can say
        try:
            return self._kind.parse(self._kind.about(line["input"], line.get("context")))
        except Refused:
            return None

    def _varies(self, inputs: Sequence[Prepared]) -> bool:
        """Whether the model samples at all: the same inputs are asked twice."""
        first, second = self._answers(inputs), self._answers(inputs)
        return not all(same_answer(one, other) for one, other in zip(first, second, strict=True))

    def _answers(self, inputs: Sequence[Prepared]) -> list[Any]:
        return [answer.label for answer in self._backend.answer(inputs)] if inputs else []

    def _is_fooled(self, line: Line, answer: Any) -> bool:
        return self._configs[line["config"]].comparator_rule.fooled(answer, line["label"])


def _unread(number: int) -> str:
    return f"{number:,} cannot be asked again." if number else ""
