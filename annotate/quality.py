"""What a text must be like to be submitted: each rule with a sentence that says what to change."""

from __future__ import annotations

from contextlib import suppress

from django.utils.translation import get_language_info

from annotate import tongues
from annotate.config import TaskFile
from annotate.models import Context
from annotate.sections import Quality
from core.errors import Refused
from kinds import Prepared


def require_quality(file: TaskFile, prepared: Prepared, given: Context | None = None) -> None:
    """Refuse an input, about a context of the server's if any, whose words break a task's rule.

    Spaces in a row count as one, and characters that nobody sees do not count.
    """
    rules, likeness = file.quality, file.kind.likeness
    words = likeness.words(prepared)
    if words is None or rules == Quality():
        return
    told = file.kind.told(prepared.features, given.data) if given else None
    about = (told or {}).get("context", "")
    complaint = _complaint(rules, words, likeness.copied(prepared, about))
    if not complaint and rules.language and file.language:
        complaint = _in_another(file.language, words)
    if complaint:
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


def _in_another(language: str, words: str) -> str:
    other = tongues.other_than(language, words)
    if other is None:
        return ""
    return f"This looks like {_named(other)}: write it in {_named(language)}."


def _named(tag: str) -> str:
    """The language in English, or its code where Django knows no name."""
    with suppress(KeyError):
        return str(get_language_info(tag.lower())["name"])
    return tag
