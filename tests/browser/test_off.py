"""Something between page and server is off, and the page's own ways round it."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from kinds.image.pixels import decode
from kinds.image.tests.drawing import draw_strokes, four, other_than
from tests.browser.annotating import TASK, choose, connected, reading, submit, verdict
from tests.browser.fixtures import Visits
from tests.cast import PASSWORD

pytestmark = pytest.mark.browser

# What a proxy makes of a websocket that answers the handshake with nothing at all.
SWALLOWED = """
window.WebSocket = class extends EventTarget {
  readyState = 0;
  send() { throw new DOMException("It is not open.", "InvalidStateError"); }
  close() {}
};
"""


def test_a_handshake_that_never_ends_is_given_up(visit: Visits) -> None:
    page = visit("anna")
    page.add_init_script(SWALLOWED)
    page.goto(TASK)
    draw_strokes(page, *four())
    connected(page, "rest")
    choose(page, other_than(reading(page)))
    submit(page)
    verdict(page, "You fooled it")


def sign_in(page: Page, name: str) -> None:
    page.goto("/accounts/login/")
    page.locator("input[name=login]").fill(name)
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("main form button[type=submit]").first.click()
    page.get_by_label(f"Account of {name}").wait_for()


def sign_out_and_in(page: Page, name: str) -> None:
    """In another tab of the same browser."""
    other = page.context.new_page()
    other.goto("/accounts/logout/")
    other.locator("main form button[type=submit]").first.click()
    other.wait_for_url("/")
    sign_in(other, name)
    other.close()


def test_an_answer_survives_another_tabs_signing_in(visit: Visits) -> None:
    page = visit()
    sign_in(page, "bert")
    page.add_init_script(SWALLOWED)  # over REST every call carries the token
    page.goto(TASK)
    connected(page, "rest")
    draw_strokes(page, *four())
    choose(page, other_than(reading(page)))

    sign_out_and_in(page, "bert")
    submit(page)
    verdict(page, "You fooled it")

    page.keyboard.press("Enter")
    expect(page.locator(".verdict")).to_be_hidden()
    draw_strokes(page, *four())
    choose(page, other_than(reading(page)))
    sign_out_and_in(page, "wim")
    submit(page)
    expect(page.locator(".verdict")).to_contain_text("reload the page")
    visit.forgive("403")


def _scan(frame: int) -> Image.Image:
    scan = np.full((240, 200), 235, dtype=np.uint8)
    scan[:frame] = scan[:, :frame] = 0
    if frame:
        scan[-frame:] = scan[:, -frame:] = 0
    scan[60:70, 70:130] = scan[70:180, 118:130] = 20
    return Image.fromarray(scan)


def _on_clear(lightness: int) -> Image.Image:
    ink = 255 - np.asarray(_scan(0))
    alpha = np.where(ink > 100, 255, 0).astype(np.uint8)
    return Image.merge("LA", (Image.new("L", (200, 240), lightness), Image.fromarray(alpha)))


PICTURES = {
    "a scan": _scan(0),
    "a framed scan": _scan(1),
    "light on nothing": _on_clear(255),
    "dark on nothing": _on_clear(0),
}


def test_page_and_server_read_a_picture_alike(visit: Visits, tmp_path: Path) -> None:
    page = visit("anna")
    page.add_init_script(SWALLOWED)
    page.goto(TASK)
    connected(page, "rest")
    for name, picture in PICTURES.items():
        picture.save(tmp_path / "seven.png")
        with page.expect_request("**/predictions/") as asked:
            page.locator("[data-part=upload]").set_input_files(tmp_path / "seven.png")
        reading(page)
        sent = json.loads(asked.value.post_data or "{}")["input"]

        stream = BytesIO()
        picture.save(stream, "PNG")
        as_it_is = decode({"png": base64.b64encode(stream.getvalue()).decode()})
        assert np.abs(decode(sent) - as_it_is).mean() < 0.03, name
