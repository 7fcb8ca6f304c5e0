"""DynaSent (Potts et al. 2020): `dynasent-v1.1-round0N-*.jsonl`, each vote by a voter's pseudonym.

What an author meant is not published: the label that most votes have stands for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

from releases.sets import NOT_PUBLISHED, PublicSet, Row, records

LABELS: Final = ("positive", "negative", "neutral", "mixed")


def _rows(folder: Path) -> Iterator[Row]:
    for _, one in records(folder, "dynasent-*-round0?-*.jsonl"):
        number = 1 if "model_0_label" in one else 2
        said = one["label_distribution"]
        yield Row(
            id=one["text_id"],
            round=number,
            author=one.get("sentence_author") or NOT_PUBLISHED,
            input={"text": one["sentence"]},
            label=max(LABELS, key=lambda label: len(said.get(label, ()))),
            theirs=one["gold_label"],
            prediction=one[f"model_{number - 1}_label"],
            probabilities=one[f"model_{number - 1}_probs"],
            model=f"model {number - 1}",
            votes=_by_lot(one["text_id"], said),
        )


def _by_lot(name: str, said: dict[str, list[str]]) -> list[tuple[str, str | None]]:
    """They are published label by label: in that order the first two would always agree."""
    votes = [(voter, label) for label in LABELS for voter in said.get(label, ())]
    return sorted(votes, key=lambda vote: sha256(f"{name} {vote[0]}".encode()).digest())


SET = PublicSet(
    title="DynaSent",
    kind="text",
    labels=LABELS,
    home="https://github.com/cgpotts/dynasent",
    licence="CC BY 4.0",
    rows=_rows,
)
