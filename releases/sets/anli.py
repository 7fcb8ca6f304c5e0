"""Adversarial NLI (Nie et al. 2020): `R1/train.jsonl` and so on, beside the verifiers' labels.

The analysts' CSV of round 1 names some columns otherwise and has the model's answer in letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from releases.sets import PublicSet, Row, by_place, records


def _rows(folder: Path) -> Iterator[Row]:
    votes = {
        one["uid"]: by_place(one["verifier labels"])
        for _, one in records(folder, "verifier_labels*.jsonl")
    }
    for path, one in records(folder, "R?/*.jsonl", "r?_dev.csv"):
        number = re.search(r"[Rr](\d)", f"{path.parent.name}/{path.name}")
        analysed = path.suffix == ".csv"
        label = one["gold_label" if analysed else "label"]
        yield Row(
            id=one["uid"],
            round=int(number[1]) if number else 1,
            input={
                "context": one["context"],
                "hypothesis": one["statement" if analysed else "hypothesis"],
            },
            label=label,
            theirs=label,
            prediction=one["adversary_pred" if analysed else "model_label"],
            model=f"round {number[1]} model" if number else "model",
            votes=votes.get(one["uid"], ()),
        )


SET = PublicSet(
    title="Adversarial NLI",
    kind="text_pair",
    labels=("e", "n", "c"),
    home="https://github.com/facebookresearch/anli",
    licence="CC BY-NC 4.0",
    rows=_rows,
)
