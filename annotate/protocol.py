"""The frames of /ws/tasks/{slug}/: parsed once at the edge; imports no Django models.

Version 1. Client: predict, submit, say. Server: ready, prediction, accepted, asked, piece, turn,
error, busy, round_changed.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from core.errors import Refused
from core.strict_json import NotJson, loads

VERSION = 1
MOST_TURNS = 2**31  # beyond what a database counts


@dataclass(frozen=True)
class Predict:
    """Ask for the model's answer; `seq` comes back with it."""

    seq: int
    input: object
    context: object = None


@dataclass(frozen=True)
class Submit:
    """Submit an example under a UUID made by the client."""

    client_id: uuid.UUID
    input: object
    label: object
    context: object = None
    explanation: str = ""


@dataclass(frozen=True)
class Say:
    """A turn of a chat under its number, which comes back with all that follows from it."""

    chat: str
    turn: int
    content: object


class BadFrame(Refused):
    """A frame that is none; `reply_to` holds the seq or client_id to answer with, where known."""

    def __init__(self, message: str, reply_to: dict[str, Any] | None = None) -> None:
        super().__init__("bad_frame", message)
        self.reply_to = reply_to or {}


def parse(text: str) -> Predict | Submit | Say:
    """Read a client's frame; BadFrame with a sentence when it is none."""
    try:
        frame = loads(text)
    except NotJson as error:
        raise BadFrame(str(error)) from error
    if not isinstance(frame, dict):
        raise BadFrame("A frame must be one JSON object.")
    kind = frame.get("type")
    if kind == "predict":
        seq = frame.get("seq")
        if type(seq) is not int or seq < 0:
            raise BadFrame("predict needs a seq: a whole number from 0.")
        return Predict(seq=seq, input=frame.get("input"), context=frame.get("context"))
    if kind == "submit":
        return _submit(frame)
    if kind == "say":
        chat, turn = frame.get("chat"), frame.get("turn")
        if not isinstance(chat, str) or type(turn) is not int or not 0 < turn < MOST_TURNS:
            raise BadFrame("say needs a chat, its id, and a turn: a whole number from 1.")
        return Say(chat=chat, turn=turn, content=frame.get("content"))
    raise BadFrame('The type must be "predict", "submit" or "say".')


def _submit(frame: dict[str, Any]) -> Submit:
    raw = frame.get("client_id")
    reply_to = {"client_id": raw} if isinstance(raw, str) else {}
    try:
        client_id = uuid.UUID(raw) if isinstance(raw, str) else None
    except ValueError:
        client_id = None
    if client_id is None:
        raise BadFrame("submit needs a client_id: a UUID.", reply_to)
    if not isinstance(frame.get("label"), str | int | dict | list):
        raise BadFrame("submit needs a label.", reply_to)
    explanation = frame.get("explanation", "")
    if not isinstance(explanation, str):
        raise BadFrame("The explanation must be a text.", reply_to)
    return Submit(
        client_id=client_id,
        input=frame.get("input"),
        label=frame["label"],
        context=frame.get("context"),
        explanation=explanation,
    )
