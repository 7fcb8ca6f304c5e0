"""One fooling from the pen to the board, by three people in three browsers."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visits
from tests.browser.drawing import (
    TASK,
    choose,
    connected,
    draw_strokes,
    four,
    other_than,
    reading,
    submit,
    verdict,
)

pytestmark = pytest.mark.browser


def test_a_fooling_is_drawn_confirmed_by_two_and_shown_as_verified(visit: Visits) -> None:
    author = visit()
    author.goto(TASK)
    author.get_by_role("link", name="Sign up to take part").click()
    author.locator("input[name=username]").fill("zoe")
    for name in ("password1", "password2"):
        author.locator(f"input[name={name}]").fill("a long enough secret")
    author.get_by_role("button", name="Sign up").click()
    connected(author)
    draw_strokes(author, *four())
    label = other_than(reading(author))
    choose(author, label)
    submit(author)
    verdict(author, "You fooled it")

    board = visit()
    board.goto(f"{TASK}leaderboard/")
    row = board.locator(".board--people tbody tr", has_text="zoe").first
    expect(row.locator("[data-label=Verified]").first).to_have_text("0")

    for name in ("vera", "wim"):
        answer_all_that_waits(visit(name), key=label)

    expect(row.locator("[data-label=Verified]").first).to_have_text("1", timeout=15_000)
    expect(row.locator("[data-label=Pending]")).to_have_text("0 %")
    author.goto("/me/work/")
    expect(author.locator(".work__item")).to_contain_text("confirmed")


def answer_all_that_waits(validator: Page, key: str) -> None:
    """Give one answer to everything: blind, nobody can tell whose drawing it is."""
    validator.goto("/validate/digits/")
    nothing_left = validator.locator("[data-part=empty]")
    counted = validator.locator("[data-progress=today]")
    answered = ""
    for _ in range(60):
        # Two people may send in the same picture: the count tells that the next item is there.
        validator.wait_for_function(
            """answered => {
              const find = (selector) => document.querySelector(selector);
              const busy = find("[data-part=desk]").getAttribute("aria-busy") === "true";
              const counted = find("[data-progress=today]").innerText;
              return !find("[data-part=empty]").hidden || (!busy && counted !== answered);
            }""",
            arg=answered,
        )
        if nothing_left.is_visible():
            return
        answered = counted.inner_text()
        validator.keyboard.press(key)
    raise AssertionError("The queue does not end.")
