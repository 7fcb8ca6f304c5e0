"""The owner's inbox and the page on agreement in a real Chromium against a real server."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.fixtures import PHONE, WIDE, Visits, violations

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("cases")]


def cases(page: Page) -> Locator:
    return page.locator("[data-case]")


def current(page: Page) -> str:
    return page.locator("[data-case][aria-current]").get_attribute("data-case") or ""


def open_inbox(page: Page, slug: str) -> None:
    page.goto(f"/tasks/{slug}/inbox/")
    expect(page.locator("[data-case][aria-current]")).to_be_visible()


def test_by_keys_alone(visit: Visits) -> None:
    page = visit("olive")
    open_inbox(page, "inbox-keys")
    first = current(page)
    toast = page.locator("#toasts")

    page.keyboard.press("v")
    expect(toast).to_contain_text("Say why first")
    expect(cases(page)).to_have_count(4)
    page.keyboard.type("Clearly what anna says")  # the field has the focus
    page.keyboard.press("Enter")
    page.keyboard.press("v")
    expect(toast).to_contain_text("Verified.")
    expect(cases(page)).to_have_count(3)
    assert current(page) != first

    page.keyboard.press("s")
    skipped = current(page)
    page.keyboard.press("3")
    expect(toast).to_contain_text("Relabelled as 3.")
    expect(cases(page)).to_have_count(2)
    page.keyboard.press("u")
    expect(toast).to_contain_text("Taken back.")
    expect(cases(page)).to_have_count(3)
    assert current(page) == skipped
    page.keyboard.press("u")
    expect(cases(page)).to_have_count(4)
    assert current(page) == first

    for key, left in (("r", 3), ("h", 2), ("v", 1), ("5", 0)):
        page.keyboard.press(key)
        expect(cases(page)).to_have_count(left)
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    page.keyboard.press("u")
    expect(cases(page)).to_have_count(1)

    page.reload()
    expect(cases(page)).to_have_count(1)
    expect(page.get_by_label("Why?")).to_have_value("Clearly what anna says")


def test_several_at_once_and_back(visit: Visits) -> None:
    page = visit("olive")
    open_inbox(page, "inbox-bulk")
    page.get_by_label("Why?").fill("A scribble")
    page.get_by_label("Why?").press("Enter")
    page.keyboard.press("a")
    expect(page.locator("[data-part=scope]")).to_have_text(
        "Your decision is for the 3 that you chose."
    )
    page.get_by_role("button", name="Hide").click()
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    page.locator("#toasts").get_by_role("button", name="Undo").click()
    expect(cases(page)).to_have_count(3)


@pytest.mark.parametrize("screen", [WIDE, PHONE], ids=["wide", "phone"])
def test_no_serious_barrier(visit: Visits, screen: dict[str, Any]) -> None:
    page = visit("olive", **screen)
    open_inbox(page, "inbox-looks")
    expect(page.locator(".alike").first).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= screen["viewport"]["width"]
    page.goto("/tasks/inbox-looks/agreement/")
    expect(page.get_by_role("heading", name="Agreement", exact=True)).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= screen["viewport"]["width"]
