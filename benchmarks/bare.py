"""The bare limit: the same net, engine, batcher and reading of drawings, and nothing around them.

An ASGI application for a naked uvicorn. No task, no people, no database, no cache, no limits: what
is between this and the product's figure is what the product's services cost. Where a frame is four
bytes of seq and the 784 bytes that the net wants it does not even read drawings. Texts are answered
by the library's model of texts.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.world import trained_model
from kinds import Prepared
from kinds.image.pixels import decode
from ml.backends import Source, open_model
from ml.batcher import Batcher

Message = dict[str, Any]


def _open(task: str) -> Any:
    folder = trained_model(task)
    made = json.loads((folder / "model.json").read_text())
    return open_model(made["backend"], Source(folder / made["artifact"], made["sha256"], {}))


_backend = _open("digits")
_texts = _open("sentiment")


def _answer(inputs: Sequence[object]) -> list[dict[str, Any]]:
    rows = _backend.probabilities(np.stack([_read(input) for input in inputs]))
    return [
        {
            "prediction": _backend.labels[int(row.argmax())],
            "probabilities": {
                label: round(float(p), 6) for label, p in zip(_backend.labels, row, strict=True)
            },
        }
        for row in rows
    ]


def _answer_texts(inputs: Sequence[str]) -> list[dict[str, Any]]:
    answers = _texts.answer([Prepared("", {"text": text}) for text in inputs])
    return [{"prediction": one.label, "probabilities": one.probabilities} for one in answers]


def _read(input: object) -> np.ndarray:
    if isinstance(input, bytes):
        return np.frombuffer(input, np.uint8).reshape(28, 28).astype(np.float32) / 255
    return decode(input)


_batcher: Batcher[object, dict[str, Any]] = Batcher(_answer)
_text_batcher: Batcher[str, dict[str, Any]] = Batcher(_answer_texts)


async def application(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer `predict` frames on any websocket, and any page with its absence."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})
    else:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": json.dumps({"type": "ready"})})
        while (message := await receive())["type"] == "websocket.receive":
            if message.get("text") is not None:
                frame = json.loads(message["text"])
                seq, input = frame["seq"], frame["input"]
            else:
                seq, input = int.from_bytes(message["bytes"][:4]), message["bytes"][4:]
            if isinstance(input, dict) and "text" in input:
                answer = await _text_batcher.submit(input["text"], timeout=5)
            else:
                answer = await _batcher.submit(input, timeout=5)
            body = {"type": "prediction", "seq": seq, **answer}
            await send({"type": "websocket.send", "text": json.dumps(body)})
