"""Texts written otherwise that say the same: other case, contractions, slips of the finger, and
what nobody sees. English ones where words matter; nothing is changed where none is there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import SequenceMatcher
from typing import Final

from numpy.random import Generator

from ml.stress import Change, Legible

ABOUT: Final = "robustness"
OF: Final = str

_SHORT: Final = {
    "do not": "don't", "does not": "doesn't", "did not": "didn't", "is not": "isn't",
    "are not": "aren't", "was not": "wasn't", "were not": "weren't", "cannot": "can't",
    "could not": "couldn't", "would not": "wouldn't", "will not": "won't", "have not": "haven't",
    "has not": "hasn't", "it is": "it's", "i am": "i'm", "you are": "you're", "they are": "they're",
    "we are": "we're", "that is": "that's", "i have": "i've",
}  # fmt: skip
_OTHERWISE: Final = {**_SHORT, **{short: long for long, short in _SHORT.items()}}
_MISSPELT: Final = {
    "receive": "recieve", "believe": "beleive", "definitely": "definately", "separate": "seperate",
    "their": "thier", "until": "untill", "really": "realy", "beautiful": "beautifull",
    "different": "diffrent", "because": "becuase", "friend": "freind", "which": "wich",
    "tomorrow": "tommorow", "beginning": "begining", "surprise": "suprise", "whether": "wether",
    "necessary": "neccessary", "together": "togeather", "interesting": "intresting",
    "character": "charachter", "people": "poeple", "government": "goverment", "finally": "finaly",
    "little": "litle", "truly": "truely", "though": "thoguh", "thought": "thougt",
    "probably": "probaly", "always": "allways", "enough": "enogh",
}  # fmt: skip
_ALIKE: Final = dict(zip("aeopcyxAEOPCXBHKMT", "аеорсухАЕОРСХВНКМТ", strict=True))
_SEEN_AS: Final = str.maketrans({alike: letter for letter, alike in _ALIKE.items()})
_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_KEYS: Final = "".join((*_ROWS, *map(str.upper, _ROWS)))
_BESIDE: Final = {
    key: row[max(place - 1, 0) : place] + row[place + 1 : place + 2]
    for row in _ROWS
    for place, key in enumerate(row)
}


def _replaced(words: Mapping[str, str]) -> Callable[[str], str]:
    """Each of these words as the other one, a capital where it had one."""
    some = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    pattern = re.compile(rf"\b({some})\b", re.IGNORECASE)

    def other(found: re.Match[str]) -> str:
        new = words[found[0].lower()]
        return new[0].upper() + new[1:] if found[0][0].isupper() else new

    return lambda text: pattern.sub(other, text)


_shortened, _contracted, _misspelt = map(_replaced, (_SHORT, _OTHERWISE, _MISSPELT))


def _letters(
    share: float, change: Callable[[str, Generator], str], among: str = _KEYS
) -> Callable[..., str]:
    """This share of these letters changed, one at least."""

    def apply(text: str, rng: Generator) -> str:
        places = [place for place, letter in enumerate(text) if letter in among]
        if not places:
            return text
        count = max(1, round(share * len(places)))
        letters = list(text)
        for place in rng.permutation(len(places))[:count]:
            letters[places[place]] = change(letters[places[place]], rng)
        return "".join(letters)

    return apply


def _beside(letter: str, rng: Generator) -> str:
    keys = _BESIDE[letter.lower()]
    key = keys[int(rng.integers(len(keys)))]
    return key.upper() if letter.isupper() else key


def _punctuated(text: str, rng: Generator) -> str:
    words = text.split(" ")
    for _ in range(2):
        place = int(rng.integers(len(words)))
        words[place] += str(rng.choice([",", ";", "..", " -"]))
    return " ".join(words)


def _spaced(text: str, rng: Generator) -> str:
    return "".join(
        letter + (" " if letter == " " and rng.random() < 0.5 else "") for letter in f" {text} "
    )


def _split(text: str, rng: Generator) -> str:
    long = list(re.finditer(r"\w{6,}", text))
    if not long:
        return text
    found = long[int(rng.integers(len(long)))]
    place = int(rng.integers(found.start() + 2, found.end() - 1))
    return f"{text[:place]} {text[place:]}"


def _read_back(text: str, copy: str) -> float:
    """The share of the letters that a reader finds again, who sees through case, marks, gaps,
    look-alikes and contractions: one slip in "No" leaves half, in a sentence nearly all."""
    return SequenceMatcher(None, _letters_of(text), _letters_of(copy)).quick_ratio()


def _letters_of(text: str) -> str:
    short = _shortened(text.translate(_SEEN_AS))
    return "".join(filter(str.isalnum, short.casefold()))


LEGIBLE: Final = Legible(0.9, _read_back)
CHANGES: Final = (
    Change("upper case", {}, lambda text, _: text.upper()),
    Change("contractions", {"words": len(_OTHERWISE)}, lambda text, _: _contracted(text)),
    Change("punctuation", {"marks": 2}, _punctuated),
    Change("white space", {"share": 0.5}, _spaced),
    Change("zero width", {"share": 0.1}, _letters(0.1, lambda letter, _: f"{letter}\u200b")),
    Change(
        "look-alikes", {"share": 0.15}, _letters(0.15, lambda one, _: _ALIKE[one], "".join(_ALIKE))
    ),
    Change("typing slips", {"share": 0.05}, _letters(0.05, _beside)),
    Change("misspellings", {"words": len(_MISSPELT)}, lambda text, _: _misspelt(text)),
    Change("split words", {"words": 1}, _split),
)
