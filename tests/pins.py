"""What must not change by accident stands in `tests/pinned/`, one JSON file a subject.

A test says what it met; what differs from the file fails with the lines that differ and with the
one command that writes the file anew. Whoever runs it shows in the commit what has changed.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotate import judged
from validate.config import ValidationSettings

FOLDER = Path(__file__).parent / "pinned"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*")


class Pins:
    """Compares with what is pinned, or pins anew with `--renew`."""

    def __init__(self, test: str, *, renew: bool) -> None:
        self._test, self._renew = test, renew

    def same(self, subject: str, name: str, value: Any) -> None:
        """`value` is what `subject`.json holds under `name`; a name that is new there fails too."""
        file = FOLDER / f"{subject}.json"
        pinned = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        if self._renew:
            pinned[name] = value
            file.write_text(f"{_text(pinned)}\n", encoding="utf-8")
        elif name not in pinned or pinned[name] != value:
            before, now = _text(pinned.get(name)), _text(value)
            lines = difflib.unified_diff(
                before.splitlines(), now.splitlines(), "pinned", "now", lineterm=""
            )
            told = "\n".join(lines)
            pytest.fail(
                f"{subject}: {name} is not what tests/pinned/{file.name} says.\n{told}\n"
                f"If that is meant: .venv/bin/python -m pytest --renew {self._test}",
                pytrace=False,
            )

    @contextmanager
    def queries(self, name: str) -> Iterator[None]:
        """As many queries as `queries.json` says for this database, no more and no fewer.

        What is judged is known for a second; however slow a machine is, it is read once here. No
        toss is for gold, which would be looked for.
        """
        with CaptureQueriesContext(connection) as seen, pytest.MonkeyPatch.context() as patch:
            patch.setattr(judged, "MAX_AGE", 3600.0)
            patch.setattr(ValidationSettings, "gold_share", lambda *_: 0.0)
            yield
        try:
            self.same("queries", f"{name}, {connection.vendor}", len(seen))
        except pytest.fail.Exception as failed:
            asked = "\n".join(f"  {query['sql'][:200]}" for query in seen.captured_queries)
            pytest.fail(f"{failed.msg}\nThe queries were:\n{asked}", pytrace=False)


def _text(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)


def shape(value: Any) -> Any:
    """Keys and types of what was answered: what of it stays when the world is another one."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        shapes = sorted({_text(shape(inner)) for inner in value})
        return [json.loads(text) for text in shapes]
    if isinstance(value, str):
        if _UUID.fullmatch(value):
            return "uuid"
        return "time" if _TIME.fullmatch(value) else "str"
    return "null" if value is None else type(value).__name__
