"""Which language a text is in, as py3langid tells it; imports no Django."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

LEAST: Final = 30  # characters: of less a detector knows little
SURE: Final = 0.8


def can_tell(tag: str) -> bool:
    """Whether the detector knows the language of this tag."""
    return _language_of(tag) in _detector().labels


def other_than(tag: str, words: str) -> str | None:
    """The code of the language that these are in, where that surely is another one."""
    if len(words) < LEAST:
        return None
    found, sure = _detector().classify(words)
    return found if sure >= SURE and found != _language_of(tag) else None


def _language_of(tag: str) -> str:
    return tag.partition("-")[0]


@cache
def _detector() -> Any:
    """Its model takes a moment to read, and only tasks that ask need it."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
