"""The validator's page and the leaderboard in a real Chromium against a real server."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.fixtures import PHONE, Visits, violations
from tests.browser.judging import (
    Leases,
    count,
    eventually,
    open_queue,
    post,
    press_and_see_the_next,
    progress,
    said,
    shown,
)
from tests.browser.judging_world import SOMEBODY

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("queues")]


def test_by_keys_alone(visit: Visits) -> None:
    page = visit("vera")
    open_queue(page, "judge-keys")

    press_and_see_the_next(page, "7")
    expect(said(page)).to_have_text("You said 7.")
    press_and_see_the_next(page, "u")
    expect(said(page)).to_have_text("You could not tell.")
    press_and_see_the_next(page, "s")
    expect(said(page)).to_have_text("You skipped one.")

    page.keyboard.press("f")
    page.get_by_label("Unreadable, or nothing to see").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(said(page)).to_have_text("You flagged it.")
    expect(count(page, "today")).to_have_text("3")

    press_and_see_the_next(page, "Backspace")
    expect(said(page)).to_have_text("Taken back: here it is again.")
    expect(page.locator("[data-part=flag]")).to_have_attribute("aria-pressed", "true")
    press_and_see_the_next(page, "3")
    press_and_see_the_next(page, "4")
    page.keyboard.press("5")

    expect(page.get_by_role("heading", name="Only skipped ones are left")).to_be_visible()
    assert progress(page, "judge-keys") == {
        "votes": 5, "today": 5, "waiting": "none", "skipped": 1, "score": None,
    }  # fmt: skip
    page.get_by_role("button", name="Look at the skipped ones again").press("Enter")
    shown(page)
    page.keyboard.press("9")
    expect(page.get_by_role("heading", name="All done")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    shown(page)


def test_a_lost_lease_keeps_the_answer_on_the_screen(visit: Visits) -> None:
    page = visit("vera")
    leases = Leases(page)
    open_queue(page, "judge-lost")
    before = shown(page)
    assert post(page, f"validations/{leases.of_the_shown()}/release/") == 204

    page.keyboard.press("7")

    expect(page.locator("[data-part=lost-words]")).to_contain_text("ran out")
    assert shown(page) == before
    seven = page.locator("[data-label='7']")
    expect(seven).to_have_attribute("aria-pressed", "true")
    assert progress(page, "judge-lost")["votes"] == 0
    check_access(page)

    page.keyboard.press("Enter")  # the focus is on "Get the next item", and that is this one again
    expect(page.locator("[data-part=lost]")).to_be_hidden()
    expect(seven).to_have_attribute("aria-pressed", "true")
    press_and_see_the_next(page, "7")
    expect(said(page)).to_have_text("You said 7.")
    assert progress(page, "judge-lost")["votes"] == 1
    visit.forgive("409")


def test_when_time_runs_out_the_page_says_so(visit: Visits) -> None:
    page = visit("vera")
    page.clock.install()
    open_queue(page, "judge-late")

    page.clock.run_for(150_000)
    expect(page.locator("[data-part=time-words]")).to_contain_text("s left")
    page.clock.run_for(40_000)

    expect(page.locator("[data-part=lost-words]")).to_contain_text("Your time for this one ran out")
    page.get_by_role("button", name="Get the next item").click()
    expect(page.locator("[data-part=lost]")).to_be_hidden()


def test_an_answer_given_without_a_connection_arrives_once(visit: Visits) -> None:
    page = visit("vera")
    open_queue(page, "judge-offline")

    page.context.set_offline(True)
    before = shown(page)
    page.keyboard.press("2")
    expect(page.locator("[data-part=connection-words]")).to_contain_text("Your answer is kept")
    assert shown(page) == before
    page.keyboard.press("3")  # changes nothing: the first answer is on its way
    page.context.set_offline(False)
    expect(said(page)).to_have_text("You said 2.")
    expect(page.locator("[data-part=connection]")).to_be_hidden()
    assert progress(page, "judge-offline")["votes"] == 1

    page.context.set_offline(True)
    page.keyboard.press("5")
    expect(page.locator("[data-part=connection-words]")).to_contain_text("Your answer is kept")
    page.close()
    context = visit.contexts[-1]
    context.set_offline(False)
    page = context.new_page()
    open_queue(page, "judge-offline")
    expect(said(page)).to_have_text("You said 5.")
    assert progress(page, "judge-offline")["votes"] == 2
    visit.forgive("ERR_INTERNET_DISCONNECTED")


def test_leaving_gives_the_item_back(visit: Visits) -> None:
    page = visit("wim")
    with page.expect_response("**/next/") as first, page.expect_response("**/next/?after=*"):
        open_queue(page, "judge-leave")
    heartbeat = f"validations/{first.value.json()['lease']}/heartbeat/"
    assert post(page, heartbeat) == 200

    page.goto("/tasks/digits/")

    eventually(page, lambda: post(page, heartbeat) == 409)


def test_texts_can_be_judged(visit: Visits) -> None:
    page = visit("vera")
    open_queue(page, "judge-pairs")
    frame = page.locator("[data-part=input]")
    expect(frame).to_contain_text("It has rained since the morning.")
    expect(frame).to_contain_text("The street is wet.")
    page.keyboard.press("1")
    expect(said(page)).to_have_text("You said follows.")
    board = visit()
    board.goto("/tasks/judge-pairs/leaderboard/")
    expect(board.locator(".board--people")).to_contain_text(SOMEBODY)
    assert board.title() != "run"

    open_queue(page, "judge-topics")
    for key in ("3", "1", "3", "2"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(said(page)).to_have_text("You said food, money.")


@pytest.mark.parametrize("size", [{}, PHONE], ids=["wide", "phone"])
def test_everybody_can_use_it(visit: Visits, size: dict[str, Any]) -> None:
    page = visit("vera", **size)
    open_queue(page, "judge-phone")
    check_access(page)
    if size:
        last = page.get_by_role("button", name="Flag").bounding_box()
        assert last is not None
        assert last["y"] + last["height"] <= 844, "the desk does not fit on one screen"
    page.get_by_role("button", name="Flag").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    check_access(page)
    for path in ("/validate/", "/tasks/judge-board/leaderboard/"):
        page.goto(path)
        check_access(page)


def check_access(page: Page) -> None:
    """No serious finding of axe, nothing wider than the screen, everything big enough to press."""
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = page.evaluate(
        """() => [...document.querySelectorAll("main button, main .btn, main summary")]
            .filter((e) => e.offsetParent && e.getBoundingClientRect().height < 44)
            .map((e) => e.outerHTML)"""
    )
    assert small == []


def test_the_leaderboard_follows_without_a_reload(visit: Visits) -> None:
    board = visit()
    board.goto("/tasks/judge-board/leaderboard/")
    board.evaluate("window.unchanged = true")
    row = board.locator(".board--people tbody tr", has_text="anna").first
    expect(row.locator("[data-label=Pending]")).to_have_text("100 %")
    board.locator(".legend summary").focus()
    report = visit()
    report.goto("/tasks/judge-board/rounds/1/")
    report.evaluate("window.unchanged = true")
    numbers = report.locator("#numbers-funnel")
    numbers.locator("summary").click()
    decided = numbers.locator("tr", has_text="decided").locator("td")
    expect(decided).to_have_text("0")

    for name in ("vera", "wim"):
        page = visit(name)
        open_queue(page, "judge-board")
        page.keyboard.press("3")
        expect(said(page)).to_have_text("You said 3.")

    expect(row.locator("[data-label=Pending]")).to_have_text("0 %", timeout=15_000)
    assert board.evaluate("window.unchanged")
    assert board.evaluate("document.activeElement.tagName") == "SUMMARY"
    expect(decided).to_have_text("1", timeout=25_000)
    expect(decided).to_be_visible()
    assert report.evaluate("window.unchanged && document.activeElement.id") == "numbers-funnel-open"
