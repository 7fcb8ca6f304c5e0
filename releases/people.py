"""Who people are in a release, and which split an author's examples are in; no Django.

A name is a keyed hash: the same person has the same one in every version of a task and another in
each task, and nobody without the key finds out whose it is by trying names.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"
SPLITS: Final = (TRAIN, VALIDATION, TEST)
SHARES: Final = {TEST: 0.10, VALIDATION: 0.10}


class Pseudonyms:
    """The names of one task's people; each is hashed once."""

    def __init__(self, key: bytes, slug: str) -> None:
        self._key, self._slug = key, slug
        self._known: dict[str, str] = {}

    def of(self, name: str) -> str:
        """64 bits: two of a million people are called alike with a chance of 1 in 37 million."""
        if name not in self._known:
            content = f"{self._slug}\0{name}".encode()
            self._known[name] = f"w-{hmac.digest(self._key, content, 'sha256').hex()[:16]}"
        return self._known[name]


def split_of(name: str) -> str:
    """The split of an author by their name in the release, whoever else takes part.

    A tenth of the authors test, a tenth validate. Anybody can repeat it.
    """
    place = int.from_bytes(hashlib.sha256(f"split\0{name}".encode()).digest()[:8]) / 2**64
    if place < SHARES[TEST]:
        return TEST
    return VALIDATION if place < SHARES[TEST] + SHARES[VALIDATION] else TRAIN
