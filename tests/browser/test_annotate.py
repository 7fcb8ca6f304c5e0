"""Drawing, reading and submitting in a real Chromium against a real server."""

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
from tests.browser.conftest import PHONE, Visits
from tests.browser.drawing import (
    TASK,
    choose,
    connected,
    draw_strokes,
    four,
    ink,
    open_task,
    other_than,
    reading,
    submit,
    verdict,
)

pytestmark = pytest.mark.browser


def test_a_new_person_signs_up_draws_and_fools_the_model(visit: Visits) -> None:
    page = visit()
    page.goto(TASK)
    page.get_by_role("link", name="Sign up to take part").click()
    page.locator("input[name=username]").fill("nora")
    for name in ("password1", "password2"):
        page.locator(f"input[name={name}]").fill("a long enough secret")
    page.get_by_role("button", name="Sign up").click()
    page.wait_for_url(f"**{TASK}")
    connected(page)
    assert page.get_by_text("Sandbox").count() == 0

    first, second = four()
    draw_strokes(page, first)
    reading(page)
    before = page.locator(".bars").inner_text()
    draw_strokes(page, second)
    expect(page.locator(".bars")).not_to_have_text(before, use_inner_text=True)

    read = reading(page)
    choose(page, other_than(read))
    submit(page)
    verdict(page, "You fooled it")
    expect(page.locator("[data-verdict=words]")).to_contain_text(f"It read {read} at")
    expect(page.locator("[data-session=fooled]")).to_have_text("1")
    page.get_by_label("What confused it?").fill("The open top.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("[data-verdict=saved]")).to_have_text("Saved, thank you.")

    page.get_by_role("button", name="Next drawing").click()
    assert ink(page) == 0
    page.get_by_role("link", name="My work").first.click()
    expect(page.locator(".work__item")).to_have_count(1)
    expect(page.locator(".work__item")).to_contain_text("The open top.")


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


def test_what_the_model_read_right_can_be_bent_further(visit: Visits) -> None:
    page = visit("anna")
    open_task(page)
    draw_strokes(page, *four())
    choose(page, reading(page))
    submit(page)
    verdict(page, "It read")
    page.get_by_role("button", name="Bend it further").click()
    before = ink(page)
    draw_strokes(page, [(0.2, 0.9), (0.8, 0.9)])
    assert ink(page) > before
    submit(page)
    expect(page.locator(".verdict")).to_be_visible()


def test_a_guest_gets_the_same_page_and_counts_nowhere(visit: Visits) -> None:
    page = visit()
    open_task(page)
    expect(page.get_by_text("Sandbox: not counted.")).to_be_visible()
    draw_strokes(page, *four())
    choose(page, other_than(reading(page)))
    submit(page)
    verdict(page, "You fooled it")
    expect(page.locator("[data-verdict=words]")).to_contain_text("With an account")


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


def test_nothing_is_sent_without_a_drawing_or_a_label(visit: Visits) -> None:
    page = visit()
    open_task(page)
    submit(page)
    complaint = page.locator("[data-part=complaint]")
    expect(complaint).to_have_text("Draw something first.")
    draw_strokes(page, *four())
    submit(page)
    expect(complaint).to_contain_text("Say which one it is")
    expect(page.locator(".verdict")).to_be_hidden()


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
