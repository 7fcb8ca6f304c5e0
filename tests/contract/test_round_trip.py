"""A log goes in by `import_log` and comes out of `export_log` the same, to the byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from annotate.models import Task
from benchmarks import anli
from tests.contract.conftest import KINDS, Done

Manage = Callable[..., Done]
Load = Callable[..., Task]


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_of_each_kind_comes_out_as_it_went_in(
    manage: Manage, loaded: Load, log_of: Callable[[str], Path], kind: str
) -> None:
    task, log = loaded(kind), log_of(kind)

    first = manage("import_log", task.slug, log, "--json")
    exported = manage("export_log", task.slug)

    assert (first.status, exported.status, first.errors) == (0, 0, "")
    assert exported.output == log.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.skipif(not anli.FOLDER.exists(), reason=f"no data in {anli.FOLDER}")
def test_the_first_round_of_anli_comes_out_as_it_went_in(
    manage: Manage, loaded: Load, tmp_path: Path
) -> None:
    task = loaded("text_pair", labels=["e", "n", "c"], validation={"policy": "two_plus_one"})
    lines = list(anli.log_lines())
    for number, line in enumerate(lines):
        if line["kind"] == "example":
            line["created_at"] = f"2020-01-01T00:00:00.{number + 1:06}+00:00"
    lines.sort(key=lambda line: line["kind"])  # as they are exported: examples, then votes
    log = "".join(
        f"{json.dumps(line, ensure_ascii=False, separators=(',', ':'))}\n" for line in lines
    )
    (tmp_path / "log.jsonl").write_text(log, encoding="utf-8")

    numbers = manage("import_log", task.slug, tmp_path / "log.jsonl", "--json").summary

    assert (numbers["fooled"], numbers["verified"]) == (1_000, 1_000)
    assert (numbers["used"], numbers["third_requests"]) == (2_298, 298)
    assert manage("export_log", task.slug).output == log
