"""A question about a passage, and the answer that stands in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kinds import Kind
from kinds.answers import FREE
from kinds.texts import parser
from kinds.words import Words


def seen(stored: Any) -> Any:
    """Without the answer, which an author may have marked."""
    if not isinstance(stored, dict):
        return stored
    return {name: text for name, text in stored.items() if name != "answer"}


KIND = Kind(
    name="passage_qa",
    parse=parser("context", "question", hidden=("answer",)),
    answers=FREE,
    words=Words(act="Ask", acting="Asking", thing="question", alter="Change it further"),
    rules=("exact_match", "string_f1", "span_iou", "numeric", "ask_annotator"),
    shape='a question as `{"context", "question"}`',
    policy="k_matching",
    seen=seen,
    probes=(
        {"context": "Ann met Bob in Rome.", "question": "Who met Bob?"},
        {"context": "Ann met Bob in Rome.", "question": "Where did they meet?"},
    ),
    contexts=True,
    folder=Path(__file__).parent,
)
