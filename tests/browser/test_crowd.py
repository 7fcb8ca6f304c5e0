"""Workers who come by a link: in another site's frame without its cookies, and on a phone."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.fixtures import PHONE, Server, Visits, violations
from tests.browser.test_looks import TOO_WIDE_OR_SMALL

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NO_COOKIES = {"profile": {"cookie_controls_mode": 1, "block_third_party_cookies": True}}


class Platform:
    """A platform on another site than ours: a page that frames a link, and takes its form."""

    def __init__(self) -> None:
        self.page, self.got = "", {}
        here = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say(here.page)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                here.got = {"path": self.path, **parse_qs(body)}
                self._say("Received.")

            def _say(self, text: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(f"<!doctype html><title>P</title>{text}".encode())

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.server.server_address[1]}"


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    platform = Platform()
    yield platform
    platform.server.shutdown()
    platform.server.server_close()


@pytest.fixture(scope="module")
def links(server: Server, platform: Platform) -> dict[str, str]:
    found: dict[str, str] = json.loads(server.run("tests.browser.crowd_world", platform.origin))
    return found


def test_a_worker_in_another_site_s_frame_without_its_cookies_by_keys(
    server: Server, links: dict[str, str], platform: Platform, chromium: Browser, tmp_path: Path
) -> None:
    (tmp_path / "Default").mkdir()
    (tmp_path / "Default/Preferences").write_text(json.dumps(NO_COOKIES))
    said = f"assignmentId=A1&workerId=W1&hitId=H1&turkSubmitTo={platform.origin}/"
    address = f"{server.url}{links['framed']}?{said}"
    platform.page = f'<iframe src="{address}" width="1000" height="1400"></iframe>'
    context = chromium.browser_type.launch_persistent_context(
        str(tmp_path),
        executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"),
        args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        viewport={"width": 1040, "height": 1440},
    )
    complaints: list[str] = []
    page = context.pages[0]
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(platform.origin)
    frame = page.frame_locator("iframe")
    frame.get_by_role("button", name="I agree, begin").press("Enter")
    inside = page.frames[1]
    kept = "() => { document.cookie = 'x=1; SameSite=None; Secure'; return document.cookie; }"
    frame.get_by_label("To fool it").press("Space")
    assert inside.evaluate(kept) == "", "cookies are blocked here"
    frame.get_by_role("button", name="Answer").press("Enter")
    expect(frame.locator("html[data-connection=live]")).to_be_attached()
    for text in ("The sun shines.", "The moon is out."):
        frame.locator("textarea").first.fill(text)
        frame.locator("input[name=label]").first.press("Space")
        frame.get_by_role("button", name="Submit").press("Enter")
        following = frame.get_by_role("button", name="Next text")
        expect(following).to_be_visible()
        following.press("Enter")
    finish = frame.get_by_role("button", name="Finish")
    expect(finish).to_be_visible()
    finish.press("Enter")
    frame.get_by_role("button", name="Send it to the platform").press("Enter")
    expect(frame.get_by_text("Received.")).to_be_visible()
    assert platform.got["path"] == "/mturk/externalSubmit"
    assert platform.got["assignmentId"] == ["A1"]
    assert platform.got["code"]
    assert complaints == []
    # Another site's page may not frame it.
    refused = context.new_page()
    refused.goto(f"{server.url.replace('127.0.0.1', 'localhost')}/healthz")
    refused.set_content(f'<iframe src="{address}"></iframe>')
    refused.wait_for_timeout(500)
    assert "Welcome" not in refused.frames[-1].content()
    context.close()


@pytest.mark.usefixtures("platform")
def test_somebody_invited_validates_on_a_phone(visit: Visits, links: dict[str, str]) -> None:
    page = visit(**PHONE)
    page.goto(links["invited"])
    for _ in ("landing", "work"):
        assert page.evaluate(TOO_WIDE_OR_SMALL) == []
        assert violations(page) == []
        if (begin := page.get_by_role("button", name="I agree, begin")).count():
            begin.tap()
            expect(page.locator("[data-part=desk]:not([aria-busy])")).to_be_visible()
    page.locator("[data-part=choices] button").first.tap()
    expect(page.get_by_role("button", name="Finish")).to_be_visible()
    page.get_by_role("button", name="Finish").tap()
    expect(page.get_by_text("it is confirmed: thank you")).to_be_visible()
    assert page.evaluate(TOO_WIDE_OR_SMALL) == []
    assert violations(page) == []
    owner = visit("olive", **PHONE)
    for path in ("/tasks/by-link/campaigns/", "/tasks/by-link/campaigns/invited/"):
        owner.goto(path)
        for more in owner.locator("main details > summary").all():
            more.tap()
        assert owner.evaluate(TOO_WIDE_OR_SMALL) == [], path
        assert violations(owner) == [], path
