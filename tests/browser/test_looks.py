"""Themes, weight, and what stands in the way of people who do not see or point."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from kinds.image.tests.drawing import draw_strokes, four, other_than
from tests.browser.annotating import choose, open_task, reading, submit, verdict
from tests.browser.fixtures import PHONE, Visits, violations

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_theme_is_remembered(visit: Visits) -> None:
    page = visit(color_scheme="light")
    page.goto("/")
    page.get_by_label("Switch to the dark theme").click()
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.get_by_label("Switch to the light theme").wait_for()


def test_no_serious_barrier_from_home_to_taking_one_s_work_back(visit: Visits) -> None:
    page = visit("anna")
    page.goto("/")
    assert violations(page) == []
    open_task(page)
    draw_strokes(page, *four())
    choose(page, other_than(reading(page)))
    assert violations(page) == []
    submit(page)
    verdict(page, "You fooled it")
    assert violations(page) == []
    page.goto("/me/work/")
    expect(page.locator(".work__item").first).to_be_visible()
    assert violations(page) == []
    page.get_by_role("link", name="Take back").first.click()
    expect(page.get_by_role("heading", name="Take this back?")).to_be_visible()
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
        "/tasks/inbox-keys/training/rounds/1/",
        "/tasks/inbox-looks/training/rehearsals/",
        "/tasks/inbox-keys/training/rehearsals/",
        "/tasks/inbox-looks/regions/",
        "/tasks/inbox-looks/regions/coverage/",
        "/tasks/inbox-looks/models/",
        "/tasks/inbox-looks/models/1/",
        "/tasks/inbox-looks/models/1/robustness/",
        "/tasks/inbox-looks/judges/",
        "/tasks/inbox-looks/releases/",
        "/tasks/inbox-looks/compare/",
        "/tasks/inbox-looks/rounds/1/foolings/",
        "/tasks/inbox-pairs/contexts/",
        "/tasks/inbox-pairs/file/",
        "/tasks/inbox-looks/leaderboard/",
        "/tasks/inbox-looks/rounds/1/",
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
        if any(
            part in path
            for part in (
                "training",
                "leaderboard",
                "rounds",
                "contexts",
                "compare",
                "robustness",
                "coverage",
            )
        ):  # axe looks at the others elsewhere
            assert violations(page) == [], path


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
  // Not innerWidth, which grows with what is too wide for a phone.
  const { clientWidth, scrollWidth } = document.documentElement;
  return scrollWidth > clientWidth ? [`${scrollWidth} px wide`, ...found] : found;
}"""
