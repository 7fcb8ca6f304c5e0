"""A release in numbers, counted line by line; who verifies it counts the same. No Django.

What validators said is counted before anybody adjudicated; verdicts are counted as they stand.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from annotate.config import TaskFile
from core.strict_json import dumps
from kinds.answers import in_order
from releases.folders import FORMAT
from releases.people import SPLITS
from scoring.pair_agreement import Agreement, agreement
from scoring.statistics import Interval, clustered, wilson
from validate.policies import JUDGE

COUNTS: Final = "counts"
SURPLUS: Final = "surplus"
DROPPED: Final = "dropped"
LIVE: Final = "live"
ALONE: Final = "alone"
LOG: Final = "log"
ARMS: Final = (LIVE, ALONE, LOG)
STATUSES: Final = ("open", "verified", "rejected", "relabelled", "ambiguous", "flagged")
LABELS_SHOWN: Final = 50

Json = Any
Line = Mapping[str, Json]


@dataclass
class _Round:
    examples: int = 0
    fooled: int = 0
    adjudicated: int = 0
    votes: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    claims: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    authors: defaultdict[str, list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0, 0])
    )
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    arms: Counter[str] = field(default_factory=Counter)
    configs: Counter[int] = field(default_factory=Counter)
    met: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Of each model: how many it answered, fooled it, and were verified then."""
    confirming: int = 0
    labelling: int = 0
    first: str = ""
    last: str = ""


class Figures:
    """Counts what is added; `as_json` says what it came to. `files`: the task's by version."""

    def __init__(self, files: Mapping[int, TaskFile], of_format: int = FORMAT) -> None:
        self._files, self._format = files, of_format
        self._rounds: defaultdict[int, _Round] = defaultdict(_Round)
        self._validators: Counter[str] = Counter()
        self._labels: Counter[str] = Counter()
        self._effects: Counter[str] = Counter()
        self._flags: Counter[str] = Counter()
        self._by_judges = 0
        self._writing, self._judging = array("f"), array("f")

    def add(self, line: Line, votes: Sequence[Line], split: str) -> None:
        """Count an example with the votes on it."""
        part = self._rounds[line["round"]]
        claimed, status = line["fooled"], line["status"]
        part.examples += 1
        part.fooled += claimed
        part.adjudicated += line["adjudicated"]
        part.statuses[status] += 1
        part.models[line["model"]] += 1
        counts = part.authors[line["author"]]
        counts[0] += 1
        if claimed:
            counts[1] += 1
            part.claims[status] += 1
            counts[2] += status == "verified"
        made = line["created_at"]
        part.first = min(part.first or made, made)
        part.last = max(part.last, made)
        part.splits[split] += 1
        self._labels[_key(line["label"])] += 1
        part.configs[line["config"]] += 1
        part.arms[line["arm"]] += 1
        for target in line.get("targets") or (line,):  # of one alone its own line
            met = part.met[target["model"]]
            met["answered"] += 1
            if target["fooled"]:
                met["fooled"] += 1
                met["verified"] += status == "verified"
        if line["seconds"] is not None:
            self._writing.append(line["seconds"])
        self._add_votes(part, line, votes)

    def _add_votes(self, part: _Round, line: Line, votes: Sequence[Line]) -> None:
        part.votes += len(votes)
        said = []
        for vote in votes:
            self._effects[vote["effect"]] += 1
            if vote["validator"].startswith(JUDGE):  # no person's, and none of their agreement
                self._by_judges += 1
                continue
            self._validators[vote["validator"]] += 1
            if vote["seconds"] is not None:
                self._judging.append(vote["seconds"])
            if flag := vote.get("flag"):
                self._flags[flag] += 1
            elif vote["effect"] == COUNTS:
                said.append(vote["label"])
        part.labelling += len(said)
        wrong = line["prediction"] if line["fooled"] else None
        said = self._files[line["config"]].read_in_turn(said, line["label"], wrong)
        own = in_order(line["label"])
        part.confirming += sum(label == own for label in said)
        if len(said) > 1:
            part.pairs[_key(said[0]), _key(said[1])] += 1

    def as_json(self) -> dict[str, Json]:
        """Everything that was counted; a few milliseconds a round."""
        rounds = [(number, self._rounds[number]) for number in sorted(self._rounds)]
        parts = [part for _, part in rounds]
        pairs = sum((part.pairs for part in parts), Counter[tuple[str, str]]())
        authors: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for part in parts:
            for name, counts in part.authors.items():
                authors[name] = [a + b for a, b in zip(authors[name], counts, strict=True)]
        statuses = sum((part.statuses for part in parts), Counter[str]())
        configs = sum((part.configs for part in parts), Counter[int]())
        arms = sum((part.arms for part in parts), Counter[str]())
        return {
            "examples": sum(part.examples for part in parts),
            "fooled": sum(part.fooled for part in parts),
            "votes": sum(part.votes for part in parts),
            "authors": len(authors),
            "validators": len(self._validators),
            **({"votes_by_judges": self._by_judges} if self._by_judges else {}),
            "adjudicated": sum(part.adjudicated for part in parts),
            "statuses": {status: statuses[status] for status in STATUSES},
            "splits": _splits(sum((part.splits for part in parts), Counter[str]())),
            "labels": dict(self._labels.most_common(LABELS_SHOWN)),
            "vote_effects": {name: self._effects[name] for name in (COUNTS, SURPLUS, DROPPED)},
            "flags": dict(sorted(self._flags.items())),
            "configs": _configs(configs),
            "arms": {arm: arms[arm] for arm in ARMS},
            "agreement": _alpha(pairs),
            "prevalence": _rate(
                sum(part.confirming for part in parts), sum(part.labelling for part in parts)
            ),
            "seconds_an_example": _median(self._writing),
            "seconds_a_vote": _median(self._judging),
            "rounds": [_round(number, part, self._format) for number, part in rounds],
            "board": _board(authors),
        }


