"""A head over sentence embeddings: `python -m benchmarks.embeddings FOLDER`.

With `bin/serve --with minilm` done before. FOLDER has train.tsv and dev.tsv (docs/models.md) with
labels 0 and 1. Told are the share of `dev` that a head trained on `train` reads right, with the
encoder as float32 and as int8, how often these two differ, and CPU milliseconds a text. Ends with
one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace

from benchmarks.moods import NAMES
from ml.backends.vectors import VectorsBackend
from ml.encoders import Encoder
from ml.learners import learner_named, vectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    learner = learner_named("vectors")
    base = learner.load_base(parser.parse_args().folder)
    train, dev = (
        [replace(item, label=NAMES.get(item.label, item.label)) for item in part]
        for part in (base.train, base.held_out)
    )
    began = time.process_time()
    trained = learner.train(replace(base, train=train), labels=("negative", "positive"), seed=0)
    report = {"texts": len(train), "train_cpu_s": round(time.process_time() - began, 1)}
    whole = vectors.encoder()
    small = Encoder(whole.folder, "", max_tokens=whole.max_tokens, int8=True)
    said = {}
    for name, opened in (("float32", whole), ("int8", small)):
        vectors.encoder = lambda opened=opened: opened  # type: ignore[assignment]
        backend = VectorsBackend(trained.labels, trained.model)
        began = time.process_time()
        said[name] = [answer.label for answer in backend.answer([one.prepared for one in dev])]
        report[f"{name}_ms"] = round(1000 * (time.process_time() - began) / len(dev), 1)
        right = sum(label == item.label for label, item in zip(said[name], dev, strict=True))
        report[f"{name}_right"] = round(100 * right / len(dev), 2)
    report["differ"] = sum(one != other for one, other in zip(*said.values(), strict=True))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
