"""What the kinds made of texts share: named fields, each a text; imports no Django."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, Final

from core.errors import Refused
from core.looks import is_blank
from kinds import Prepared
from kinds.wording import Wording, folded

WORDING: Final = Wording()
MAX_TEXT: Final = 20_000


def parser(*fields: str, hidden: tuple[str, ...] = ()) -> Callable[[object], Prepared]:
    """Parse objects of these texts, the author's own the last of them.

    `hidden` fields, which validators never see, may be there too.

    No more than these is kept: the rest could tell validators what the author says, or make the
    same text look like another one.
    """

    def parse(raw: object) -> Prepared:
        if not isinstance(raw, dict):
            raise Refused("bad_input", f"The input must be an object with {' and '.join(fields)}.")
        for field in fields:
            if not isinstance(raw.get(field), str) or is_blank(raw[field]):
                raise Refused("bad_input", f"{field} must be a text.", fields={field: "missing"})
            if len(raw[field]) > MAX_TEXT:
                raise Refused("too_long", f"{field} has more than {MAX_TEXT} characters.")
        kept = {field: raw[field] for field in (*fields, *hidden) if field in raw}
        *about, words = (kept[field] for field in fields)
        return Prepared(text_key(kept), kept, form=lambda: folded(words, about))

    return parse


def only(*fields: str) -> Callable[[Any], Any]:
    """What validators are shown of what is stored: a log may have brought more, or anything."""

    def seen(stored: Any) -> Any:
        if not isinstance(stored, dict):
            return stored
        return {field: stored[field] for field in fields if field in stored}

    return seen


def text_of(one: Prepared) -> str:
    """The one text of an input; ValueError, in a word that a model's page can say, for others."""
    text = one.features.get("text") if isinstance(one.features, dict) else None
    if not isinstance(text, str):
        raise ValueError("it reads texts")
    return text


def text_key(content: Any) -> str:
    """The sha256 of the canonical JSON."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
