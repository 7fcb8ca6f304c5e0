"""Generated regions of the shipped digits model: `python -m benchmarks.generated --mnist DIR`.

How many regions each seed gives and whether they are the same ones, beside a mixture and HDBSCAN in
the model's last layer; which survive two simulated honest validators (nets that were trained apart
on the halves of MNIST, which the generator never saw); and what learning from half of the inputs of
those does to the other half, to clean held-out digits and to MNIST. DIR has the IDX files.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch

from benchmarks.digits_base import evaluate, model
from benchmarks.regions import SHIPPED
from kinds import kind_named
from ml import artifacts
from ml.learners import learner_named, read_base
from ml.learners.digits import _images
from ml.learners.digits.data import Images, load_idx
from ml.learners.digits.net import read_weights
from ml.learners.digits.training import fine_tune, train_base
from ml.regions import alike
from ml.regions.generated import LEAST, Made, make_up, stability

ASKED = 4  # of each region, as training/generated.py


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generated", description=__doc__)
    parser.add_argument("--mnist", required=True, help="folder with MNIST's IDX files")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    made_of = json.loads((SHIPPED / "model.json").read_text())
    artifact = artifacts.load(SHIPPED / made_of["artifact"], made_of["sha256"])
    net = read_weights(artifact)
    base = read_base(learner_named("digits"), made_of["config"]["base"], SHIPPED)
    mnist = load_idx(given.mnist)
    print("| seed | inputs | regions | CPU s |\n|---|---|---|---|")
    each = []
    for seed in range(given.seeds):
        began = time.process_time()
        found = make_up(artifact, base, kind_named("image"), seed=seed)
        each.append(found)
        took = time.process_time() - began
        print(f"| {seed} | {len(found.labels)} | {len(found.regions())} | {took:.0f} |", flush=True)
    between(each, artifact)
    confirmed = judged(each[0], mnist)
    corrected(net, each[0], confirmed, _images(base.train), _images(base.held_out), mnist)


def between(each: Sequence[Made], artifact: Any) -> None:
    """Adjusted Rand index of each two seeds, for each way to group."""

    def laid_out(made: Made) -> Any:
        return learner_named("digits").vectors(artifact, made.inputs)  # type: ignore[attr-defined]

    vectors = [laid_out(made) for made in each]
    print("\n| grouped by | adjusted Rand index with another seed | groups |\n|---|---|---|")
    ways: dict[str, Any] = {"mixture": _mixture, "HDBSCAN": _densest}
    pairs = list(combinations(range(len(each)), 2))
    same = [stability(each[one], each[other]) for one, other in pairs]
    print(f"| label and answer | {_told(same)} | {[len(made.regions()) for made in each]} |")
    for name, way in ways.items():
        groups = [way(mine) for mine in vectors]
        same = []
        for one, other in pairs:
            pool = np.concatenate([vectors[one], vectors[other]])
            same.append(alike(groups[one](pool), groups[other](pool)))
        counts = [len(set(group(mine)) - {-1}) for group, mine in zip(groups, vectors, strict=True)]
        print(f"| {name} | {_told(same)} | {counts} |", flush=True)


def _told(some: Sequence[float]) -> str:
    return ", ".join(f"{one:.2f}" for one in some)


def _mixture(vectors: Any) -> Any:
    from sklearn.mixture import BayesianGaussianMixture

    most = min(100, len(vectors) // 5)
    return (
        BayesianGaussianMixture(
            n_components=most, covariance_type="diag", random_state=0, max_iter=300
        )
        .fit(vectors)
        .predict
    )


def _densest(vectors: Any) -> Any:
    """HDBSCAN's groups; another input is in that of the nearest one."""
    from sklearn.cluster import HDBSCAN
    from sklearn.neighbors import KNeighborsClassifier

    groups = HDBSCAN(min_cluster_size=LEAST, copy=True).fit_predict(vectors)
    return KNeighborsClassifier(1).fit(vectors, groups).predict


def judged(made: Made, mnist: Images) -> list[tuple[int, int]]:
    """The regions of which both validators read most sampled inputs as the label says."""
    halves = np.random.default_rng(0).permutation(len(mnist)).reshape(2, -1)
    validators = []
    for seed, half in enumerate(halves):
        trained, _ = train_base(mnist.take(half), seed=100 + seed, epochs=6)
        validators.append(model(trained))
        right = evaluate(trained, mnist.take(halves[1 - seed]))["accuracy"]
        print(f"\nvalidator {seed}: reads {100 * right:.1f} % of the half that it never saw")
    confirmed, read, features = [], [], made.features
    lots = np.random.default_rng(0)
    print("\n| region | inputs | read as the label by both |\n|---|---|---|")
    for label, answer in made.regions():
        rows = np.flatnonzero((made.labels == label) & (made.answers == answer))
        said = [one.probabilities(features[rows]).argmax(1) for one in validators]
        both = (said[0] == label) & (said[1] == label)
        sample = lots.permutation(len(rows))[:ASKED]
        if 2 * both[sample].sum() > len(sample):
            confirmed.append((label, answer))
        read.append(both.mean())
        stays = "" if confirmed[-1:] == [(label, answer)] else " (refused)"
        print(f"| {label} taken for {answer}{stays} | {len(rows)} | {100 * both.mean():.0f} % |")
    of = len(made.regions())
    print(f"\n{len(confirmed)} of {of} regions survive; {100 * np.mean(read):.0f} % of inputs")
    return confirmed


def corrected(
    net: Any, made: Made, confirmed: Sequence[tuple[int, int]], clean: Images, held_out: Images,
    mnist: Images,
) -> None:  # fmt: skip
    inside = made.take([row for row, pair in enumerate(made.pairs) if pair in confirmed])
    sides = [inside.take(np.flatnonzero(inside.origins % 2 == side)) for side in (0, 1)]
    learned, other = (Images(side.features, side.labels, "generated") for side in sides)
    print(f"\n{len(learned)} inputs learned from, {len(other)} held out; misread in per cent")
    print("\n| learned with weight | held-out inputs | clean (359) | MNIST |\n|---|---|---|---|")

    def row(name: str, tuned: Any) -> None:
        told = [100 * (1 - evaluate(tuned, one)["accuracy"]) for one in (other, held_out, mnist)]
        print(f"| {name} | " + " | ".join(f"{one:.2f}" for one in told) + " |", flush=True)

    row("as it is", net)
    # Nothing real is learned beside them: the clean images stand in the place of foolings.
    for weight in (0.0, 0.01, 0.1, 1.0):
        tuned, _ = fine_tune(net, clean, clean, seed=0, generated=weight, made_up=learned)
        row(f"{weight:g}", tuned)
    tuned, _ = fine_tune(net, clean, clean, seed=0, generated=1, made_up=learned, blend=1)
    row("1, all the way", tuned)


if __name__ == "__main__":
    main()
