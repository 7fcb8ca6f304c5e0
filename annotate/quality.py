"""What a text must be like to be submitted: each rule with a sentence that says what to change."""

from __future__ import annotations

from annotate.config import Quality
from core.errors import Refused
from kinds import Kind, Prepared


def require_quality(rules: Quality, kind: Kind, prepared: Prepared) -> None:
    """Refuse an input whose author's words break a rule of the task.

    Spaces in a row count as one, and characters that nobody sees do not count.
    """
    words = kind.likeness.words(prepared)
    if words is None or rules == Quality():
        return
    if complaint := _complaint(rules, words, kind.likeness.copied(prepared)):
        raise Refused("quality", complaint, fields={"input": complaint})


def _complaint(rules: Quality, words: str, copied: float) -> str:
    long, many = len(words), len(words.split())
    if rules.min_characters and long < rules.min_characters:
        return f"Write {rules.min_characters} characters or more: it has {long}."
    if rules.max_characters and long > rules.max_characters:
        return f"Write {rules.max_characters} characters at most: it has {long}."
    if rules.min_words and many < rules.min_words:
        return f"Write {rules.min_words} words or more: it has {many}."
    if rules.max_copied is not None and copied > rules.max_copied:
        return f"{copied:.0%} of it stands in the text above: say it in words of your own."
    return ""
