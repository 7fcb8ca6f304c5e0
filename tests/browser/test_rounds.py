"""An owner's way through a round in a real Chromium: rehearse, retrain, compare, promote, back."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.fixtures import Server, Visits, look
from tests.browser.rounds_world import SLUG

pytestmark = pytest.mark.browser
HOME = f"/tasks/{SLUG}"


def test_from_a_rehearsal_to_a_better_model_and_back(visit: Visits, server: Server) -> None:
    world = "tests.browser.rounds_world"
    file = json.loads(server.run(world, "begin", SLUG))
    page = visit("olive")
    page.goto(f"{HOME}/training/")
    page.get_by_role("link", name="Rehearsals").click()
    expect(page.get_by_text("Nothing rehearsed yet")).to_be_visible()
    look(page, "1-nothing-rehearsed")
    server.run("manage", "rehearse", SLUG, file)
    page.reload()
    expect(page.get_by_text("simulated", exact=True)).to_be_visible()
    look(page, "2-rehearsed")

    page.goto(f"{HOME}/training/")
    look(page, "3-before", as_before=True)
    page.get_by_role("button", name="Retrain now").click()
    expect(page.get_by_text("A run waits for a worker")).to_be_visible()
    look(page, "4-waiting", as_before=True)
    server.run(world, "work")
    run = page.locator("article", has=page.get_by_role("heading", name=f"{SLUG}-2"))
    expect(run.get_by_text("passed every gate", exact=True)).to_be_visible()
    look(page, "5-retrained")
    run.get_by_role("link", name="What changed").click()
    expect(page.get_by_role("heading", name="wrong before, right now").first).to_be_visible()
    expect(page.get_by_text("(said positive before, negative now)").first).to_be_visible()
    page.get_by_text("gates, all passed").first.click()
    look(page, "5a-what-changed")
    page.get_by_role("button", name="Take this one instead").click()
    expect(page.get_by_text("Its recipe was chosen by olive.")).to_be_visible()
    look(page, "5b-chosen", as_before=True)

    page.goto(f"{HOME}/compare/")
    page.get_by_role("button", name="Evaluate what is new").click()
    expect(page.get_by_text("evaluating", exact=True)).to_be_visible()
    server.run(world, "work")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=f"{SLUG}-2"))
    expect(page.get_by_text("evaluating", exact=True)).to_have_count(0)
    expect(row.first).to_contain_text("%")
    look(page, "6-compared")
    page.get_by_role("link", name="Answers that changed").click()
    page.get_by_label("On").select_option("round 1")
    page.get_by_label("Before").select_option(f"{SLUG}-1")
    page.get_by_label("Now").select_option(f"{SLUG}-2")
    page.get_by_role("button", name="Show").click()
    expect(
        page.get_by_role("heading", name=re.compile("[1-9] wrong before, right now"))
    ).to_be_visible()
    look(page, "6a-changed")

    page.goto(f"{HOME}/training/")
    run.get_by_role("link", name="Promote…").click()
    expect(page.get_by_text("Is what it learned right?")).to_be_visible()
    page.get_by_label("Why?").fill("It reads irony better.")
    look(page, "7-promote")
    page.get_by_role("button", name="Promote").click()
    expect(page.get_by_text(f"Round 2 is open with {SLUG}-2.")).to_be_visible()
    look(page, "8-promoted", as_before=True)

    page.get_by_role("link", name="Roll back…").click()
    page.get_by_label("Why?").fill("People cannot fool it any more.")
    look(page, "9-roll-back", as_before=True)
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text(f"Round 3 is open with {SLUG}-1.")).to_be_visible()
    look(page, "10-rolled-back", as_before=True)
