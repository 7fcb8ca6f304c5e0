"""GAHD (Goldzycher et al. 2024): `gahd_disaggregated.csv`, votes without names in one column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from releases.sets import NOT_PUBLISHED, PublicSet, Row, by_place, records

LABELS: Final = {"0": "nothate", "1": "hate"}


def _rows(folder: Path) -> Iterator[Row]:
    for _, one in records(folder, "gahd_disaggregated.csv"):
        said = [LABELS.get(label.strip()) for label in one["annotator_labels"].split("/")]
        label = LABELS[_whole(one["label"])]
        yield Row(
            id=one["gahd_id"],
            round=int(_whole(one["round"]).lstrip("r")),
            author=one["annotator_id"] or NOT_PUBLISHED,
            input={"text": one["text"]},
            label=label,
            theirs=label,
            prediction=LABELS.get(_whole(one["model_prediction"])),
            model="target model",
            votes=by_place(said),
        )


def _whole(number: str) -> str:
    """A column with gaps has its numbers as floats."""
    return number.strip().removesuffix(".0")


SET = PublicSet(
    title="GAHD",
    kind="text",
    labels=("nothate", "hate"),
    home="https://github.com/jagol/gahd",
    licence="CC BY 4.0",
    rows=_rows,
)
