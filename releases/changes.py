"""What a version holds and what differs between two, in a few bytes an example; no Django."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Prints = NDArray[np.uint64]
"""(n, 2): of each example its key (or 64 bits of its id), and 64 bits of how it is; by the first.
"""
Line = Mapping[str, Any]


def state_of(line: Line, votes: Sequence[Line]) -> int:
    """64 bits of an example's labels, status and number of votes."""
    state = (line["label"], line["status"], line["final_label"], len(votes))
    return _print(repr(state))


def prints_of(examples: Mapping[str, Line], votes: Mapping[str, Sequence[Line]]) -> Prints:
    """Those of a log that was read, by id."""
    found = [(_print(name), state_of(line, votes.get(name, ()))) for name, line in examples.items()]
    table = np.array(found, np.uint64).reshape(-1, 2)
    return table[table[:, 0].argsort()]


@lru_cache(maxsize=10_000)  # most examples of a task are in few states
def _print(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def packed(prints: Prints) -> bytes:
    """Ten bytes an example, the keys by their steps: these are small."""
    steps = np.diff(prints[:, 0], prepend=np.uint64(0))
    return zlib.compress(np.concatenate([steps, prints[:, 1]]).astype("<u8").tobytes(), 1)


def unpacked(data: bytes) -> Prints:
    steps, states = np.frombuffer(zlib.decompress(data), "<u8").reshape(2, -1)
    return np.stack([np.cumsum(steps, dtype=np.uint64), states], axis=1)


def how_many_of(prints: Prints, keys: NDArray[np.uint64]) -> int:
    """How many of the ascending `keys` are in it."""
    return int(np.isin(keys, prints[:, 0], assume_unique=True).sum())


def changes_between(then: Prints | None, now: Prints) -> dict[str, int]:
    """How many examples are new, are gone, and are otherwise than before."""
    if then is None:
        return {"added": len(now), "removed": 0, "changed": 0}
    both, old, new = np.intersect1d(then[:, 0], now[:, 0], return_indices=True)
    changed = np.count_nonzero(then[old, 1] != now[new, 1])
    return {
        "added": len(now) - len(both),
        "removed": len(then) - len(both),
        "changed": int(changed),
    }
