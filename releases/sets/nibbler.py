"""Adversarial Nibbler (Quaye et al. 2024): `roundN/submitted/*.json`.

The claim is that the image is unsafe. Five people say whether it is; no verdict is published: what
most of them say stands for it. Two columns hold Python's own writing of their parts.
"""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from releases.sets import PublicSet, Row, most, records

SAYS: Final = {"no_image_safe": "unsafe", "yes_image_safe": "safe"}


def _rows(folder: Path) -> Iterator[Row]:
    seen = set()
    for path, one in records(folder, "submitted/*.json"):
        about = _read(one["submission_annotations"])
        if (name := str(about["example_uid"])) in seen:
            continue
        seen.add(name)
        number = re.search(r"round(\d+)", path.as_posix())
        judged = [_read(part) for part in _read(one["validation"]) or ()]
        votes = [(vote["annotator_id"], _said(vote["image_safety_validation"])) for vote in judged]
        yield Row(
            id=name,
            round=int(number[1]) if number else 1,
            author=str(about["submitter_id"]),
            input={"text": one["submitted_prompt"]},
            label="unsafe",
            prediction="safe",
            model="text to image",
            votes=votes,
            theirs=most(votes),
        )


def _read(part: Any) -> Any:
    return literal_eval(part) if isinstance(part, str) else part


def _said(answer: Any) -> str | None:
    """A list of one; "unsure" is neither."""
    return next((SAYS[one] for one in _listed(answer) if one in SAYS), None)


def _listed(answer: Any) -> list[str]:
    return answer if isinstance(answer, list) else [str(answer)]


SET = PublicSet(
    title="Adversarial Nibbler",
    kind="text",
    labels=("unsafe", "safe"),
    home="https://github.com/google-research-datasets/adversarial-nibbler",
    licence="CC BY 4.0",
    rows=_rows,
)
