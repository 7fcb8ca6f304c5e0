"""Workers who come by a link: in another site's frame without its cookies, and on a phone."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page, expect

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
                self._say(here.page if self.path == "/" else "Received.")

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


@pytest.fixture(scope="module")
def cookieless(
    chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BrowserContext]:
    """A browser that blocks other sites' cookies; a script error on any of its pages fails."""
    folder = tmp_path_factory.mktemp("cookieless")
    (folder / "Default").mkdir()
    (folder / "Default/Preferences").write_text(json.dumps(NO_COOKIES))
    context = chromium.browser_type.launch_persistent_context(
        str(folder),
        executable_path=shutil.which("chromium"),  # the shell has no such setting
        args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        has_touch=True,
        reduced_motion="reduce",
    )
    complaints: list[str] = []
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    yield context
    context.close()
    assert complaints == []


def framed(page: Page, platform: Platform, address: str, width: int, height: int) -> FrameLocator:
    """A link in the frame of a platform's page that fills the screen."""
    page.set_viewport_size({"width": width, "height": height})
    platform.page = (
        '<meta name="viewport" content="width=device-width"><style>body { margin: 0 }</style>'
        f'<iframe src="{address}" style="border: 0; width: 100%; height: 98vh"></iframe>'
    )
    page.goto(platform.origin)
    return page.frame_locator("iframe")


def test_a_worker_in_another_site_s_frame_without_its_cookies_by_keys(
    server: Server, links: dict[str, str], platform: Platform, cookieless: BrowserContext
) -> None:
    said = f"assignmentId=A1&workerId=W1&hitId=H1&turkSubmitTo={platform.origin}/"
    address = f"{server.url}{links['framed']}?{said}"
    page = cookieless.new_page()
    frame = framed(page, platform, address, 1040, 1440)
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
    # Another site's page may not frame it.
    refused = cookieless.new_page()
    refused.goto(f"{server.url.replace('127.0.0.1', 'localhost')}/healthz")
    refused.set_content(f'<iframe src="{address}"></iframe>')
    refused.wait_for_timeout(500)
    assert "Welcome" not in refused.frames[-1].content()


TEN_KEYS = """() => {
    for (const _ of Array(10)) dispatchEvent(new KeyboardEvent("keydown", { key: "Shift" }));
}"""
FILLED = {
    "prolific": {
        "{{%PROLIFIC_PID%}}": "P1", "{{%STUDY_ID%}}": "S1", "{{%SESSION_ID%}}": "A1"
    },
    "connect": {
        "{{participantId}}": "P2", "{{assignmentId}}": "A2", "{{projectId}}": "J1"
    },
}  # fmt: skip


def test_each_platform_s_way_in_its_frame_on_a_phone(
    server: Server, links: dict[str, str], platform: Platform, cookieless: BrowserContext
) -> None:
    page = cookieless.new_page()
    page.route("https://app.prolific.com/**", lambda route: route.fulfill(body="Received."))
    ends = {
        "prolific": "https://app.prolific.com/submissions/complete?cc=C1",
        "connect": f"{platform.origin}/part",
        "generic": f"{platform.origin}/done?code=",
    }
    for name, end in ends.items():
        address = f"{server.url}{links[name]}"
        for placeholder, text in FILLED.get(name, {}).items():
            address = address.replace(placeholder, text)
        if name == "generic":
            address += "&pid=P3"
        frame = framed(page, platform, address, 390, 844)
        frame.get_by_role("button", name="I agree, begin").tap()
        if name == "connect":  # kept out by the check: never the address of whole completions
            for _ in range(2):
                frame.get_by_label("To sleep").check()
                frame.get_by_role("button", name="Answer").tap()
            expect(frame.get_by_text("You are paid 0.10")).to_be_visible()
        else:
            expect(frame.locator("html[data-connection=live]")).to_be_attached()
            assert page.frames[1].evaluate(TOO_WIDE_OR_SMALL) == []
            frame.locator("textarea").first.fill(f"It never snows on {name}.")
            frame.locator("input[name=label]").first.check()
            page.frames[1].evaluate(TEN_KEYS)
            with page.expect_request(lambda asked: '"burst":1' in (asked.post_data or "")):
                frame.get_by_role("button", name="Submit").tap()
            frame.get_by_role("button", name="Finish").tap()
        frame.get_by_role("link", name="Back to the platform").tap()
        page.wait_for_url(f"{end}**")
    # The same link gives what is kept, and forgets it.
    frame = framed(page, platform, address, 390, 844)
    frame.get_by_text("Your data").tap()
    with page.expect_download() as got:
        frame.get_by_role("button", name="Get my data").tap()
    assert '"kind": "example"' in got.value.path().read_text()
    frame.get_by_role("button", name="Forget me").tap()
    expect(frame.get_by_text("would be lost")).to_be_visible()
    frame = framed(page, platform, address, 390, 844)
    frame.get_by_text("Your data").tap()
    frame.get_by_label("I give up what is not paid yet").check()
    frame.get_by_role("button", name="Forget me").tap()
    expect(frame.get_by_text("You are forgotten here")).to_be_visible()


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
    owner.get_by_role("button", name="Plan and send").tap()
    expect(owner.get_by_text("1 payment planned")).to_be_visible()
    for link, line in ((".csv", "reward,1.00,USD"), ("Statement", "the visit")):
        with owner.expect_download() as got:
            owner.get_by_role("link", name=link).first.tap()
        assert line in got.value.path().read_text()
    owner.get_by_role("button", name="All of it is paid").tap()
    expect(owner.get_by_text("1 payment confirmed")).to_be_visible()
    owner.get_by_label("More places").fill("2")
    owner.get_by_role("button", name="Extend").tap()
    expect(owner.get_by_text("2 places more")).to_be_visible()
    owner.get_by_role("button", name="Pause").tap()
    expect(owner.get_by_role("button", name="Resume")).to_be_visible()
    assert owner.evaluate(TOO_WIDE_OR_SMALL) == []
