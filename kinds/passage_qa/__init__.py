"""A question about a passage, and the answer that stands in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from core.looks import is_blank
from kinds import Kind
from kinds.answers import FREE
from kinds.texts import WORDING, only, parser
from kinds.words import Words


def fits(content: Any, answer: Any) -> str:
    """An answer with a place, `{"text", "start"}`, stands there in the passage.

    `start` counts Unicode code points, as Python does; JavaScript counts UTF-16 units. A list holds
    several right answers. Models and logs may say that there is none, with a text of no length.
    """
    if isinstance(answer, list):
        complaints = [fits(content, one) for one in answer] or [
            "a list of answers has one or more."
        ]
        return next(filter(None, complaints), "")
    if not isinstance(answer, dict):
        return ""
    text, start = answer.get("text"), answer.get("start")
    if not isinstance(text, str) or type(start) is not int:
        return "an answer in the passage has a text and a start, a whole number."
    passage = _passage(content)
    there = passage[start : start + len(text)] if start >= 0 else ""
    if there == text and 0 <= start <= len(passage):
        return ""
    return f"the passage has {there[:40]!r} at {start}, not {text[:40]!r}."


def stands(content: Any, answer: Any) -> str:
    """An author's own answer is words of the passage, wherever they stand there."""
    words = answer.get("text") if isinstance(answer, dict) else answer
    if not isinstance(words, str):
        return "mark one answer in the passage."
    if is_blank(words):
        return "it is blank: mark the answer in the passage."
    return "" if words in _passage(content) else f"the passage has no {words[:40]!r}."


def _passage(content: Any) -> str:
    return str(content.get("context", "")) if isinstance(content, dict) else ""


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
    rules=("string_f1", "span_iou", "exact_match"),
    shape='a question as `{"context", "question"}`',
    policy="k_matching",
    fits=fits,
    stands=stands,
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
