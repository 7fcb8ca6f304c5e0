"""Sending a photograph and judging it in a real Chromium."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import FilePayload, Page, expect

from kinds.photo.tests import colours
from kinds.photo.tests.colours import scene, taken_sideways
from tests.browser.annotating import open_task, reading, verdict
from tests.browser.fixtures import PHONE, WIDE, Server, Visits, violations
from tests.browser.judging import open_queue, said
from tests.browser.test_looks import TOO_WIDE_OR_SMALL

pytestmark = pytest.mark.browser
TASK = "/tasks/colours/"


@pytest.fixture(scope="session")
def colour_task(server: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("colours")
    (folder / "task.yaml").write_text(json.dumps(colours.task_file()))
    (folder / "model.yaml").write_text(json.dumps(colours.model_file()))
    colours.save(folder)
    server.run("manage", "load_task", str(folder / "task.yaml"))
    server.run("manage", "register_model", "colours", str(folder / "model.yaml"), "--open-round")


def photo(seed: int, tint: str) -> FilePayload:
    data = taken_sideways(scene(seed, tint=tint, size=(900, 1200)))
    return {"name": "mine.jpg", "mimeType": "image/jpeg", "buffer": data}


def looks_right(page: Page) -> None:
    assert page.evaluate(TOO_WIDE_OR_SMALL) == []
    assert violations(page) == []


@pytest.mark.usefixtures("colour_task")
@pytest.mark.parametrize("how", ["wide", "phone"])
def test_a_photograph_is_read_submitted_and_judged(visit: Visits, how: str) -> None:
    size, seed = {"wide": (WIDE, 21), "phone": (PHONE, 22)}[how]
    page = visit("anna", **size)
    open_task(page, TASK)
    looks_right(page)
    upload = page.get_by_label("Choose a photograph")
    upload.set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"no photograph"})
    expect(page.locator("[data-part=complaint]")).to_contain_text("choose a JPEG, PNG or WebP")
    upload.set_input_files(photo(seed, "red"))
    assert reading(page) == "red"
    shown = page.locator("[data-part=shown]")
    assert shown.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [384, 512]
    looks_right(page)
    page.get_by_role("button", name="Turn by a quarter").click()
    page.wait_for_function("() => document.querySelector('[data-part=shown]').naturalWidth === 512")
    page.reload()
    expect(shown).to_be_visible()  # a draft
    assert reading(page) == "red"
    page.keyboard.press("2")  # green
    page.keyboard.press("Control+Enter")
    verdict(page, "You fooled it")
    looks_right(page)
    page.get_by_role("button", name="Next photograph").click()
    expect(page.get_by_label("Choose a photograph")).to_be_focused()

    judge = visit("vera", **size)
    open_queue(judge, "colours")
    picture = judge.get_by_alt_text("The photograph to judge")
    assert picture.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [512, 384]
    for scheme in ("light", "dark"):
        judge.emulate_media(color_scheme=scheme)
        assert picture.evaluate("image => getComputedStyle(image).filter") == "none"
    looks_right(judge)
    judge.keyboard.press("2")
    expect(said(judge)).to_have_text("You said green.")
