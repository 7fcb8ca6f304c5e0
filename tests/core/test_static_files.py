"""Static files under names that hold their hash, and modules that name each other by these."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.finders import get_finders

from dadc_server.web.static_files import StaticStorage

pytestmark = pytest.mark.once
IMPORTS = re.compile(r'^import [^;"]*? from "(.*?)"', re.MULTILINE)


@pytest.mark.parametrize("backwards", [False, True])
def test_modules_import_each_other_by_hashed_names(tmp_path: Path, backwards: bool) -> None:
    """A page that gets one module under two names has two of each of its classes.

    Whatever order the file system lists them in: importers before what they import take the most
    passes, a pass for each link of the longest chain.
    """
    storage = StaticStorage(location=str(tmp_path), base_url="/static/")
    ours: dict[str, Any] = {}
    for finder in get_finders():
        for path, found in finder.list([]):
            name = f"{prefix}/{path}" if (prefix := getattr(found, "prefix", None)) else path
            if name.startswith(("js/", "kinds/")) and name.endswith(".js"):
                ours[name] = (found, path)
                with found.open(path) as file:
                    storage.save(name, file)
    depths = {name: depth(tmp_path, name) for name in ours}
    ordered = sorted(ours, key=lambda name: depths[name], reverse=backwards)
    for name, _, outcome in storage.post_process({name: ours[name] for name in ordered}):
        assert not isinstance(outcome, Exception), (name, outcome)
    imports = {
        name: IMPORTS.findall((tmp_path / stored).read_text())
        for name, stored in storage.hashed_files.items()
    }
    assert any(name.startswith("kinds/") and found for name, found in imports.items())
    for name, found in imports.items():
        assert not [one for one in found if not re.search(r"\.[0-9a-f]{12}\.js$", one)], name


def test_an_address_is_worked_out_anew_when_files_were(tmp_path: Path) -> None:
    storage = StaticStorage(location=str(tmp_path), base_url="/static/")
    seen = set()
    for text in (b"a {}", b"b {}"):
        (tmp_path / "a.css").write_bytes(text)
        list(storage.post_process({"a.css": (storage, "a.css")}))
        seen |= {storage.url("a.css") for _ in range(2)}
    assert len(seen) == 2


def depth(root: Path, name: str) -> int:
    """How many modules the longest chain of imports from here has."""
    imported = IMPORTS.findall((root / name).read_text())
    steps = [posixpath.normpath(posixpath.join(posixpath.dirname(name), one)) for one in imported]
    return 1 + max((depth(root, step) for step in steps), default=0)
