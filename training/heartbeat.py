"""Signs of life of a job while its process is busy with it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import DatabaseError, connections

from training.services import Superseded

logger = logging.getLogger(__name__)

INTERVAL = 5.0


@contextmanager
def heartbeat(beat: Callable[[], object], name: str) -> Iterator[None]:
    """Call `beat` every five seconds from a thread of its own until the block ends."""
    done = threading.Event()
    thread = threading.Thread(
        target=_beat, args=(beat, name, done), name=f"heartbeat of {name}", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _beat(beat: Callable[[], object], name: str, done: threading.Event) -> None:
    try:
        while not done.wait(INTERVAL):
            try:
                beat()
            except DatabaseError:  # busy or away for a moment: the next beat tells
                logger.warning("a heartbeat of %s was not written", name, exc_info=True)
            finally:
                connections["default"].close_if_unusable_or_obsolete()
    except Superseded:
        return  # the main thread finds out with its next report
    finally:
        connections.close_all()
