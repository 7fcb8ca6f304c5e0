"""Commands as a script sees them: what they print, and the sentence they fail with."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command

from annotate.models import Task

Command = Callable[..., str]


@pytest.fixture
def command(db: None) -> Command:
    """Run a command and return what it wrote to the standard output."""

    def run(*arguments: str) -> str:
        output = io.StringIO()
        call_command(*arguments, stdout=output, stderr=io.StringIO())
        return output.getvalue()

    return run


@pytest.fixture
def summary(command: Command) -> Callable[..., dict[str, Any]]:
    """Run a command with --json and return its summary."""
    return lambda *arguments: json.loads(command(*arguments, "--json").splitlines()[-1])


@pytest.fixture
def nli(command: Command, tmp_path: Path) -> Callable[..., Task]:
    """Load the minimal task file of three labels with this validation policy."""

    def load(slug: str = "my-nli", **validation: Any) -> Task:
        file = tmp_path / f"{slug}.yaml"
        content = {
            "slug": slug,
            "name": "My NLI study",
            "input": "text_pair",
            "labels": ["e", "n", "c"],
            "validation": validation or {"policy": "two_plus_one"},
        }
        file.write_text(yaml.safe_dump(content))
        command("load_task", str(file))
        return Task.objects.get(slug=slug)

    return load


@pytest.fixture
def log_file(tmp_path: Path) -> Callable[..., str]:
    """Write lines (objects, or texts as they are) into a file."""

    def write(*lines: dict[str, Any] | str, name: str = "log.jsonl") -> str:
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        (tmp_path / name).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        return str(tmp_path / name)

    return write
