"""CommonsenseQA 2.0 (Talmor et al. 2021): `CSQA2_*.json.gz`, a record a line.

The votes have no names, and what the model answered is not published.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from releases.sets import PublicSet, Row, by_place, records

LABELS: Final = ("yes", "no")


def _rows(folder: Path) -> Iterator[Row]:
    for _, one in records(folder, "CSQA2_*.json*"):
        said = [label if label in LABELS else None for label in one.get("validations", ())]
        yield Row(
            id=one["id"],
            input={"text": one["question"]},
            label=one["answer"],
            theirs=one["answer"],
            votes=by_place(said),
        )


SET = PublicSet(
    title="CommonsenseQA 2.0",
    kind="text",
    labels=LABELS,
    home="https://github.com/allenai/csqa2",
    licence="CC BY 4.0",
    rows=_rows,
)
