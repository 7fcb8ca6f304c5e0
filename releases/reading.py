"""Reads the log of a release back; no Django."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from core.strict_json import NotJson, loads

Line = dict[str, Any]


class Difference(Exception):
    """The first thing that is not what the release says; the message names it."""


def read_log(path: Path) -> tuple[dict[str, Line], dict[str, list[Line]]]:
    examples: dict[str, Line] = {}
    votes: dict[str, list[Line]] = defaultdict(list)
    with path.open("rb") as lines:
        for number, text in enumerate(lines, start=1):
            try:
                line = loads(text)
            except NotJson as error:
                raise Difference(f"{path.name}:{number}: {error}") from None
            if line["kind"] == "example":
                if line["id"] in examples:
                    raise Difference(f"{path.name}:{number}: {line['id']} is there twice.")
                examples[line["id"]] = line
            else:
                votes[line["example"]].append(line)
    if strays := votes.keys() - examples.keys():
        raise Difference(f"{path.name}: votes on {min(strays)}, which is no example of it.")
    return examples, votes
