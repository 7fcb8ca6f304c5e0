"""Which key chooses a label: the same one on every page."""

from __future__ import annotations

from typing import Any

import pytest

from annotate.config import parse_task_file
from tests import cast


@pytest.mark.parametrize(
    ("labels", "keys"),
    [
        (["0", "1", "2"], "012"),  # what people read, not its place
        (["good", "bad"], "12"),
        (["e", "neutral", "c"], "e2c"),
        (["2", "two", "x"], "2-x"),  # the digit of its place is another label
        (["A", "a", "b"], "12b"),  # Caps Lock must not decide between the two
        (["да", "нет"], "12"),
        (["я", "ы"], "яы"),
        ([{"value": "good", "name": "1", "key": "g"}, "bad", {"value": "1", "name": "one"}], "g21"),
        ([f"label {n}" for n in range(11)], "123456789--"),
    ],
)
def test_a_key_is_what_people_read(labels: list[Any], keys: str) -> None:
    whole = [
        one if isinstance(one, dict) else {"value": one, "name": one, "key": None} for one in labels
    ]
    file = parse_task_file(cast.task_file(labels=whole))
    assert "".join(label.key or "-" for label in file.keyed_labels) == keys
