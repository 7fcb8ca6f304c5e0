"""Sums as integers of a currency's smallest unit, read and written strictly; imports no Django."""

from __future__ import annotations

import re
from typing import Final

# Digits after the point (ISO 4217), where they are not two.
_DIGITS: Final = {
    **dict.fromkeys(("CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
_AMOUNT: Final = re.compile(r"(0|[1-9][0-9]{0,8})(?:\.([0-9]{1,3}))?", re.ASCII)


def digits_of(currency: str) -> int:
    return _DIGITS.get(currency, 2)


def parse(text: object, currency: str) -> int:
    """The units in an amount such as "0.50"; ValueError, as a sentence, for all else.

    No sign, no symbol, no spaces, no float: platforms' own libraries take "$0.10" and "" unasked.
    """
    digits = digits_of(currency)
    found = _AMOUNT.fullmatch(text) if isinstance(text, str) else None
    if found is None or len(found[2] or "") > digits:
        example = plain(1500 if digits else 15, currency)
        raise ValueError(f'write an amount in {currency} as a text such as "{example}"')
    return int(found[1]) * 10**digits + int((found[2] or "").ljust(digits, "0") or 0)


def plain(units: int, currency: str) -> str:
    """1500 in USD is 15.00, as payment files and platforms take it."""
    digits = digits_of(currency)
    whole, rest = divmod(units, 10**digits)
    return f"{whole}.{rest:0{digits}d}" if digits else str(whole)


def in_words(units: int, currency: str) -> str:
    """The same for people: 15.00 USD."""
    return f"{plain(units, currency)}\u00a0{currency}"
