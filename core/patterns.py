"""Regular expressions that an owner writes, and that no text takes long: RE2's, in linear time."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import re2

MOST_MEMORY: Final = 1 << 20  # bytes of a compiled one


class NoPattern(ValueError):
    """It is no expression of RE2, or too large a one; the message says why."""


@lru_cache(maxsize=100)
def compiled(text: str) -> Any:
    """The compiled expression; NoPattern when there is none."""
    options = re2.Options()
    options.max_mem, options.log_errors = MOST_MEMORY, False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        (why,) = error.args
        raise NoPattern(why.decode() if isinstance(why, bytes) else str(why)) from error
