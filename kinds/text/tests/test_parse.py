"""What counts as a text, and that it is kept as it was written."""

from __future__ import annotations

import pytest

from core.errors import Refused
from kinds import kind_named

TEXT = kind_named("text")


def test_a_text_is_kept_as_it_was_written() -> None:
    written = "  Two spaces first,\n\tthen a tab; اردو too.\n"
    prepared = TEXT.parse({"text": written, "label": "positive"})
    assert prepared.stored == {"text": written}
    assert TEXT.parse(prepared.stored).key == prepared.key
    assert TEXT.parse({"text": written.strip()}).key != prepared.key


@pytest.mark.parametrize(
    "raw",
    [
        None, "plain", {}, {"text": 7}, {"text": " \n"}, {"text": "\u200b \u2800"},
        {"text": "x" * 20_001},
    ],
)  # fmt: skip
def test_what_is_no_text_is_refused_with_a_sentence(raw: object) -> None:
    with pytest.raises(Refused, match=r"\.$"):
        TEXT.parse(raw)
