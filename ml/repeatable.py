"""The same seed gives the same weights, and leaves the process as it was; imports no Django."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Seed torch and hold it to one thread, and leave both as they were found.

    On a busy machine of two cores, two threads waiting for each other took six times the
    processor time of one; and only a fixed number of threads adds up in the same order.
    """
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
