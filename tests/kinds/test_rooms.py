"""A kind of input keeps to its folder, and its page's files are found there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.template.loader import get_template

from kinds import Kind, all_kinds

PROJECT = Path(__file__).resolve().parents[2]
# Words of drawings: whoever needs one elsewhere asks the kind (its `words`, `picture`, `distance`).
WORDS = re.compile(
    r"(?<![a-z])(draw|canvas|png|pixel|stroke|brush|(?<![\d.#])28(?![\d.]))", re.IGNORECASE
)
# No words of a kind: how SVG lines are called in CSS, and an icon of Swagger UI.
OTHERS = re.compile(r"(non-scaling-)?stroke(-\w+)?[:;]|favicon-32x32\.png", re.IGNORECASE)
PRODUCT = (
    *(
        "accounts",
        "annotate",
        "core",
        "dadc_server",
        "ml",
        "scoring",
        "training",
        "releases",
        "validate",
    ),
    *("static", "templates"),
)
ELSEWHERE = {"migrations", "learners"}  # what was, and rooms of their own


def words_of_a_kind(path: Path) -> list[str]:
    lines = enumerate(path.read_text().splitlines(), 1)
    name = path.relative_to(PROJECT)
    return [
        f"{name}:{n}: {line.strip()}" for n, line in lines if WORDS.search(OTHERS.sub("", line))
    ]


def files_of_the_product() -> list[Path]:
    files = [path for part in PRODUCT for path in sorted((PROJECT / part).rglob("*.*"))]
    files += (PROJECT / "kinds").glob("*.py")
    return [
        path
        for path in files
        if path.suffix in {".py", ".js", ".html", ".css"} and ELSEWHERE.isdisjoint(path.parts)
    ]


def test_no_word_of_a_kind_stands_outside_its_folder() -> None:
    files = files_of_the_product()
    assert len(files) > 200, "the product is where it was looked for"
    assert [found for path in files for found in words_of_a_kind(path)] == []
    assert words_of_a_kind(PROJECT / "kinds/image/static/canvas.js"), "the words can be found"


@pytest.mark.parametrize(
    "kind", [k for k in all_kinds().values() if k.has_page], ids=lambda k: k.name
)
def test_a_kind_with_a_page_has_all_that_the_page_loads(kind: Kind) -> None:
    get_template(kind.editor)
    names = ("editor.js", "editor.css", "viewer.js", "viewer.css")
    assert kind.static("editor.js")
    for name in names:
        if address := kind.static(name):
            home = address.split("/")[1]
            assert home in (kind.name, kind.page_of)
            assert finders.find(address) == str(PROJECT / "kinds" / home / "static" / name)
    assert kind.words.keys, "who has no mouse is told how"


@pytest.mark.parametrize("kind", all_kinds().values(), ids=lambda kind: kind.name)
def test_a_kind_is_named_like_its_folder(kind: Kind) -> None:
    assert kind.folder == PROJECT / "kinds" / kind.name
