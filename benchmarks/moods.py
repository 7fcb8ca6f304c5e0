"""How a word list learns from what fools it: `python -m benchmarks.moods FOLDER [--seeds 3]`.

FOLDER has train.tsv and dev.tsv (docs/models.md) with labels 0 and 1. Texts of `train` that the
model of the moment misreads are given to it, `--steps` of them in all, and the share of `dev` that
it reads right is told; with --others what it read right before them is learned, too.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from dataclasses import replace
from typing import Any

import numpy as np

from ml.learners import Item, learner_named
from ml.learners.texts import model as models
from ml.learners.texts.fit import fitted
from ml.learners.texts.lexicon import Lexicon
from ml.learners.texts.model import TextModel

NAMES = {"0": "negative", "1": "positive"}


def says(model: TextModel, item: Item) -> str:
    return model.labels[int(model.probabilities(item.prepared.features["text"]).argmax())]


def right(model: TextModel, items: list[Item]) -> float:
    return sum(says(model, item) == item.label for item in items) / len(items)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 50, 200, 1_000])
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--others", action="store_true")
    given = parser.parse_args()
    base = learner_named("texts").load_base(given.folder)
    train, dev = (
        [replace(item, label=NAMES.get(item.label, item.label)) for item in part]
        for part in (base.train, base.held_out)
    )
    start = models.blank(("negative", "positive"), Lexicon("positive"))
    report: dict[str, Any] = {"0": [round(100 * right(start, dev), 1)]}
    for seed in range(given.seeds):
        texts, model, learned = list(train), start, []
        random.Random(seed).shuffle(texts)
        for step in given.steps:
            found = sum(says(start, item) != item.label for item in learned) if given.others else 0
            found = found or len(learned)
            while found < step and texts:
                item = texts.pop()
                wrong = says(model, item) != item.label
                found += wrong
                if wrong or given.others:
                    learned.append(item)
            began = time.perf_counter()
            model = fitted(start, learned, np.ones(len(learned)), strength=given.strength)
            seconds = time.perf_counter() - began
            report.setdefault(str(step), []).append(round(100 * right(model, dev), 1))
            print(f"seed {seed}, {step} foolings: {report[str(step)][-1]} % ({seconds:.1f} s)")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
