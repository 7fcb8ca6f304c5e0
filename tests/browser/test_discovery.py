"""An owner's ways through what is found of a model's errors, and through judges, in Chromium."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.browser.fixtures import Server, Visits, look
from tests.browser.rounds_world import JUDGED

pytestmark = pytest.mark.browser
WORLD = "tests.browser.rounds_world"


def test_a_region_is_found_named_told_and_laid_out_by_model(visit: Visits, server: Server) -> None:
    slug = "regions-journey"
    server.run(WORLD, "begin", slug)
    page = visit("olive")
    page.goto(f"/tasks/{slug}/training/")
    page.get_by_role("link", name="Regions").first.click()
    expect(page.get_by_text("Not looked for yet")).to_be_visible()
    page.get_by_role("button", name="Find regions").click()
    expect(page.get_by_text("are looked for")).to_be_visible()
    server.run(WORLD, "work")
    region = page.get_by_role("article").first
    expect(region.get_by_text("it errs near them")).to_be_visible()
    look(page, "regions-1-found")

    region.get_by_text("Give it a name, or tell annotators").click()
    region.get_by_label("Name").fill("irony")
    region.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="irony")).to_be_visible()
    named = page.get_by_role("article").first
    named.get_by_text("Call it otherwise, or tell annotators").click()
    named.get_by_label("Hint").fill("It often errs on irony.")
    named.get_by_role("button", name="Show it").click()
    expect(page.get_by_text("What annotators are told")).to_be_visible()
    look(page, "regions-2-named")

    page.get_by_role("link", name="What was attacked").click()
    expect(page.get_by_role("row").filter(has_text="irony")).to_contain_text("4 people")
    look(page, "regions-3-attacked")


def test_a_judge_earns_its_vote_and_loses_it(visit: Visits, server: Server) -> None:
    able = json.loads(server.run(WORLD, "settle"))
    page = visit("olive")
    page.goto(f"/tasks/{JUDGED}/agreement/")
    page.get_by_role("link", name="Judges").first.click()
    expect(page.get_by_text("No judge yet")).to_be_visible()
    look(page, "judges-1-none")
    page.get_by_label("Model").select_option(able)
    page.get_by_role("button", name="Let it judge in shadow").click()
    expect(page.get_by_text("A worker asks them")).to_be_visible()
    server.run(WORLD, "work")
    judge = page.get_by_role("article").filter(has_text=able)
    test = judge.get_by_role("button", name="Put it to the test")
    expect(test).to_be_visible()
    look(page, "judges-2-in-shadow")

    test.click()
    expect(page.get_by_text(f"{able} passed: it is admitted.")).to_be_visible()
    expect(judge.get_by_text("It votes where a person’s vote leaves an item open")).to_be_visible()
    look(page, "judges-3-admitted")
    judge.get_by_text("Take its standing away").click()
    judge.get_by_label("Why?").fill("Its prompt was changed.")
    judge.get_by_role("button", name=f"Demote {able}").click()
    expect(judge.get_by_text("demoted", exact=True)).to_be_visible()
    expect(judge.get_by_text("Its prompt was changed.")).to_be_visible()
    look(page, "judges-4-demoted")
