"""A platform's API as Prolific's documentation has it, which can be slow, silent or wrong.

It keeps what is true: which submissions are approved and which bonuses were paid.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class StandIn:
    """`mood` says for each call that changes something what becomes of it: `ok`, `late`,
    `500 paid`, `500`, `silent paid`, `silent` (no answer comes)."""

    def __init__(self, mood: Callable[[str], str] = lambda _: "ok", pause: float = 0.05) -> None:
        self.mood, self.pause = mood, pause
        self.status: dict[str, str] = defaultdict(lambda: "AWAITING REVIEW")
        self.approved: dict[str, int] = defaultdict(int)
        self.bonuses: dict[str, list[int]] = defaultdict(list)
        self.paid: dict[str, int] = defaultdict(int)  # how often each prepared bonus was paid
        self.prepared: dict[str, tuple[str, int]] = {}
        self.under_way, self.most_at_once = 0, 0
        self.study = {
            "id": "S1",
            "reward": 100,
            "presentment_currency_code": "USD",
            "completion_codes": [{"code": "C123", "code_type": "COMPLETED"}],
        }
        self.keys: list[Any] = []  # that links are signed with
        self.odd: bytes | None = None  # what a look gets instead of an answer
        self.refuses: set[str] = set()  # assignments for which no bonus can be set up
        self.lock = threading.Lock()
        here = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/.well-known/study/jwks.json":
                    self.say(200, {"keys": here.keys})
                    return
                if here.odd is not None:
                    self.close_connection = True
                    self.wfile.write(here.odd)
                    return
                if "/studies/" in self.path:
                    self.say(200, here.study)
                    return
                assignment = self.path.strip("/").rpartition("/")[2]
                status = here.status[assignment]
                if here.approved[assignment]:
                    status = "APPROVED"
                self.say(
                    200,
                    {
                        "id": assignment,
                        "status": status,
                        "study_id": "S1",
                        "participant": assignment.removeprefix("A-"),
                        "bonus_payments": here.bonuses[assignment],
                    },
                )

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
                parts = self.path.strip("/").split("/")
                if parts[-1] == "bonus-payments":
                    assignment, amount = body["csv_bonuses"].split(",")
                    if assignment in here.refuses:
                        self.say(400, {"error": "They took no part in it."})
                        return
                    name = f"b{len(here.prepared)}"
                    here.prepared[name] = (assignment, round(float(amount) * 100))
                    self.say(200, {"id": name})
                    return
                mood = here.mood(parts[-1])
                here.under_way += 1
                here.most_at_once = max(here.most_at_once, here.under_way)
                if mood == "late":
                    time.sleep(here.pause)
                here.under_way -= 1
                done = True
                if mood in ("ok", "late") or mood.endswith("paid"):
                    with here.lock:
                        done = self.carry_out(parts)
                if mood.startswith("silent"):
                    time.sleep(here.pause)
                    self.close_connection = True
                    return
                if mood.startswith("500"):
                    self.say(500, {"error": "?"})
                else:
                    self.say(200 if done else 400, {"done": done})

            def carry_out(self, parts: list[str]) -> bool:
                if parts[-1] == "transition":
                    if here.approved[parts[-2]] or "APPROVED" in here.status[parts[-2]]:
                        return False  # already approved
                    here.approved[parts[-2]] += 1
                    return True
                assignment, amount = here.prepared[parts[-2]]
                here.paid[parts[-2]] += 1
                here.bonuses[assignment].append(amount)
                return True

            def say(self, status: int, body: Any) -> None:
                text = json.dumps(body).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    pass  # whoever asked is gone

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
