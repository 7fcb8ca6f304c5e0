"""Validating at the speed of a game: what is there before it is asked for, and what it costs."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.fixtures import Visits
from tests.browser.judging import (
    BOUNCE_MS,
    Leases,
    count,
    eventually,
    open_queue,
    over,
    post,
    press_and_see_the_next,
    progress,
    said,
    shown,
)

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("queues")]


def open_with_the_next_ready(page: Page, slug: str) -> None:
    with page.expect_response("**/next/?after=*"):
        open_queue(page, slug)
    page.wait_for_load_state("networkidle")  # its answer is read, and its picture there


def test_thirty_items_by_keys_alone(visit: Visits) -> None:
    """26 examples and 4 that are gold: flags, a skip, an undo, a lost lease, and the end."""
    page = visit("wim")
    leases = Leases(page)
    open_queue(page, "judge-thirty")
    for place in range(30):
        if place == 5:
            page.keyboard.press("f")
            page.keyboard.press("Space")  # the first reason, which has the focus
            page.keyboard.press("Enter")
            expect(said(page)).to_have_text("You flagged it.")
        elif place == 8:
            press_and_see_the_next(page, "s")
            expect(said(page)).to_have_text("You skipped one.")
        elif place == 12:
            before = shown(page)
            press_and_see_the_next(page, "1")
            expect(count(page, "today")).to_have_text("12")
            press_and_see_the_next(page, "z")
            expect(said(page)).to_have_text("Taken back: here it is again.")
            assert shown(page) == before
            expect(page.locator("[data-label='1']")).to_have_attribute("aria-pressed", "true")
            page.wait_for_timeout(BOUNCE_MS)
            press_and_see_the_next(page, "2")
        elif place == 20:
            assert post(page, f"validations/{leases.of_the_shown()}/release/") == 204
            page.keyboard.press("9")
            expect(page.locator("[data-part=lost-words]")).to_contain_text("ran out")
            expect(page.locator("[data-label='9']")).to_have_attribute("aria-pressed", "true")
            page.keyboard.press("Enter")
            expect(page.locator("[data-part=lost]")).to_be_hidden()
            page.wait_for_timeout(BOUNCE_MS)
            press_and_see_the_next(page, "9")
        else:
            press_and_see_the_next(page, "3456"[place % 4])
    expect(over(page)).to_have_text("Only skipped ones are left")
    expect(count(page, "visit")).to_have_text("29")
    counts = progress(page, "judge-thirty")
    assert (counts["votes"], counts["waiting"], counts["skipped"]) == (29, "none", 1)
    visit.forgive("409")


def test_an_answer_shows_the_next_item_in_the_same_frame(visit: Visits) -> None:
    page = visit("vera")
    open_with_the_next_ready(page, "judge-frame")
    before, after, ready = page.evaluate(
        """() => {
          const frame = document.querySelector("[data-part=input]");
          const before = frame.innerHTML;
          document.dispatchEvent(new KeyboardEvent("keydown", { key: "3", bubbles: true }));
          return [before, frame.innerHTML, frame.querySelector("img").complete];
        }"""
    )
    assert before != after
    assert ready
    expect(said(page)).to_have_text("You said 3.")
    calls: list[str] = []
    page.on("request", lambda request: calls.append(request.url.split("/")[-2]))
    page.wait_for_timeout(BOUNCE_MS)
    page.evaluate(
        """() => {
          const press = () => document.dispatchEvent(
            new KeyboardEvent("keydown", { key: "4", bubbles: true }));
          press();
          press();  // bounced: nobody has looked at this one yet
        }"""
    )
    expect(said(page)).to_have_text("You said 4.")
    assert calls == ["vote"], "one request an answer, which brings the item after next"
    page.wait_for_timeout(BOUNCE_MS)
    assert progress(page, "judge-frame")["votes"] == 2


def test_an_answer_that_has_to_wait_brings_its_item_back(visit: Visits) -> None:
    page = visit("vera")
    open_with_the_next_ready(page, "judge-busy")
    refused: list[str] = []

    def too_many(route: Route) -> None:
        if refused:
            route.continue_()
            return
        refused.append(route.request.url)
        error = {"code": "too_many_requests", "message": "Slower.", "retry_ms": 8000}
        route.fulfill(status=429, json={"error": error})

    page.route("**/vote/**", too_many)
    before = shown(page)
    page.keyboard.press("6")

    words = page.locator("[data-part=connection-words]")
    expect(words).to_have_text(
        "The server asks for a moment. Your answer is kept and sent when it has one."
    )
    assert shown(page) == before
    expect(page.locator("[data-label='6']")).to_have_attribute("aria-pressed", "true")
    expect(said(page)).to_have_text("You said 6.")
    expect(words).to_be_hidden(timeout=30_000)
    assert shown(page) != before
    assert progress(page, "judge-busy")["votes"] == 1
    visit.forgive("429")


def test_two_answers_may_be_on_their_way_and_the_second_be_taken_back(visit: Visits) -> None:
    page = visit("vera")
    open_with_the_next_ready(page, "judge-slow")
    voted: list[Route] = []

    def hold_the_first(route: Route) -> None:
        voted.append(route)
        if len(voted) > 1:
            route.continue_()

    page.route("**/vote/**", hold_the_first)
    press_and_see_the_next(page, "1")
    second = shown(page)
    page.keyboard.press("2")
    two, three = (page.locator(f"[data-label='{label}']") for label in "23")
    expect(two).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("3")  # it has an answer already
    expect(three).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("z")
    expect(said(page)).to_have_text("Taken back: here it is again.")
    page.keyboard.press("3")
    expect(three).to_have_attribute("aria-pressed", "true")
    assert shown(page) == second

    assert len(voted) == 1, "one after another"
    voted[0].continue_()
    expect(said(page)).to_have_text("You said 3.")
    assert shown(page) != second
    assert progress(page, "judge-slow")["votes"] == 2


def test_a_rest_is_offered_where_the_content_may_upset(visit: Visits) -> None:
    page = visit("vera")
    page.clock.install()
    with page.expect_response("**/next/") as first:
        open_with_the_next_ready(page, "judge-warned")
    heartbeat = f"validations/{first.value.json()['lease']}/heartbeat/"
    expect(page.get_by_text("Some of these drawings are rude.")).to_be_visible()
    reminder = page.get_by_text("You have looked at this for 20 minutes.")
    for _ in range(19):
        page.keyboard.press("Shift")
        page.clock.run_for(60_000)
    expect(reminder).to_be_hidden()
    page.keyboard.press("Shift")
    page.clock.run_for(61_000)
    expect(reminder).to_be_visible()

    page.get_by_role("button", name="Take a break").last.click()
    expect(page.get_by_role("heading", name="Take your time")).to_be_visible()
    expect(page.locator("[data-part=judged]")).to_be_hidden()
    eventually(page, lambda: post(page, heartbeat) == 409)  # given back
    page.keyboard.press("Enter")
    shown(page)


def test_without_a_second_lease_each_answer_brings_the_next(visit: Visits) -> None:
    page = visit("vera")
    page.route("**/next/?after=*", lambda route: route.fulfill(status=204))
    page.route("**/vote/", _forget_what_follows)
    open_queue(page, "judge-alone")
    for key in "123":
        press_and_see_the_next(page, key)
    expect(over(page)).to_have_text("All done")
    assert progress(page, "judge-alone")["votes"] == 3


def _forget_what_follows(route: Route) -> None:
    route.continue_(url=route.request.url.split("?")[0])


def test_time_is_asked_for_while_somebody_works(visit: Visits) -> None:
    page = visit("vera")
    page.clock.install()
    open_with_the_next_ready(page, "judge-work")
    asked: list[str] = []
    page.on(
        "request",
        lambda request: asked.append(request.url) if "/heartbeat/" in request.url else None,
    )
    page.clock.run_for(25_000)
    assert asked == []
    page.mouse.move(200, 300)
    with page.expect_response("**/heartbeat/") as kept:
        page.clock.run_for(10_000)
    assert kept.value.status == 200
    page.clock.run_for(5_000)
    eventually(page, lambda: len(set(asked)) == 2)  # the item on the screen and the one after it


def test_the_first_items_tell_at_once_whether_they_were_right(visit: Visits) -> None:
    page = visit("vera")
    open_queue(page, "judge-test")
    told = page.locator("[data-part=feedback-title]")
    counted = page.locator("[data-part=training-count]")
    expect(counted).to_have_text("0 of 3 test items, 0 right, 2 needed")
    expect(page.locator("[data-part=undo]")).to_be_hidden()

    press_and_see_the_next(page, "4")
    expect(told).to_have_text("Right: 4")
    expect(counted).to_have_text("1 of 3 test items, 1 right, 2 needed")

    before = shown(page)
    page.keyboard.press("7")
    expect(told).to_have_text("It is 4")
    assert shown(page) == before
    page.keyboard.press("4")  # too late: it has been answered
    page.keyboard.press("Enter")
    expect(page.locator("[data-part=read-on]")).to_be_hidden()
    assert shown(page) != before

    page.keyboard.press("4")
    expect(page.locator("[data-part=feedback-words]")).to_contain_text(
        "You answered 2 of 3 as expected, so you are in."
    )
    page.keyboard.press("Enter")
    expect(page.locator("[data-part=training]")).to_be_hidden()
    page.wait_for_timeout(BOUNCE_MS)
    press_and_see_the_next(page, "4")
    expect(said(page)).to_have_text("You said 4.")
    expect(page.locator("[data-part=undo]")).to_be_visible()


def test_the_guidelines_are_one_key_away(visit: Visits) -> None:
    page = visit("wim")
    open_queue(page, "judge-phone")
    guidelines = page.get_by_role("dialog", name="How to judge")
    for key in ("g", "?"):
        page.keyboard.press(key)
        expect(guidelines).to_be_visible()
        page.keyboard.press("3")  # answers nothing
        page.keyboard.press(key)
        expect(guidelines).to_be_hidden()
    assert progress(page, "judge-phone")["votes"] == 0
