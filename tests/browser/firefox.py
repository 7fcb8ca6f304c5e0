"""Debian's Firefox, over WebDriver BiDi and without a driver between: as much as tests need."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from dadc_server.serve import tied_to_this_process
from tests.cast import PATIENCE
from tests.services import free_port

KEYS = {"Tab": "\ue004", "Enter": "\ue007", "ArrowRight": "\ue014"}


class Firefox:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._ids = socket, itertools.count(1)
        self._ask("session.new", capabilities={})
        self._tab = self._ask("browsingContext.getTree")["contexts"][0]["context"]
        viewport = {"width": 1280, "height": 860}
        self._ask("browsingContext.setViewport", context=self._tab, viewport=viewport)

    def _ask(self, method: str, **params: Any) -> Any:
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            told = json.loads(self._socket.recv(timeout=PATIENCE))
            if told.get("id") == number:
                assert told["type"] == "success", told
                return told["result"]

    def sign_in(self, session: str) -> None:
        value = {"type": "string", "value": session}
        cookie = {"name": "sessionid", "value": value, "domain": "127.0.0.1"}
        self._ask("storage.setCookie", cookie=cookie)

    def goto(self, address: str) -> None:
        self._ask("browsingContext.navigate", context=self._tab, url=address, wait="complete")

    def run(self, script: str) -> Any:
        """What an expression gives, a promise's value too, as JSON."""
        told = self._ask(
            "script.evaluate",
            expression=f"Promise.resolve({script}).then(JSON.stringify)",
            target={"context": self._tab},
            awaitPromise=True,
        )
        assert told["type"] == "success", told
        text = told["result"].get("value")
        return None if text is None else json.loads(text)

    def wait_for(self, script: str) -> Any:
        """What an expression gives once that is something."""
        ends = time.monotonic() + PATIENCE
        while not (found := self.run(script)):
            assert time.monotonic() < ends, f"not within {PATIENCE} s: {script}"
            time.sleep(0.05)
        return found

    def drag(self, *points: tuple[float, float]) -> None:
        """Press the mouse at the first of them, move it through the others and let it go."""
        first, *rest = points
        moves = [{"type": "pointerMove", "x": round(x), "y": round(y)} for x, y in (first, *rest)]
        moves[1:1] = [{"type": "pointerDown", "button": 0}]
        self._act("pointer", [*moves, {"type": "pointerUp", "button": 0}])

    def press(self, *keys: str) -> None:
        """One after the other; a text is typed letter by letter."""
        values = [KEYS[keys[0]]] if keys[0] in KEYS else list("".join(keys))
        acts = [{"type": kind, "value": one} for one in values for kind in ("keyDown", "keyUp")]
        self._act("key", acts)

    def _act(self, kind: str, acts: list[dict[str, Any]]) -> None:
        source = {"type": kind, "id": kind, "actions": acts}
        self._ask("input.performActions", context=self._tab, actions=[source])


@contextmanager
def firefox(program: str, folder: Path) -> Iterator[Firefox]:
    port = free_port()
    process = subprocess.Popen(
        [
            program,
            "--headless",
            "--no-remote",
            "--profile",
            folder,
            f"--remote-debugging-port={port}",
        ],
        env={**os.environ, "HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=tied_to_this_process(),
    )
    try:
        with _connected(port) as socket:
            yield Firefox(socket)
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


def _connected(port: int) -> ClientConnection:
    ends = time.monotonic() + 2 * PATIENCE
    while True:
        try:
            return connect(f"ws://127.0.0.1:{port}/session", max_size=None)
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.2)
