"""Dynamically Generated Hate Dataset (Vidgen et al. 2021), v0.2.3: labels by named authors.

Neither votes nor what the models said are published.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from releases.sets import PublicSet, Row, records


def _rows(folder: Path) -> Iterator[Row]:
    for _, one in records(folder, "*ynamically*enerated*ate*.csv"):
        yield Row(
            id=one["acl.id"],
            round=int(one["round.base"]),
            author=one["annotator"],
            input={"text": one["text"]},
            label=one["label"],
            theirs=one["label"],
        )


SET = PublicSet(
    title="Dynamically Generated Hate",
    kind="text",
    labels=("nothate", "hate"),
    home="https://github.com/bvidgen/Dynamically-Generated-Hate-Speech-Dataset",
    licence="CC BY 4.0",
    rows=_rows,
)
