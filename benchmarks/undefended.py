"""The server's settings with two rules off: what is heavy is read where everybody is answered, and
nobody is charged for it. The control of `python -m benchmarks hostile`, and for nothing else."""

from __future__ import annotations

from core.limits import Passage
from dadc_server.settings import *  # noqa: F403
from kinds.image import KIND

Passage.charge = lambda *_: None  # type: ignore[method-assign]
object.__setattr__(KIND, "heavy", lambda _: False)
