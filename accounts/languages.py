"""Language tags (BCP 47) as tasks and people name them: `de`, `en-GB`; imports no Django."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST_TAG = 35
# Language, script, region, variants; what else the standard allows names no other text to read.
_TAG = re.compile(
    r"(?P<language>[a-z]{2,3})(-(?P<script>[a-z]{4}))?(-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<variants>(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)",
    re.IGNORECASE | re.ASCII,
)


def canonical(tag: str) -> str:
    """The tag in the case that the standard recommends; ValueError when it is none."""
    found = _TAG.fullmatch(tag.strip())
    if found is None or len(found[0]) > LONGEST_TAG:
        raise ValueError(f"“{tag.strip()[:50]}” is no language tag, such as en, de-CH or zh-Hant.")
    script, region = found["script"] or "", found["region"] or ""
    parts = [found["language"].lower(), script.title(), region.upper(), found["variants"].lower()]
    return "-".join(part.strip("-") for part in parts if part)


def wider(tag: str) -> list[str]:
    """The tag itself and all that say less than it, such as zh-Hant and zh for zh-Hant."""
    parts = tag.split("-")
    return ["-".join(parts[:count]) for count in range(len(parts), 0, -1)]


def reads(languages: Iterable[str], tag: str) -> bool:
    """Whether one of these languages is that of `tag`: one says the same as the other, or less.

    `en` reads `en-GB` and the other way round; `en-US` does not read `en-GB`, nor `zh-Hans`
    `zh-Hant` (RFC 4647, basic filtering). No languages stand for all of them.
    """
    known = list(languages)
    return not known or any(one in wider(tag) or tag in wider(one) for one in known)
