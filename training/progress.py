"""How far a run is, for its page and its terminal, with the time that the rest takes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from training import services
from training.models import TrainingRun

Listener = Callable[[float, str], None]

WRITE_EVERY = 0.5  # seconds between two progress rows: a page polls once a second
LEAST_TO_TELL = 3.0  # seconds of work after which its pace says how long the rest takes


class Progress:
    """Tells the database and the listener how far a run is."""

    def __init__(self, run: TrainingRun, claim: uuid.UUID, listener: Listener | None) -> None:
        self.run, self.claim, self.listener = run, claim, listener
        self._written = float("-inf")
        self._from: tuple[float, float] | None = None

    def step(self, fraction: float, stage: str, **values: Any) -> None:
        """A new stage: always written, with what else is known now."""
        self._step(fraction, stage + self._left(fraction), **values)

    def _step(self, fraction: float, stage: str, **values: Any) -> None:
        self.run.progress, self.run.stage = fraction, stage[:200]
        services.report(self.run, self.claim, progress=fraction, stage=self.run.stage, **values)
        self._written = time.monotonic()
        if self.listener is not None:
            self.listener(fraction, stage)

    def within(self, fraction: float, stage: str) -> None:
        """Progress inside a stage: written at most twice a second."""
        stage += self._left(fraction)
        if time.monotonic() - self._written >= WRITE_EVERY:
            self._step(fraction, stage)
        elif self.listener is not None:
            self.listener(fraction, stage)

    def _left(self, fraction: float) -> str:
        """How long it takes at the pace of this process; empty while that is a guess."""
        now = time.monotonic()
        if self._from is None or fraction < self._from[0]:
            self._from = fraction, now
        first, since = self._from
        if fraction - first < 0.1 or now - since < LEAST_TO_TELL:
            return ""
        seconds = (now - since) * (1 - fraction) / (fraction - first)
        left = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"
        return f"{services.TIME_LEFT}{left} left."
