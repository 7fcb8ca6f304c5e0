"""Looks for personal data before anything leaves: an owner decides on what it finds.

E-mail addresses and telephone numbers, and what validators flagged. It looks at texts alone, and
finds no names: whoever publishes still reads samples.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from core.errors import Refused
from core.strict_json import dumps
from kinds import Kind

FLAG: Final = "personal_data"
# Most texts have neither: only those that might are looked at, which takes 100 µs and more.
_MAYBE: Final = re.compile(r"@|(?:\d[^\w\n]{0,3}){7}")
_ADDRESS: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
REGIONS: Final = ("ZZ", "US", "GB")  # a number with its country's code, or as it is dialled there


class Found(NamedTuple):
    """What was found: what it looks like, and the text itself."""

    what: str
    text: str


class PersonalData(Refused):
    """Something was found on which nobody has decided; `found` by the examples' keys."""

    def __init__(self, found: Mapping[int, Sequence[Found]]) -> None:
        number = f"{len(found):,} example{'s hold' if len(found) > 1 else ' holds'}"
        super().__init__(
            "personal_data",
            f"{number} what looks like personal data ({in_words(found)}): decide on it first.",
            status=409,
        )
        self.found = found


def look(kind: Kind, line: Mapping[str, Any], votes: Sequence[Mapping[str, Any]]) -> list[Found]:
    """What looks like personal data in an example's texts, each once, in order."""
    texts = "\n".join(_texts(kind, line, votes))  # a number does not go on in another line
    found = dict.fromkeys(_in_text(texts) if _MAYBE.search(texts) else ())
    names = f"{line['id']}\n{line['model']}"  # which a log may choose, and are numbers in many
    if "@" in names or "+" in names:
        found |= dict.fromkeys(_in_text(names, REGIONS[:1]))
    if any(vote.get("flag") == FLAG for vote in votes):
        found[Found("flagged by a validator", "")] = None
    return list(found)


def digest_of(found: Sequence[Found]) -> str:
    """The same as long as the same is found: a decision holds for that alone."""
    return hashlib.sha256(dumps([list(one) for one in found]).encode()).hexdigest()


def in_words(found: Mapping[Any, Sequence[Found]]) -> str:
    """How many of what, in how many examples."""
    kinds = Counter(one.what for each in found.values() for one in each)
    return ", ".join(f"{what}: {n:,}" for what, n in kinds.most_common())


_ANSWERS: Final = ("label", "prediction", "final_label", "voted_label")


def _texts(
    kind: Kind, line: Mapping[str, Any], votes: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Every text that goes out, whoever wrote it: free answers of validators and models, too."""
    yield line["explanation"]
    if kind.picture(line["input"]) is None:
        yield from _within(line["input"])
    yield from _within(line.get("context"))
    if kind.answers.few or kind.answers.several:
        return  # they are of the task's own list
    for name in _ANSWERS:
        yield from _within(line[name])
    for target in line.get("targets", ()):
        yield from _within(target["prediction"])
    for vote in votes:
        yield from _within(vote.get("label"))


def _within(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _within(part)


def _in_text(text: str, regions: Sequence[str] = REGIONS) -> Iterator[Found]:
    for match in _ADDRESS.finditer(text):
        try:
            validate_email(address := match[0].strip(".-"))
        except ValidationError:
            continue
        yield Found("e-mail address", address)
    numbers = _phonenumbers()
    for region in regions:
        for one in numbers.PhoneNumberMatcher(text, region):
            yield Found("telephone number", one.raw_string)


@cache
def _phonenumbers() -> Any:
    """Metadata of all countries: loaded when a text first looks as if it had a number."""
    import phonenumbers

    return phonenumbers
