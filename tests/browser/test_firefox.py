"""Drawing, and marking an answer in a passage, in Debian's Firefox where it is installed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kinds.image.tests.drawing import four, other_than
from tests.browser.firefox import Firefox, firefox
from tests.browser.fixtures import Server

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LIVE = "document.documentElement.dataset.connection === 'live'"
ANSWER = "[data-part=answer]"
TITLE = "[data-verdict=title]"
TEXT = "😀 Ann met Bob in old Rome. It rained, she said."


def box_of(browser: Firefox, selector: str) -> dict[str, float]:
    script = f"document.querySelector('{selector}').getBoundingClientRect().toJSON()"
    return dict(browser.wait_for(script))


def text_of(browser: Firefox, selector: str, *, but: str = "") -> str:
    """What stands there once it is something else."""
    text = f"document.querySelector('{selector}')?.textContent"
    return str(browser.wait_for(f"{text} !== {json.dumps(but)} && {text}"))


@pytest.fixture(scope="module")
def browser(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if program is None:
        pytest.skip("no Firefox here: install Debian's firefox-esr")
    with firefox(program, tmp_path_factory.mktemp("firefox")) as opened:
        opened.sign_in(server.sessions["bert"])
        yield opened


def test_a_drawing_is_read_and_submitted(browser: Firefox, server: Server) -> None:
    browser.goto(f"{server.url}/tasks/digits/")
    browser.wait_for(LIVE)
    box = box_of(browser, "canvas")
    for stroke in four():
        browser.drag(
            *((box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke)
        )
    browser.wait_for("document.querySelector('[data-part=readout]').ariaBusy === 'false'")
    read = text_of(browser, ANSWER, but="–")
    browser.press(other_than(read))
    browser.press("Enter")
    assert text_of(browser, TITLE, but="On its way…") == "You fooled it"


def test_an_answer_is_marked_by_mouse_in_code_points(
    browser: Firefox, server: Server, tmp_path: Path
) -> None:
    policy = {"policy": "k_matching", "n": 2, "cap": 4}
    file = {"slug": "qa-firefox", "name": "QA", "input": "passage_qa", "validation": policy}
    (tmp_path / "task.yaml").write_text(json.dumps(file))
    (tmp_path / "model.yaml").write_text('{"name": "guess", "backend": null}')
    (tmp_path / "texts.jsonl").write_text(json.dumps({"text": TEXT}))
    server.run("manage", "load_task", str(tmp_path / "task.yaml"))
    model = str(tmp_path / "model.yaml")
    server.run("manage", "register_model", "qa-firefox", model, "--open-round")
    server.run("manage", "load_contexts", "qa-firefox", str(tmp_path / "texts.jsonl"))

    browser.goto(f"{server.url}/tasks/qa-firefox/")
    browser.wait_for(LIVE)
    place = """(() => {
        const node = document.querySelector("[data-part=passage] [role=textbox]")?.firstChild;
        if (!node) return null;
        const range = document.createRange();
        range.setStart(node, node.data.indexOf("old"));
        range.setEnd(node, node.data.indexOf("Rome") + 4);
        const { left, right, top, height } = range.getBoundingClientRect();
        return [left, right, top + height / 2];
    })()"""
    left, right, middle = browser.wait_for(place)
    browser.drag((left + 2, middle), ((left + right) / 2, middle), (right - 2, middle))
    assert text_of(browser, "[data-part=marked]") == "old Rome"
    browser.run("document.querySelector('[data-part=text]').focus()")
    browser.press("Where was it?")
    browser.wait_for("document.querySelector('[data-part=readout]').ariaBusy === 'false'")
    browser.run("document.querySelector('[data-part=form] [type=submit]').click()")
    text_of(browser, TITLE, but="On its way…")
    mine = f"fetch('{server.url}/api/v1/examples/?mine=1&task=qa-firefox').then((a) => a.json())"
    (example,) = browser.wait_for(mine)["results"]
    assert example["label"] == {"text": "old Rome", "start": TEXT.index("old Rome")}
    assert example["input"]["question"] == "Where was it?"
