"""What is to be made, and what was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from annotate.models import Task
from releases.changes import Prints
from releases.folders import files_below
from releases.models import Release
from releases.personal import Found

ABOUT: Final = "release.json"
LOG: Final = "log.jsonl"
REPLAY: Final = "replay.jsonl"

Progress = Callable[[float, str], object]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be made; `words` are the owner's."""

    task: Task
    version: str
    uid: str
    licence: str = ""
    description: str = ""
    citation: str = ""
    waiting: bool = True
    replay: bool = True
    models: bool = True
    """Whether the files of the models in the loop go with it."""
    cleared: Mapping[int, str] = field(default_factory=dict)
    """By the examples' keys, the digest of what looks personal and may go out all the same."""
    url: str = ""
    previous: Release | None = None
    then: Prints | None = None
    """What the previous version holds."""
    chain: list[list[Any]] = field(default_factory=list)
    """The points of its chain of events."""
    only_then: bool = False
    """Release nothing that the previous version does not hold: it is corrected."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """What was made."""

    about: dict[str, Any]
    ledger: dict[str, Any]
    prints: Prints
    undecided: Mapping[int, Sequence[Found]]
    """What looks personal and was left out of a correction, which waits for no decision."""

    @property
    def frozen_at(self) -> datetime:
        return datetime.fromisoformat(self.about["frozen_at"])


def bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in files_below(folder).values())


def shortened(about: Mapping[str, Any]) -> dict[str, Any]:
    """What the database keeps of release.json: without the parts that grow with people."""
    figures = {name: value for name, value in about["figures"].items() if name != "board"}
    return {**about, "figures": figures, "splits": {}, "configs": {}}
