"""A question about a passage, and the answer that stands in it."""

from __future__ import annotations

from pathlib import Path

from kinds import Kind
from kinds.answers import FREE
from kinds.texts import only, parser
from kinds.words import Words

KIND = Kind(
    name="passage_qa",
    parse=parser("context", "question", hidden=("answer",)),
    answers=FREE,
    words=Words(act="Ask", acting="Asking", thing="question", alter="Change it further"),
    rules=("exact_match", "string_f1", "span_iou", "numeric", "ask_annotator"),
    shape='a question as `{"context", "question"}`',
    policy="k_matching",
    probes=(
        {"context": "Ann met Bob in Rome.", "question": "Who met Bob?"},
        {"context": "Ann met Bob in Rome.", "question": "Where did they meet?"},
    ),
    seen=only("context", "question"),
    contexts=True,
    folder=Path(__file__).parent,
)
