"""Writing a text with several labels and judging it, by keys alone, in a real Chromium."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.annotating import open_task, reading, verdict
from tests.browser.fixtures import PHONE, WIDE, Visits, violations
from tests.browser.judging import open_queue, over, said
from tests.browser.test_looks import TOO_WIDE_OR_SMALL

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("library")]
TASK = "/tasks/topics/"
KEYS = {"food": "1", "money": "2", "sport": "3", "travel": "4", "weather": "5"}
NONE = "none of them"


def ticked(page: Page) -> list[str]:
    boxes = page.locator("input[name=label]:checked")
    return [box.get_attribute("value") or "" for box in boxes.all()]


def test_a_set_of_labels_fools_the_model_and_two_confirm_it_by_keys(visit: Visits) -> None:
    author = visit("anna")
    open_task(author, TASK)
    author.keyboard.press("Tab")
    author.get_by_label("Your text").focus()
    author.keyboard.type("A match that was called off for snow.")
    read = reading(author)
    assert author.locator(".bars__value", has_text="%").count() == len(KEYS)
    author.keyboard.press("Control+Enter")
    expect(author.locator("[data-part=complaint]")).to_contain_text("or that none does")

    author.keyboard.press("0")  # the complaint has led to the labels
    assert ticked(author) == [""]
    for key in ("5", "3", "1", "1"):  # the last one is taken back
        author.keyboard.press(key)
    assert ticked(author) == ["sport", "weather"], "none of them goes with the first that is one"
    author.reload()
    assert reading(author) == read
    assert ticked(author) == ["sport", "weather"], "a draft keeps them"
    if read == "sport, weather":
        author.keyboard.press("2")
    label = ticked(author)
    expect(author.locator("#fooled-when")).to_contain_text("misses one of your labels")
    looks_right(author)
    author.get_by_label("Your text").press("Control+Enter")
    verdict(author, "You fooled it")
    expect(author.locator("[data-verdict=words]")).to_contain_text(
        f"It read {read}; you say {', '.join(label)}."
    )

    for name, how in (("vera", WIDE), ("wim", PHONE)):
        judge = visit(name, **how)
        open_queue(judge, "topics")
        judge.keyboard.press("Enter")
        expect(said(judge)).to_contain_text("Choose what fits first")
        judge.keyboard.press("0")
        expect(judge.get_by_role("button", name=NONE)).to_have_attribute("aria-pressed", "true")
        for one in reversed(label):
            judge.keyboard.press(KEYS[one])
        expect(judge.get_by_role("button", name=NONE)).to_have_attribute("aria-pressed", "false")
        looks_right(judge)
        judge.keyboard.press("Enter")
        expect(said(judge)).to_have_text(f"You said {', '.join(label)}.")
        expect(over(judge)).to_be_visible()

    author.goto(f"{TASK}leaderboard/")
    row = author.locator(".board--people tbody tr", has_text="anna").first
    expect(row.locator("[data-label=Verified]").first).to_have_text("1")
    author.goto("/me/work/")
    expect(author.locator(".work__item").first).to_contain_text(
        f"You say {', '.join(label)}, it read"
    )


@pytest.mark.parametrize("how", [WIDE, PHONE], ids=["wide", "phone"])
def test_none_of_them_is_an_answer_on_every_screen(visit: Visits, how: dict[str, Any]) -> None:
    page = visit(**how)
    open_task(page, TASK)
    field = page.get_by_label("Your text")
    number = how["viewport"]["width"]
    while not field.input_value() or reading(page) == NONE:
        number += 1
        field.fill(f"Number {number} is about nothing.")
    page.get_by_text(NONE).click()
    looks_right(page)
    page.get_by_role("button", name="Submit").click()
    verdict(page, "You fooled it")
    expect(page.locator("[data-verdict=words]")).to_contain_text("you say none of them")


def looks_right(page: Page) -> None:
    assert page.evaluate(TOO_WIDE_OR_SMALL) == []
    assert violations(page) == []
