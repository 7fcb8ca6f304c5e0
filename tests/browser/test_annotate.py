"""Making something, reading and submitting in a real Chromium against a real server."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from kinds.image.tests.drawing import draw_strokes, four, ink, other_than
from tests.browser.annotating import TASK, choose, connected, open_task, reading, submit, verdict
from tests.browser.fixtures import Visits

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
    page.get_by_role("button", name="Why did it say so?").click()
    expect(page.locator(".why__map")).to_be_visible()
    expect(page.locator("[data-verdict=reasons]")).to_contain_text(f"for {read}")
    page.get_by_label("What confused it?").fill("The open top.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("[data-verdict=saved]")).to_have_text("Saved, thank you.")

    page.get_by_role("button", name="Next drawing").click()
    assert ink(page) == 0
    page.get_by_role("link", name="My work").first.click()
    expect(page.locator(".work__item")).to_have_count(1)
    expect(page.locator(".work__item")).to_contain_text("The open top.")


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
