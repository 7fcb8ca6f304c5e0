"""Each recipe of docs/models.md is a model file, and each backend has one."""

from __future__ import annotations

import re
from pathlib import Path

from annotate.registry import read_model_file
from ml.backends import NAMES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text(encoding="utf-8")


def test_recipes_are_taken_and_no_backend_lacks_one() -> None:
    recipes = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert {read_model_file(recipe).backend for recipe in recipes} == set(NAMES)
