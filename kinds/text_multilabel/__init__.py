"""One text, and any number of labels for it."""

from __future__ import annotations

from pathlib import Path

from kinds import Kind
from kinds.answers import SEVERAL_LABELS
from kinds.texts import WORDING, only, parser
from kinds.words import Words

KIND = Kind(
    name="text_multilabel",
    parse=parser("text"),
    answers=SEVERAL_LABELS,
    words=Words(
        act="Write",
        acting="Writing",
        thing="text",
        alter="Change {} further",
        keys="Tab leaves the text, then the key of a label chooses it, and takes it back. Ctrl"
        " Enter submits, also while you write.",
    ),
    rules=("label_set",),
    shape='a text as `{"text"}`',
    policy="k_matching",
    probes=({"text": "It was wonderful."}, {"text": "It was dreadful."}),
    seen=only("text"),
    contexts=True,
    likeness=WORDING,
    page_of="text",
    folder=Path(__file__).parent,
)
