"""A hypothesis written to a given context, as in natural language inference."""

from __future__ import annotations

from pathlib import Path

from kinds import Kind
from kinds.answers import ONE_OF_THE_LABELS
from kinds.texts import WORDING, only, parser
from kinds.words import Words

KIND = Kind(
    name="text_pair",
    parse=parser("context", "hypothesis"),
    answers=ONE_OF_THE_LABELS,
    words=Words(
        act="Write",
        acting="Writing",
        thing="hypothesis",
        plural="hypotheses",
        alter="Change {} further",
        keys="Tab leaves the field, then the key of a label chooses it. Ctrl Enter submits, also"
        " while you write.",
    ),
    rules=("exact_match", "numeric"),
    shape='a pair as `{"context", "hypothesis"}`',
    probes=(
        {"context": "A man sleeps.", "hypothesis": "Somebody rests."},
        {"context": "A man sleeps.", "hypothesis": "He runs."},
    ),
    seen=only("context", "hypothesis"),
    contexts=True,
    likeness=WORDING,
    given=("context",),
    page_of="text",
    folder=Path(__file__).parent,
)
