"""Each task of the library: made, fooled, confirmed by two, on the board; by keys alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from dadc_server.bootstrap import LIBRARY
from kinds.image.tests.drawing import ink, other_than
from tests.browser.annotating import connected, reading, verdict
from tests.browser.fixtures import PHONE, Server, Visits, violations
from tests.browser.judging import over, shown
from tests.browser.test_looks import TOO_WIDE_OR_SMALL

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("library")]
WORDS = "They never came, which nobody had expected."


def test_none_of_the_library_is_left_out() -> None:
    elsewhere = {"topics"}  # by kinds/text_multilabel/tests/test_page.py
    assert {path.stem for path in LIBRARY.glob("*.yaml")} == WALKS.keys() | elsewhere


def reach(page: Page, there: Locator) -> None:
    """As somebody does who has no mouse."""
    expect(there).to_be_visible()
    for _ in range(60):
        if there.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"No key leads to {there}.")


def draw(page: Page) -> str:
    """A stroke down and one across, and the key of what the model does not read."""
    reach(page, page.locator("canvas"))
    page.keyboard.press("Space")
    for key in ["Shift+ArrowDown"] * 4 + ["Shift+ArrowRight"] * 2:
        page.keyboard.press(key)
    page.keyboard.press("Space")
    assert ink(page) > 0
    return other_than(reading(page))


def write(label: str, **keys: str) -> Callable[[Page], str]:
    """A text, and the key of what the model does not read in it."""

    def act(page: Page) -> str:
        reach(page, page.get_by_label(label))
        page.keyboard.type(WORDS)
        read = reading(page)
        page.keyboard.press("Tab")
        return next(key for name, key in keys.items() if name.replace("_", " ") != read)

    return act


def ask(page: Page) -> str:
    """A question, and the key that marks a word of which the model's answer has nothing."""
    reach(page, page.get_by_label("Your question"))
    page.keyboard.type(WORDS)
    read = reading(page)
    passage = page.get_by_role("textbox", name="Mark the answer")
    first = (passage.text_content() or "").split()[0]
    reach(page, passage)
    return "End" if first in read else "Home"


def talk(page: Page) -> str:
    reach(page, page.get_by_label("What you say"))
    page.keyboard.type(WORDS)
    page.keyboard.press("Enter")
    expect(page.locator(".talk__turn--assistant:not([aria-busy]) p")).to_contain_text(WORDS)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    return "h"


WALKS: dict[str, Callable[[Page], str]] = {
    "digits": draw,
    "sentiment": write("Your text", negative="n", positive="p"),
    "hate-speech": write("Your text", hateful="h", not_hateful="n"),
    "nli": write("Your hypothesis", follows="e", neither="n", conflicts="c"),
    "qa": ask,
    "chat": talk,
}


@pytest.mark.parametrize("slug", WALKS)
def test_from_an_empty_page_to_the_board(visit: Visits, server: Server, slug: str) -> None:
    nothing_waits(server, slug)
    author = visit("anna")
    author.goto(f"/tasks/{slug}/")
    begin(author)
    connected(author)
    key = WALKS[slug](author)
    author.keyboard.press(key)
    looks_right(author)
    author.keyboard.press("Enter" if slug == "digits" else "Control+Enter")
    verdict(author, "You fooled it")

    for name, how in (("vera", {}), ("wim", {**PHONE, "color_scheme": "dark"})):
        judge = visit(name, **how)
        judge.goto(f"/validate/{slug}/")
        begin(judge)
        shown(judge)
        if slug == "qa":
            reach(judge, judge.get_by_role("textbox", name="Mark the answer"))
        if how:
            looks_right(judge)
        judge.keyboard.press(key)
        if slug == "qa":
            judge.keyboard.press("Enter")
        expect(over(judge)).to_be_visible()

    author.goto(f"/tasks/{slug}/leaderboard/")
    row = author.locator(".board--people tbody tr", has_text="anna").first
    expect(row.locator("[data-label=Verified]").first).to_have_text("1")


def begin(page: Page) -> None:
    """Past what warns of a task's content, where something does."""
    button = page.get_by_role("button", name="Begin")
    if button.count():
        reach(page, button)
        page.keyboard.press("Enter")


def nothing_waits(server: Server, slug: str) -> None:
    """What other tests have sent is not this one's to judge."""
    with sqlite3.connect(server.data / "db.sqlite3", timeout=60) as database:
        database.execute(
            """DELETE FROM validate_queueitem WHERE example_id IN (
                SELECT e.id FROM annotate_example e JOIN annotate_task t ON t.id = e.task_id
                WHERE t.slug = ?)""",
            (slug,),
        )
    database.close()


def looks_right(page: Page) -> None:
    assert page.evaluate(TOO_WIDE_OR_SMALL) == []
    assert violations(page) == []
