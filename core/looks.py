"""What a text looks like to a person: two that look alike are one; imports no Django."""

from __future__ import annotations

import unicodedata
from typing import Final

# Letters of other scripts that look like Latin ones in most typefaces: of those in UTS 39's
# confusables.txt, the ones that people write names with.
_LATIN: Final = str.maketrans(
    "АВЕЅІЈКМНОРСТХУԌԚԜаеѕіјорсхуһԁԛԝɡкмтΑΒΕΖΗΙΚΜΝΟΡΤΥΧικνορτυχıɩ",
    "ABESIJKMHOPCTXYGQWaesijopcxyhdqwgkmtABEZHIKMNOPTYXikvoptuxii",
)
# What is alike in most typefaces among the characters of a name.
_ALIKE: Final = str.maketrans("i1|0", "lllo")


# What typefaces leave blank although it is a letter or a sign: fillers of Hangul, Braille's blank.
_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def is_blank(text: str) -> bool:
    """Whether nothing of a text can be seen; looks no further than to the first that can."""
    return all(
        character.isspace()
        or character in _BLANK
        or unicodedata.category(character) in ("Cf", "Cc")
        for character in text
    )


def seen_as(text: str) -> str:
    """The text without what cannot be seen: forms, scripts, spaces and invisible characters."""
    shown = "".join(
        character
        for character in unicodedata.normalize("NFKC", text)
        if unicodedata.category(character) not in ("Cf", "Cc") or character.isspace()
    )
    return " ".join(shown.translate(_LATIN).split())


def name_seen_as(name: str) -> str:
    """The same for a person's name, in any case: 0live, oIive and olive are one.

    A capital i is an l to the eye, so that i and l are one here: all and ali are, too.
    """
    plain = unicodedata.normalize("NFKD", seen_as(name))
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    return plain.casefold().translate(_ALIKE).replace("rn", "m").replace("vv", "w")