def _key(label: Json) -> str:
    """A label by which equal ones are counted together; a list is a set to people."""
    if isinstance(label, str):
        return label
    return dumps(sorted(set(map(str, label))) if isinstance(label, list) else label)


def _round(number: int, part: _Round, of_format: int) -> dict[str, Json]:
    board = [counts for _, counts in sorted(part.authors.items())]
    tried = [counts[0] for counts in board]
    return {
        "round": number,
        "models": dict(sorted(part.models.items())),
        "first": part.first,
        "last": part.last,
        "authors": len(part.authors),
        "examples": part.examples,
        "splits": _splits(part.splits),
        "fooled": part.fooled,
        "votes": part.votes,
        "adjudicated": part.adjudicated,
        "statuses": {status: part.statuses[status] for status in STATUSES},
        "claims": {status: part.claims[status] for status in STATUSES},
        "mer": _clustered([counts[1] for counts in board], tried),
        "vmer": _clustered([counts[2] for counts in board], tried),
        "agreement": _alpha(part.pairs),
        "prevalence": _rate(part.confirming, part.labelling),
        **({} if of_format < 4 else _ways(part)),
    }


def _ways(part: _Round) -> dict[str, Json]:
    """How a round's examples came to be, and what each model met."""
    each = {
        name: {what: met[what] for what in ("answered", "fooled", "verified")}
        for name, met in sorted(part.met.items())
    }
    return {
        "configs": _configs(part.configs),
        "arms": {arm: part.arms[arm] for arm in ARMS},
        "met": each,
    }


def _configs(counts: Counter[int]) -> dict[str, int]:
    return {str(version): n for version, n in sorted(counts.items())}


def _splits(counts: Counter[str]) -> dict[str, int]:
    return {split: counts[split] for split in SPLITS}


def _board(authors: Mapping[str, Sequence[int]]) -> list[dict[str, Json]]:
    """Everybody by the lower end of their verified error rate, as boards of the server do."""
    rows = [
        {
            "author": name,
            "examples": examples,
            "fooled": fooled,
            "verified": verified,
            "vmer": _rate(verified, examples),
        }
        for name, (examples, fooled, verified) in authors.items()
    ]
    return sorted(rows, key=lambda row: (-row["vmer"]["low"], row["author"]))


def _rate(count: int, of: int) -> dict[str, Json]:
    return {"count": count, "of": of, **_bounds(wilson(count, of))}


def _clustered(successes: Sequence[int], trials: Sequence[int]) -> dict[str, Json]:
    """The same, as wide as authors differ: examples of one person resemble each other."""
    bounds = _bounds(clustered(successes, trials))
    return {"count": sum(successes), "of": sum(trials), **bounds}


def _bounds(interval: Interval) -> dict[str, float]:
    return {"low": round(interval.low, 6), "high": round(interval.high, 6)}


def _alpha(pairs: Mapping[tuple[str, str], int]) -> dict[str, Json]:
    """Of pairs in one order: it is resampled by their places."""
    found: Agreement = agreement(dict(sorted(pairs.items())))
    bounds = _bounds(found.interval) if found.interval else {"low": None, "high": None}
    alpha = None if found.alpha is None else round(found.alpha, 6)
    return {"pairs": found.pairs, "alpha": alpha, **bounds}


def _median(seconds: array[float]) -> float | None:
    if not seconds:
        return None
    both = [(len(seconds) - 1) // 2, len(seconds) // 2]  # without a copy of wider numbers
    middle = np.partition(np.frombuffer(seconds, np.float32), both)[both].astype(np.float64)
    return round(float(middle.mean()), 3)
