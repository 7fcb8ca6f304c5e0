"""A real server in a process of its own and a real Chromium that visits it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from dadc_server.serve import tied_to_this_process
from tests import migrated
from tests.services import free_port

PROJECT = Path(__file__).resolve().parents[2]
PEOPLE = {
    "anna": "annotator",
    "bert": "annotator",
    "vera": "validator",
    "wim": "validator",
    "olive": "owner",
}
WIDE: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}

expect.set_options(timeout=30_000)  # a busy machine may take its time


@dataclass
class Server:
    """One web process on a free port with its own data folder; it can be stopped and started."""

    data: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    programs: subprocess.Popen[str] | None = None
    sessions: dict[str, str] = field(default_factory=dict)  # of people who are signed in already

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        others = ("DATABASE_URL", "REDIS_URL", "DADC_", "DJANGO_SETTINGS_MODULE")
        own = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        return {
            **own,
            "DADC_DATA": str(self.data),
            # A page whose clock runs twenty minutes in a second sends their heartbeats in one.
            "DADC_LIMITS": "write=300/60",
            "DADC_BOARD_SECONDS": "0",
            "DADC_CHAT_MODEL": str(self.data / "chat-model.yaml"),
            "DJANGO_SETTINGS_MODULE": "dadc_server.settings",
            "OMP_NUM_THREADS": "1",
        }

    def run(self, module: str, *arguments: str) -> bytes:
        """What a program prints that works on this server's data (tests/browser/programs.py)."""
        if self.programs is None:
            self.programs = subprocess.Popen(
                [sys.executable, "-m", "tests.browser.programs"],
                cwd=PROJECT,
                env=self.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                preexec_fn=tied_to_this_process(),
            )
        assert self.programs.stdin
        assert self.programs.stdout
        printed = self.data / "printed"
        self.programs.stdin.write(f"{json.dumps([module, *arguments, str(printed)])}\n")
        self.programs.stdin.flush()
        status = self.programs.stdout.readline()
        if status != "0\n":
            raise subprocess.CalledProcessError(int(status or 1), [module, *arguments])
        return printed.read_bytes()

    def start(self) -> None:
        log = (self.data / "server.log").open("ab")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", "dadc_server.asgi:application"),
                *("--host", "127.0.0.1", "--port", str(self.port), "--log-level", "warning"),
            ],
            cwd=PROJECT,
            env=self.environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=tied_to_this_process(),
        )
        log.close()
        for _ in range(1_200):  # a busy machine may take its time
            try:
                urllib.request.urlopen(f"{self.url}/healthz", timeout=5).close()
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
            else:
                return
        raise RuntimeError((self.data / "server.log").read_text())

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=30)
            self.process = None


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The digits task open; the tests share it, so none stands on what others have counted."""
    server = Server(tmp_path_factory.mktemp("server"), free_port())
    migrated.instance(server.data)
    people = (f"{name}={role}" for name, role in PEOPLE.items())
    server.sessions = json.loads(server.run("tests.browser.world", "begin", *people))
    server.start()
    yield server
    server.stop()
    if server.programs is not None:
        server.programs.communicate()


# Once a server, not once a module: stolen work brings a worker back to a module it has left.
@pytest.fixture(scope="session")
def queues(server: Server) -> None:
    """A queue for each test of validation, by tests/browser/judging_world.py."""
    server.run("tests.browser.judging_world")


@pytest.fixture(scope="session")
def cases(server: Server) -> None:
    """An inbox for each test of adjudication, by tests/browser/inbox_world.py."""
    server.run("tests.browser.inbox_world")


@pytest.fixture(scope="session")
def library(server: Server) -> None:
    """Every task of the library with its first model, as on a fresh server; chats are said back."""
    (server.data / "chat-model.yaml").write_text("backend: null")
    server.run("manage", "bootstrap")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    known = ("chromium-headless-shell", "chromium", "google-chrome")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, known)), None)
    if not program:
        pytest.skip("no Chromium here: install it, or name it in CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        yield browser
        browser.close()


@dataclass
class Visits:
    """Opens browsers for people, and remembers what their pages complained about."""

    chromium: Browser
    server: Server
    contexts: list[BrowserContext] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __call__(self, name: str | None = None, **options: Any) -> Page:
        """A page of a fresh browser, signed in as `name` if one is given."""
        context = self.chromium.new_context(
            base_url=self.server.url, reduced_motion="reduce", **{**WIDE, **options}
        )
        self.contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                self.complaints.append(f"{message.text} {message.location.get('url')}")
                if message.type == "error"
                else None
            ),
        )
        if name is not None:
            session = self.server.sessions[name]
            context.add_cookies([{"name": "sessionid", "value": session, "url": self.server.url}])
        return page

    def forgive(self, words: str) -> None:
        """Drop complaints with these words: what was broken on purpose."""
        self.complaints[:] = [complaint for complaint in self.complaints if words not in complaint]


@pytest.fixture
def visit(chromium: Browser, server: Server) -> Iterator[Visits]:
    """Opens pages; a script error or a broken policy on any of them fails the test."""
    visits = Visits(chromium, server)
    yield visits
    for context in visits.contexts:
        context.close()
    assert not visits.complaints


# Links of the admin site change their colour in .15 s; what turns for ever is not waited for.
COLOURS_AT_REST = """() => Promise.race([
    Promise.allSettled(document.getAnimations().map((one) => one.finished)),
    new Promise((done) => setTimeout(done, 1000)),
])"""
ABOUT_COLOURS = ["color-contrast", "link-in-text-block"]


def violations(page: Page) -> list[tuple[str, str, list[str]]]:
    """What axe finds serious, under the light theme and the dark one, which has other colours."""
    found = []
    page.evaluate(Axe().axe_script)
    for scheme, rules in (("light", {}), ("dark", {"runOnly": ABOUT_COLOURS})):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        page.evaluate(COLOURS_AT_REST)
        options = {"resultTypes": ["violations"], **rules}
        told = page.evaluate("(options) => axe.run(options)", options)["violations"]
        found += [
            (scheme, rule["id"], [node["html"] for node in rule["nodes"]])
            for rule in told
            if rule["impact"] in ("serious", "critical")
        ]
    return found


def look(page: Page, name: str, *, as_before: bool = False) -> None:
    """Nothing stands in anybody's way, unless the page is `as_before`; with DADC_SHOTS a folder,
    pictures to be looked at."""
    if folder := os.environ.get("DADC_SHOTS"):
        for size, view in (("wide", {"width": 1280, "height": 860}), ("phone", PHONE["viewport"])):
            page.set_viewport_size(view)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                page.wait_for_timeout(200)
                page.screenshot(path=Path(folder) / f"{name}-{size}-{scheme}.png", full_page=True)
        page.set_viewport_size({"width": 1280, "height": 860})
    if not as_before:
        assert violations(page) == [], name
