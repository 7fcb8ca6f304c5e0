"""Drawing with mouse, finger, keys and pictures in a real Chromium."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from kinds.image.canvas_png import gray_levels
from kinds.image.pixels import STORED_SIDE
from kinds.image.tests.drawing import draw_strokes, four, ink, other_than
from tests.browser.annotating import choose, open_task, reading, submit, verdict
from tests.browser.fixtures import PHONE, Visits

pytestmark = pytest.mark.browser


def test_what_the_page_sends_is_read_the_quick_way(visit: Visits) -> None:
    """A Chromium that wrote its PNGs in another form would double what a stroke costs."""
    sent: list[str | bytes] = []
    page = visit("anna")
    page.on(
        "websocket", lambda socket: socket.on("framesent", lambda payload: sent.append(payload))
    )
    open_task(page)
    draw_strokes(page, *four())
    reading(page)
    png = base64.b64decode(json.loads(sent[-1])["input"]["png"])
    levels = gray_levels(png, STORED_SIDE)
    assert levels is not None
    with Image.open(BytesIO(png)) as image:
        np.testing.assert_array_equal(levels, np.asarray(image.convert("L")))


def test_keys_alone_are_enough(visit: Visits) -> None:
    page = visit("anna")
    open_task(page)
    canvas = page.locator("canvas")
    while not canvas.evaluate("element => element === document.activeElement"):
        page.keyboard.press("Tab")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    for key in ["Shift+ArrowDown"] * 3 + ["ArrowRight"] * 5 + ["Shift+ArrowUp"] * 2:
        page.keyboard.press(key)
    page.keyboard.press("Space")
    assert ink(page) > 0
    page.keyboard.press("ArrowRight")
    drawn = ink(page)
    page.keyboard.press("ArrowRight")
    assert ink(page) == drawn, "a lifted pen draws nothing"
    page.keyboard.press(other_than(reading(page)))
    page.keyboard.press("Enter")
    verdict(page, "You fooled it")
    page.keyboard.press("Enter")
    expect(page.locator(".verdict")).to_be_hidden()
    expect(canvas).to_be_focused()
    assert ink(page) == 0


def test_a_finger_draws_on_a_phone_and_everything_is_in_reach(visit: Visits) -> None:
    page = visit("bert", **PHONE)
    open_task(page)
    box = page.locator("canvas").bounding_box()
    assert box is not None
    finger = page.context.new_cdp_session(page)
    for stroke in four():
        for index, (x, y) in enumerate(stroke):
            point = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
            kind = "touchStart" if index == 0 else "touchMove"
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    choose(page, other_than(reading(page)))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("scrollY") == 0, "drawing does not scroll the page"
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, main a, main input, header a, summary")]
          .map((element) => element.closest("label") ?? element)
          .map((element) => [element.textContent.trim(), element.getBoundingClientRect()])
          .filter(([, box]) => box.width > 1 && (box.height < 44 || box.width < 44))
          .map(([text, box]) => `${text} ${box.width}x${box.height}`)"""
    )
    assert small == []
    submit(page)
    verdict(page, "You fooled it")


def test_a_tap_leaves_a_dot(visit: Visits) -> None:
    page = visit()
    open_task(page)
    page.locator("canvas").click()
    assert ink(page) > 0
    reading(page)


def test_undo_redo_and_clear(visit: Visits) -> None:
    page = visit()
    open_task(page)
    first, second = four()
    undo, redo = page.get_by_label("Undo"), page.get_by_label("Redo")
    expect(undo).to_be_disabled()
    draw_strokes(page, first)
    one = ink(page)
    draw_strokes(page, second)
    both = ink(page)
    undo.click()
    assert ink(page) == one
    redo.click()
    assert ink(page) == both
    page.get_by_label("Clear").click()
    assert ink(page) == 0
    expect(page.locator("[data-part=answer]")).to_have_text("–")
    page.keyboard.press("Control+z")
    assert ink(page) == both
    reading(page)


def test_a_picture_can_take_the_place_of_a_drawing(visit: Visits, tmp_path: Path) -> None:
    page = visit("anna")
    open_task(page)
    photo = np.full((300, 200), 235, dtype=np.uint8)
    photo[60:240, 90:115] = 30  # a dark one on light paper
    Image.fromarray(photo).save(tmp_path / "one.jpg", quality=85)
    page.locator("[data-part=upload]").set_input_files(tmp_path / "one.jpg")
    reading(page)
    side = page.locator("canvas").evaluate("canvas => canvas.width")
    covered = ink(page) / side**2
    assert 0.02 < covered < 0.4, "the stroke is ink, the paper is not"

    (tmp_path / "notes.txt").write_text("no picture")
    page.locator("[data-part=upload]").set_input_files(tmp_path / "notes.txt")
    expect(page.locator("[data-part=complaint]")).to_have_text("Choose a PNG or JPEG picture.")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    page.locator("[data-part=upload]").set_input_files(tmp_path / "broken.png")
    expect(page.locator("[data-part=complaint]")).to_contain_text("cannot be read")
