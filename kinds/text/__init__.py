"""One text, and one label for it."""

from __future__ import annotations

from pathlib import Path

from kinds import Kind
from kinds.answers import ONE_OF_THE_LABELS
from kinds.text.edits import altered
from kinds.texts import WORDING, only, parser
from kinds.words import Words

KIND = Kind(
    name="text",
    parse=parser("text"),
    answers=ONE_OF_THE_LABELS,
    words=Words(
        act="Write",
        acting="Writing",
        thing="text",
        alter="Change {} further",
        keys="Tab leaves the text, then the key of a label chooses it. Ctrl Enter submits, also"
        " while you write.",
    ),
    rules=("exact_match", "numeric"),
    shape='a text as `{"text"}`',
    probes=({"text": "It was wonderful."}, {"text": "It was dreadful."}),
    seen=only("text"),
    contexts=True,
    likeness=WORDING,
    altered=altered,
    folder=Path(__file__).parent,
)
