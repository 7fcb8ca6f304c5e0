"""What a judge would save on real votes: `python -m benchmarks.judges [--share .2]`.

Each judge is put to the alternative-annotator test on the first half of a log, and votes in the
second: after the first person and never alone, within a share of an author's votes. Told are the
votes of people that an item takes then and without it, and how often the verdict is the one that
most of all people's votes give. Judges are, of Adversarial Nibbler's claims, each person who voted,
left out of the people; of ANLI's first round the eight models whose answers come with it, beside
verifiers by their places. CommonsenseQA 2.0 comes with no judge. All three are read from
../shared/data and are no part of the project.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.anli import log_lines
from scoring.alternative import alternative_test
from validate.policies import Ballot, Outcome, TwoPlusOne, decide

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass
class Claim:
    """An item with its author's label and people's votes in the order in which they came."""

    author: str
    label: Any
    votes: list[tuple[str, Any]] = field(default_factory=list)


Claims = dict[str, Claim]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=0.2, help="of an author's votes, at most")
    share = parser.parse_args().share
    for name, judges in logs():
        for judge, said, people in judges:
            print(json.dumps({"log": name, "judge": judge, **saved(people, said, share)}))


def logs() -> Iterator[tuple[str, list[tuple[str, dict[str, Any], Claims]]]]:
    claims = read(json.loads(line) for line in (FOLDER / "nibbler" / "r4.jsonl").open())
    counts = Counter(who for one in claims.values() for who, _ in one.votes)
    people = [who for who, n in counts.most_common() if n >= 200]
    yield "nibbler", [(who, *without(claims, who)) for who in people]
    claims = read(log_lines())
    with (FOLDER / "anli" / "r1_dev.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    models = [name for name in rows[0] if name.endswith("PredLabel")]
    answers = {name: {row["uid"]: row[name] for row in rows} for name in models}
    yield "anli", [(name, answers[name], claims) for name in models]


def read(lines: Any) -> Claims:
    claims: Claims = {}
    for line in lines:
        if line["kind"] == "example":
            claims[line["id"]] = Claim(line["author"], line["label"])
        elif "label" in line:
            claims[line["example"]].votes.append((line["validator"], line["label"]))
    return claims


def without(claims: Claims, who: str) -> tuple[dict[str, Any], Claims]:
    """What one of the people says, as if a judge did, and what is left of the others."""
    said = {key: dict(one.votes)[who] for key, one in claims.items() if who in dict(one.votes)}
    rest = {
        key: Claim(one.author, one.label, [vote for vote in one.votes if vote[0] != who])
        for key, one in claims.items()
    }
    return said, rest


def saved(claims: Claims, said: Mapping[str, Any], share: float) -> dict[str, Any]:
    keys = list(claims)
    first, second = keys[: len(keys) // 2], keys[len(keys) // 2 :]
    people: defaultdict[str, dict[Any, Any]] = defaultdict(dict)
    for key in first:
        for who, label in claims[key].votes:
            people[who][key] = label
    test = alternative_test(people, said)
    if test is None:
        return {"test": "too few votes"}
    alone = replay(claims, second, {}, share)
    beside = replay(claims, second, said if test.passed else {}, share)
    return {
        "winning_rate": test.winning_rate,
        "advantage": round(test.advantage, 3),
        "admitted": test.passed,
        "items": alone["items"],
        "votes": [alone["votes"], beside["votes"]],
        "saved": round(1 - beside["votes"] / alone["votes"], 3),
        "right": [alone["right"], beside["right"]],
        "judged": beside["judged"],
    }


def replay(
    claims: Claims, keys: Sequence[str], said: Mapping[str, Any], share: float
) -> dict[str, Any]:
    """Votes of people until each item is decided, an item's on average, and who is right then."""
    of_author: Counter[str] = Counter()
    of_judge: Counter[str] = Counter()
    items = votes = right = 0
    for key in keys:
        claim = claims[key]
        ballots: list[Ballot] = []
        asked, judged = 0, False
        for who, label in claim.votes:
            ballots.append(Ballot(who, label))
            asked += 1
            of_author[claim.author] += 1
            decision = decide(ballots, TwoPlusOne(), author_label=claim.label, labels=None)
            if decision.outcome is not Outcome.PENDING:
                break
            within = of_judge[claim.author] + 1 <= share * (of_author[claim.author] + 1)
            if not judged and key in said and within:
                judged = True
                ballots.append(Ballot("the judge", said[key]))
                of_author[claim.author] += 1
                of_judge[claim.author] += 1
                decision = decide(ballots, TwoPlusOne(), author_label=claim.label, labels=None)
                if decision.outcome is not Outcome.PENDING:
                    break
        else:
            continue
        most, _ = Counter(label for _, label in claim.votes).most_common(1)[0]
        items += 1
        votes += asked
        right += (decision.outcome is Outcome.VERIFIED) == (most == claim.label)
    return {
        "items": items,
        "votes": round(votes / items, 3),
        "right": round(right / items, 3),
        "judged": sum(of_judge.values()),
    }


if __name__ == "__main__":
    main()
