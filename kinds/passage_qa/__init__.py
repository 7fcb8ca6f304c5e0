"""A question about a passage, and the answer that stands in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from kinds import Kind
from kinds.answers import FREE
from kinds.texts import WORDING, only, parser
from kinds.words import Words


def fits(content: Any, answer: Any) -> str:
    """An answer with a place, `{"text", "start"}`, stands there in the passage.

    `start` counts Unicode code points, as Python does; JavaScript counts UTF-16 units.
    """
    if not isinstance(answer, dict):
        return ""
    text, start = answer.get("text"), answer.get("start")
    if not isinstance(text, str) or type(start) is not int:
        return "an answer in the passage has a text and a start, a whole number."
    passage = content.get("context", "") if isinstance(content, dict) else ""
    there = passage[start : start + len(text)] if start >= 0 else ""
    if there == text:
        return ""
    return f"the passage has {there[:40]!r} at {start}, not {text[:40]!r}."


def words_of_the_passage(content: Any) -> list[Any]:
    """Each as an answer with its place; the whole passage where it has no words."""
    words = re.finditer(r"\w+", content["context"])
    found = [{"text": word[0], "start": word.start()} for word in words]
    return found or [{"text": content["context"], "start": 0}]


KIND = Kind(
    name="passage_qa",
    parse=parser("context", "question", hidden=("answer",)),
    answers=FREE,
    guesses=words_of_the_passage,
    words=Words(
        act="Ask",
        acting="Asking",
        thing="question",
        alter="Change {} further",
        keys="In the text, the arrow keys mark a word and Shift marks more of them; up and down go"
        " by sentences. Ctrl Enter submits while you write.",
    ),
    rules=("exact_match", "string_f1", "span_iou", "numeric", "ask_annotator"),
    shape='a question as `{"context", "question"}`',
    policy="k_matching",
    fits=fits,
    probes=(
        {"context": "Ann met Bob in Rome.", "question": "Who met Bob?"},
        {"context": "Ann met Bob in Rome.", "question": "Where did they meet?"},
    ),
    seen=only("context", "question"),
    contexts=True,
    likeness=WORDING,
    given=("context",),
    page_of="text",
    folder=Path(__file__).parent,
)
