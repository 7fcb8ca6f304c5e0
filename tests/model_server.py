"""A small server of models, a process of its own: `python tests/model_server.py PORT [mortal]`.

It speaks the Open Inference Protocol v2 and chat completions, as real ones differ in doing so, and
misbehaves where a text asks for it: a mortal one dies in the middle of an answer to "drop dead".
What it was asked is counted under /asked; who waits to be let go is so by /let_go.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "Bearer a-key-of-ours"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked = 0
    busy = 0
    let_go = threading.Event()

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/asked":
            self._send(200, {"asked": Handler.asked, "host": self.headers["Host"]})
        elif self.path == "/let_go":
            Handler.let_go.set()
            self._send(200, {})
        else:
            self._send(404, b"")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Handler.asked += 1
        if self.path == "/elsewhere/v2/models/mood/infer":
            self.send_response(302)
            self.send_header("Location", "/v2/models/mood/infer")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path in ("/v2/models/mood/infer", "/v2/models/moods/infer"):
            self._infer(body)
        elif self.path == "/v1/chat/completions":
            self._chat(body)
        else:
            self._send(404, {"error": "no such model"})

    def _infer(self, body: Any) -> None:
        (tensor,) = body["inputs"]
        (text,) = tensor["data"]
        share = 0.9 if "good" in text or "wonderful" in text else 0.2
        if "boom" in text:
            self._send(500, b"Internal Server Error")
            return
        data = [1 - share, share, 0.0] if "three" in text else [[1 - share, share]]
        data = [float("nan"), share] if "not a number" in text else data
        label = [["positive" if share > 0.5 else "negative"]]
        self._send(
            200,
            {
                "model_name": "mood",
                "id": "another" if "mixed" in text else body["id"],
                "parameters": None,
                "outputs": [
                    {"name": "shares", "datatype": "FP32", "shape": [1, 2], "data": data},
                    {"name": "probs", "datatype": "FP32", "shape": [1, 2], "data": data},
                    {"name": "said", "datatype": "BYTES", "shape": [1, 1], "data": label},
                ],
            },
        )

    def _chat(self, body: Any) -> None:
        if self.headers.get("Authorization") != KEY:
            self._send(401, {"error": {"message": "no key"}})
            return
        text = body["messages"][-1]["content"]
        if "busy at first" in text and Handler.busy < 2:
            Handler.busy += 1
            self._send(429, {"error": {"message": "one at a time"}})
            return
        if "slow" in text:
            Handler.let_go.wait()
        said = "Positive." if "good" in text or "wonderful" in text else "negative"
        said = "That depends on whom you ask." if "nonsense" in text else said
        said = "I would say it's not positive." if "denied" in text else said
        said = "My label is: Positive" if "sentence" in text else said
        said = f"{len(body['messages'])} messages" if "how many" in text else said
        usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
        if not body.get("stream") or "at once" in text:  # as servers do that know no streams
            message = {"role": "assistant", "content": said}
            reason = None if "unsaid" in text else "length" if "cut" in text else "stop"
            choice = {"index": 0, "message": message, "finish_reason": reason}
            told = {"choices": [choice], "usage": usage}
            self._send(200, told, pause=0.05 if "drop by drop" in text else 0)
            return
        pieces: list[Any] = [
            {"choices": [{"delta": {"content": piece}}]} for piece in (said[:3], said[3:])
        ]
        if "too long" in text:
            pieces[1:] = [{"error": {"message": "The context is too long.", "code": 400}}]
        elif "break off" not in text:
            pieces.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
            pieces.append({"choices": [], "usage": usage})
        if "endless" in text:
            pieces *= 1_000
        pause = 0.01 if "endless" in text else 10 if "silent" in text else 0
        with suppress(ConnectionError):  # nobody listens any more
            self._stream(pieces, pause, dies="drop dead" in text and "mortal" in sys.argv)

    def _stream(self, pieces: list[Any], pause: float, *, dies: bool) -> None:
        """Chunk by chunk, each at once on its way."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in [*map(json.dumps, pieces), "[DONE]"]:
            data = f"data: {event}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            if dies:
                os._exit(1)
            time.sleep(pause)
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, status: int, body: Any, pause: float = 0) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        pieces = [data[at : at + 1] for at in range(len(data))] if pause else [data]
        with suppress(ConnectionError):
            for piece in pieces:
                self.wfile.write(piece)
                time.sleep(pause)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
