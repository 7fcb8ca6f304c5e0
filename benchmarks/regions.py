"""What real misreads say of others: `python -m benchmarks.regions --mnist DIR [--seeds 3]`.

The misreads of one half of MNIST stand for verified foolings of the shipped digits model. Told are
how often what lies near them in the other half is misread, the regions they make and whether these
are the same from another seed, and what learning from them does to the other half, beside learning
from as many random images of the first half.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.digits_base import evaluate, model
from kinds import Prepared
from ml import artifacts
from ml.backends import Source
from ml.learners import learner_named, read_base
from ml.learners.digits import DIGITS, _images
from ml.learners.digits.data import Images, load_idx
from ml.learners.digits.net import read_weights
from ml.learners.digits.training import fine_tune
from ml.regions import alike, nearest, numbered, regions_of
from ml.regions.spaces import space_of
from scoring.statistics import wilson

SHIPPED = Path(__file__).resolve().parent.parent / "dadc_server" / "library" / "digits"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", required=True, help="folder with MNIST's IDX files")
    parser.add_argument("--seeds", type=int, default=3, help="ways of halving it")
    given = parser.parse_args()
    torch.set_num_threads(1)
    made = json.loads((SHIPPED / "model.json").read_text())
    file = SHIPPED / made["artifact"]
    net = read_weights(artifacts.load(file, made["sha256"]))
    base = read_base(learner_named("digits"), made["config"]["base"], SHIPPED)
    clean = _images(base.train, DIGITS)
    mnist = load_idx(given.mnist)
    inputs = [Prepared("", x) for x in mnist.x]
    vectors = space_of(Source(file, made["sha256"], {}), inputs, [None] * len(inputs)).vectors
    said = model(net).probabilities(mnist.x).argmax(axis=1)
    for seed in range(given.seeds):
        halves = np.random.default_rng(seed).permutation(len(mnist)).reshape(2, -1)
        report = near(*halves, mnist, said, vectors, seed)
        print(
            json.dumps(
                report | learning(net, clean, _images(base.held_out), *halves, mnist, said, seed)
            )
        )


def near(
    first: Any, second: Any, mnist: Images, said: Any, vectors: Any, seed: int
) -> dict[str, Any]:
    """Regions of the first half's misreads, and how often their neighbours in the second are."""
    wrong = said != mnist.y
    foolings = first[wrong[first]]
    pairs = [(int(mnist.y[row]), int(said[row])) for row in foolings]
    began = time.process_time()
    found, other = (regions_of(pairs, vectors[foolings], seed=seed + more) for more in (0, 1))
    seconds = (time.process_time() - began) / 2
    rows = np.concatenate([foolings, second])
    authors = ["first"] * len(foolings) + ["second"] * len(second)

    def errs(members: Sequence[int]) -> tuple[int, int]:
        beside = rows[nearest(list(members), vectors[rows], authors)]
        return int(wrong[beside].sum()), len(beside)

    errors, of = errs(range(len(foolings)))
    rest = (wrong[second].sum() - errors) / (len(second) - of)
    base = wrong[second].mean()
    largest = {}
    for region in found[:6]:
        label, answer = pairs[region[0]]
        count, some = errs(region)
        largest[f"{label} as {answer}, {len(region)}"] = round(count / some, 2)
    return {
        "misreads": len(foolings),
        "base": round(base, 4),
        "near": round(errors / of, 4),
        "of": of,
        "interval": [round(end, 3) for end in wilson(errors, of)],
        "times": round(errors / of / base, 2),
        "the rest": round(float(rest), 4),
        "regions": len(found),
        "in them": sum(map(len, found)),
        "next seed": round(alike(*(numbered(one, len(foolings)) for one in (found, other))), 3),
        "cpu seconds": round(seconds, 1),
        "near the largest": largest,
    }


def learning(
    net: Any, clean: Images, held_out: Images, first: Any, second: Any, mnist: Images, said: Any,
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Errors on the second half, and on clean held-out digits, after each way of learning."""
    foolings = first[said[first] != mnist.y[first]]
    chosen = {"random": np.random.default_rng(seed).choice(first, len(foolings), replace=False)}
    told: dict[str, Any] = {"before": _errors(net, mnist.take(second), held_out)}
    for name, rows in {"misreads": foolings, **chosen}.items():
        for how, blend in (("half the way", 0.5), ("all the way", 1.0)):
            tuned, _ = fine_tune(net, clean, mnist.take(rows), seed=seed, blend=blend)
            told[f"{name}, {how}"] = _errors(tuned, mnist.take(second), held_out)
    return told


def _errors(net: Any, other: Images, clean: Images) -> list[float]:
    return [round(100 * (1 - evaluate(net, one)["accuracy"]), 2) for one in (other, clean)]


if __name__ == "__main__":
    main()
