"""Static files under names that hold their hash, and modules that name each other by these."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.finders import get_finders

from dadc_server.web.static_files import StaticStorage

pytestmark = pytest.mark.once
IMPORTS = re.compile(r'^import [^;"]*? from "(.*?)"', re.MULTILINE)


def test_modules_import_each_other_by_hashed_names(tmp_path: Path) -> None:
    """A page that gets one module under two names has two of each of its classes."""
    storage = StaticStorage(location=str(tmp_path), base_url="/static/")
    ours: dict[str, Any] = {}
    for finder in get_finders():
        for path, found in finder.list([]):
            name = f"{prefix}/{path}" if (prefix := getattr(found, "prefix", None)) else path
            if name.startswith(("js/", "kinds/")) and name.endswith(".js"):
                ours[name] = (found, path)
                with found.open(path) as file:
                    storage.save(name, file)
    for name, _, outcome in storage.post_process(ours):
        assert not isinstance(outcome, Exception), name
    imports = {
        name: re.findall(
            r'^import [^;"]*? from "(.*?)"', (tmp_path / stored).read_text(), re.MULTILINE
        )
        for name, stored in storage.hashed_files.items()
    }
    assert any(name.startswith("kinds/") and found for name, found in imports.items())
    for name, found in imports.items():
        assert not [one for one in found if not re.search(r"\.[0-9a-f]{12}\.js$", one)], name
