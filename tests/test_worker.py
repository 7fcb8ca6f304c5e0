"""The web process keeps its limits: frame size, headers, and how it takes leave."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from dadc_server.serve import Options, web_command
from tests.services import free_port

PROJECT = Path(__file__).resolve().parent.parent

# Answers a frame with its length and a page with the scheme and the client it believes in.
ECHO = """
import pathlib
from dadc_server.web import process

process.PATIENCE = 0.5

async def application(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            if message["text"] == "flood":
                notes = pathlib.Path(__file__).with_name("flood")
                notes.write_text("begun")
                try:
                    for _ in range(1000):
                        await send({"type": "websocket.send", "text": "x" * 65536})
                except OSError:
                    notes.write_text("cut off")
                    raise
            await send({"type": "websocket.send", "text": str(len(message["text"]))})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        seen = scope["scheme"] + " " + scope["client"][0]
        await send({"type": "http.response.body", "body": seen.encode()})
    else:
        raise ValueError(scope["type"])
"""


DIRECT = "http 127.0.0.1"


class WebProcess:
    def __init__(self, folder: Path, *, workers: int = 1, **environment: str) -> None:
        self.folder = folder
        (folder / "echo.py").write_text(ECHO)
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [
                "echo:application" if word == "dadc_server.asgi:application" else word
                for word in web_command(Options("127.0.0.1", port, folder, workers=workers))
            ]
            + ["--pythonpath", f"{PROJECT},{folder}"],
            cwd=folder,
            env=os.environ | {"DADC_DATA": str(folder)} | environment,
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                self.page()
            except OSError:
                assert self.process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return

    def page(self, **headers: str) -> tuple[str, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request("GET", "/", headers=headers)
            response = connection.getresponse()
            return response.read().decode(), response.headers
        finally:
            connection.close()

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    process = WebProcess(tmp_path_factory.mktemp("web"))
    yield process
    process.end()


def test_a_frame_as_large_as_a_request_passes(web: WebProcess) -> None:
    with connect(f"ws://{web.address}/") as client:
        client.send("x" * 4_000_000)
        assert client.recv(timeout=20) == "4000000"


def test_a_ten_megabyte_frame_closes_its_socket_with_1009(web: WebProcess) -> None:
    with connect(f"ws://{web.address}/") as client:
        # The head of a masked text frame is enough, as the server reads no further; with the body
        # on its way, the reset that follows may overtake the server's close frame.
        client.socket.sendall(struct.pack("!BBQ4s", 0x81, 0xFF, 10_000_000, b"mask"))
        with pytest.raises(ConnectionClosedError) as closed:
            client.recv(timeout=20)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    assert web.page()[0] == DIRECT, "others are still served"


def test_a_client_that_does_not_read_is_cut_off(web: WebProcess) -> None:
    host, port = web.address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        assert client.recv(9) == b"HTTP/1.1 "
        client.sendall(struct.pack("!BB4s", 0x81, 0x85, b"\0\0\0\0") + b"flood")
        notes = web.folder / "flood"
        deadline = time.monotonic() + 20
        while not notes.exists() or notes.read_text() != "cut off":
            assert time.monotonic() < deadline, "the server still waits for its reader"
            time.sleep(0.05)
    assert web.page()[0] == DIRECT, "others are still served"


def test_the_server_does_not_tell_what_it_runs(web: WebProcess) -> None:
    assert "server" not in web.page()[1]


FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}


def test_forwarded_headers_are_not_believed_without_a_proxy(web: WebProcess) -> None:
    assert web.page(**FORWARDED)[0] == DIRECT


@pytest.mark.parametrize(
    ("proxy", "seen"),
    [
        ("1", "https 192.0.2.7"),
        ("10.0.0.0/8, 127.0.0.1", "https 192.0.2.7"),
        ("198.51.100.1", DIRECT),
    ],
)
def test_forwarded_headers_are_believed_from_the_proxy_alone(
    proxy: str, seen: str, tmp_path: Path
) -> None:
    behind_proxy = WebProcess(tmp_path, DADC_PROXY=proxy)
    try:
        assert behind_proxy.page(**FORWARDED)[0] == seen
    finally:
        behind_proxy.end()


@pytest.mark.parametrize("workers", [1, 2])
def test_open_sockets_are_told_to_come_back_when_it_stops(tmp_path: Path, workers: int) -> None:
    web = WebProcess(tmp_path, workers=workers)
    with connect(f"ws://{web.address}/") as client:
        web.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosedError) as closed:
            client.recv(timeout=20)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert web.process.wait(20) == 0
