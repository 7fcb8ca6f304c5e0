"""A chat with a model, and one label of a rubric for what came of it.

The server holds a chat while it goes on (annotate/chats.py); what is stored of one is its turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from core.errors import Refused
from kinds import Kind, Prepared
from kinds.answers import ONE_OF_THE_LABELS
from kinds.texts import MAX_TEXT, WORDING, text_key
from kinds.wording import folded
from kinds.words import Words

MOST: Final = 400  # messages of a chat
SAYS: Final = {"user": "person", "assistant": "model"}
COUNTED: Final = ("tokens", "finish_reason")


def parse(raw: object) -> Prepared:
    """Turns that take turns, as a log has them and as the server makes them of a chat it holds.

    Its key is what was said; its likeness, what the person said: the model may say it otherwise.
    """
    turns = raw.get("turns") if isinstance(raw, dict) else None
    if not isinstance(turns, list) or not 2 <= len(turns) <= MOST or len(turns) % 2:
        raise Refused("bad_input", f"A chat has turns, 2 to {MOST} and each answered.")
    said = [_said(turn, role) for turn, role in zip(turns, [*SAYS] * len(turns), strict=False)]
    kept = [
        {**words, **{name: turn[name] for name in COUNTED if turn.get(name) is not None}}
        for words, turn in zip(said, turns, strict=True)
    ]
    own = "\n".join(words["content"] for words in said[::2])
    return Prepared(text_key(said), {"turns": kept}, form=lambda: folded(own, ()))


def _said(turn: object, role: str) -> dict[str, str]:
    content = turn.get("content") if isinstance(turn, dict) else None
    if not isinstance(turn, dict) or turn.get("role") != role or not isinstance(content, str):
        raise Refused("bad_input", f"Here a turn must have the role {role} and its content.")
    if not content.strip():
        raise Refused("bad_input", "A turn says something.")
    if len(content) > MAX_TEXT:
        raise Refused("too_long", f"A turn has more than {MAX_TEXT} characters.")
    tokens, reason = turn.get("tokens"), turn.get("finish_reason")
    if not (tokens is None or (type(tokens) is int and tokens >= 0)):
        raise Refused("bad_input", "A turn's tokens are a whole number.")
    if not (reason is None or isinstance(reason, str)):
        raise Refused("bad_input", "A turn's finish_reason is a text.")
    return {"role": role, "content": content}


def turns_of(stored: Any) -> list[Mapping[str, Any]]:
    """The turns of what is stored, which was parsed once."""
    return list(stored["turns"]) if isinstance(stored, dict) and "turns" in stored else []


def seen(stored: Any) -> Any:
    """What was said, with what was `cut` off, and nothing of what it cost."""
    return {
        "turns": [
            {
                **{name: turn[name] for name in ("role", "content")},
                **({"cut": True} if is_cut(turn.get("finish_reason")) else {}),
            }
            for turn in turns_of(stored)
        ]
    }


def is_cut(finish_reason: str | None) -> bool:
    """Whether an answer ended because there was no room for more of it."""
    return finish_reason in ("length", "max_tokens")


def parts(stored: Any) -> list[tuple[str, str]]:
    return [(SAYS[turn["role"]], turn["content"]) for turn in turns_of(stored)]


def counts(stored: Any) -> str:
    """How many turns and tokens it took: "3 turns, 1,204 tokens"."""
    turns = turns_of(stored)
    number, tokens = len(turns) // 2, sum(turn.get("tokens") or 0 for turn in turns)
    cost = f", {tokens:,} tokens" if tokens else ""
    return f"{number} {'turn' if number == 1 else 'turns'}{cost}"


def _probe(hello: str, answer: str) -> dict[str, Any]:
    said = zip(SAYS, (hello, answer), strict=True)
    return {"turns": [{"role": role, "content": content} for role, content in said]}


KIND = Kind(
    name="chat",
    parse=parse,
    answers=ONE_OF_THE_LABELS,
    words=Words(
        act="Chat",
        acting="Chatting",
        thing="chat",
        alter="Look at {} again",
        reads="stands for",
        was_right="You found nothing wrong with what it said.",
        keys="Enter sends what you wrote, Shift Enter begins a new line. Tab leaves the field, then"
        " the key of an outcome chooses it. Ctrl Enter submits, also while you write.",
    ),
    rules=("exact_match",),
    shape='a chat that you opened as `{"chat"}`, its id (in logs `{"turns": [{"role", "content"},'
    " …]}`)",
    probes=(
        _probe("Good morning. What can you help me with?", "With questions about cooking."),
        _probe("How long does an egg take?", "Six minutes, if it is to stay soft."),
    ),
    seen=seen,
    contexts=True,
    likeness=WORDING,
    talks=True,
    parts=parts,
    counts=counts,
    page_of="text",
    folder=Path(__file__).parent,
)
