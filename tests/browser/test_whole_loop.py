"""One fooling from the pen to the board, by three people in three browsers."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from kinds.image.tests.drawing import draw_strokes, four, other_than
from tests.browser.annotating import choose, connected, reading, submit, verdict
from tests.browser.fixtures import Visits
from tests.browser.judging import over, shown

# A task of its own: what waits in it is what is drawn here.
pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("queues")]
TASK = "/tasks/judge-journey/"


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
        answer_the_one_that_waits(visit(name), key=label)

    expect(row.locator("[data-label=Verified]").first).to_have_text("1", timeout=15_000)
    expect(row.locator("[data-label=Pending]")).to_have_text("0 %")
    author.goto("/me/work/")
    expect(author.locator(".work__item")).to_contain_text("confirmed")


def answer_the_one_that_waits(validator: Page, key: str) -> None:
    """As blindly as validators do."""
    validator.goto("/validate/judge-journey/")
    expect(validator.locator("[data-part=desk]:not([aria-busy])")).to_be_visible()
    shown(validator)
    validator.keyboard.press(key)
    expect(over(validator)).to_be_visible(timeout=15_000)
