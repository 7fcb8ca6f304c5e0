"""Themes, weight, and what stands in the way of people who do not see or point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from kinds.image.tests.drawing import draw_strokes, four, other_than
from tests.browser.annotating import choose, open_task, reading, submit, verdict
from tests.browser.fixtures import PHONE, Visits

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_theme_is_remembered(visit: Visits) -> None:
    page = visit(color_scheme="light")
    page.goto("/")
    page.get_by_label("Switch to the dark theme").click()
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.get_by_label("Switch to the light theme").wait_for()


def violations(page: Page) -> list[dict[str, Any]]:
    found = Axe().run(page).response["violations"]
    return [
        {"rule": rule["id"], "where": [node["html"] for node in rule["nodes"]]}
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]


def at_home(page: Page) -> None:
    page.goto("/")


def with_a_drawing(page: Page) -> None:
    open_task(page)
    draw_strokes(page, *four())
    choose(page, other_than(reading(page)))


def with_a_verdict(page: Page) -> None:
    with_a_drawing(page)
    submit(page)
    verdict(page, "You fooled it")


def at_own_work(page: Page) -> None:
    with_a_verdict(page)
    page.goto("/me/work/")
    expect(page.locator(".work__item").first).to_be_visible()


def about_to_take_back(page: Page) -> None:
    at_own_work(page)
    page.get_by_role("link", name="Take back").first.click()
    expect(page.get_by_role("heading", name="Take this back?")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "situation", [at_home, with_a_drawing, with_a_verdict, at_own_work, about_to_take_back]
)
def test_no_serious_barrier(visit: Visits, situation: Callable[[Page], None], scheme: str) -> None:
    page = visit("anna", color_scheme=scheme)
    situation(page)
    assert violations(page) == []


ON_A_PHONE = {
    "vera": [
        "/",
        "/validate/",
        "/validate/judge-phone/",
        "/validate/judge-warned/",
        "/validate/judge-test/",
        "/validate/judge-pairs/",
        "/validate/judge-journey/",
        "/me/work/",
        "/accounts/me/",
        "/accounts/2fa/",
        "/tasks/judge-phone/",
        "/tasks/judge-phone/leaderboard/",
    ],
    "olive": [
        "/tasks/inbox-looks/inbox/",
        "/tasks/inbox-looks/agreement/",
        "/tasks/inbox-looks/training/",
        "/tasks/inbox-looks/leaderboard/",
        "/accounts/me/",
    ],
}


@pytest.mark.usefixtures("queues", "cases")
@pytest.mark.parametrize("name", ON_A_PHONE)
def test_every_page_fits_a_phone_and_a_finger(visit: Visits, name: str) -> None:
    page = visit(name, **PHONE)
    for path in ON_A_PHONE[name]:
        page.goto(path)
        expect(page.locator("[data-part=desk][aria-busy=true]")).to_have_count(0)
        assert page.evaluate(TOO_WIDE_OR_SMALL) == [], path
        for flag in page.locator("[data-part=answers] [data-part=flag]").all():
            box = flag.bounding_box()
            assert not box or box["y"] + box["height"] <= 844, f"{path}: the desk is too long"
        if "training" in path or "leaderboard" in path:  # axe looks at the others elsewhere
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                assert violations(page) == [], (path, scheme)


TOO_WIDE_OR_SMALL = """() => {
  const inText = (e) => getComputedStyle(e).display === "inline";
  const target = (e) => (e.matches("[type=checkbox], [type=radio]") && e.closest("label")) || e;
  const pressed = "button, a, summary, select, textarea, input:not([type=hidden])";
  const found = [...document.querySelectorAll(pressed)]
    .filter((e) => e.checkVisibility() && !inText(e) && !e.closest(".skip-link, .visually-hidden"))
    .filter((e) => {
      const { width, height } = target(e).getBoundingClientRect();
      return width < 43.5 || height < 43.5;
    })
    .map((e) => e.outerHTML);
  const { scrollWidth } = document.documentElement;
  return scrollWidth > innerWidth ? [`${scrollWidth} px wide`, ...found] : found;
}"""
