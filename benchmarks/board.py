"""How far 5 % colluding validators move a rank: `python -m benchmarks.board`.

ANLI's 68,557 published votes on 29,803 examples, claimed by 50 authors of differing skill: a claim
is what the verifiers found as often as its author is skilled, else another label, which the same
votes then reject. Each claim stands for three submissions, as in ANLI (MER .30). With `--few` there
are 1,000 of the examples: there one fooling more or less is several places. The data (CC BY-NC 4.0,
not part of the project) are read from ../shared/data/anli.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter

import numpy as np

from benchmarks.anli import FOLDER
from kinds.likeness import Ruling
from scoring.board_attacks import Claim, Facts, audit
from validate.policies import Ballot, TwoPlusOne

AUTHORS, VALIDATORS, SUBMISSIONS = 50, 40, 3
LABELS = ["e", "n", "c"]


def facts(seed: int, most: int | None) -> Facts:
    rng = np.random.default_rng(seed)
    with (FOLDER / "verifier_labels_R1-3.jsonl").open() as lines:
        votes = [json.loads(line)["verifier labels"] for line in lines]
    skill = rng.beta(4, 4, AUTHORS)
    claims = []
    for place in rng.permutation(len(votes))[:most].tolist():
        said, author = votes[place], int(rng.integers(AUTHORS))
        ((found, _),) = Counter(said).most_common(1)
        others = [label for label in LABELS if label != found]
        label = found if rng.random() < skill[author] else others[int(rng.integers(2))]
        people = rng.permutation(VALIDATORS).tolist()
        ballots = tuple(Ballot(one, vote) for one, vote in zip(people, said, strict=False))
        claims.append(Claim(author, label, ballots))
    sent = Counter(claim.author for claim in claims)
    submitted = {author: SUBMISSIONS * count for author, count in sent.items()}
    rule = TwoPlusOne()
    # The votes come without texts: the rule on copies is not played here but in the command.
    return Facts(
        submitted, claims, rule, LABELS, VALIDATORS, rule.cap + 1, 0.2, 20, lambda _: [Ruling.COPY]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    print("| world | attack | places, mean | at most | without rules, mean | at most |")
    print("|---|---|---|---|---|---|")
    for seed in range(3):
        for one in audit(facts(seed, 1_000 if asked.few else None), runs=asked.runs, seed=seed):
            print(
                f"| {seed} | {one.attack} | {one.mean:.1f} | {one.most} "
                f"| {one.mean_without:.1f} | {one.most_without} |"
            )


if __name__ == "__main__":
    main()
