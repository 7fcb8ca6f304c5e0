"""Bytes that come and go, shown on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def bytes_shown(what: str) -> Iterator[Callable[[int], Callable[[int], object]]]:
    """A bar on a terminal, nothing elsewhere; the block is told of its total when it knows it."""
    with tqdm(desc=what, unit="B", unit_scale=True, disable=None) as bar:

        def expect(total: int) -> Callable[[int], object]:
            bar.reset(total)
            return bar.update

        yield expect
