"""Token buckets for each door, shared by all processes through the cache."""

from __future__ import annotations

import time

from django.core.cache import cache

# door: (how many at once, how many a second)
DOORS = {
    "predict": (60, 30.0),
    "submit": (20, 1.0),
    "vote": (30, 3.0),
    "sandbox-predict": (40, 15.0),
    "sandbox-submit": (5, 0.1),
}


def wait_for(door: str, key: str) -> float:
    """Seconds to wait before this person may pass; 0 when they may now, and then it is counted.

    The bucket is kept as the time at which it will be full again. Two requests in the same
    instant may read the same time and both pass: a limit needs no more precision than that.
    """
    burst, rate = DOORS[door]
    now = time.time()
    name = f"limit:{door}:{key}"
    full_at = max(cache.get(name, now), now)
    backlog = full_at + 1 / rate - now - burst / rate
    if backlog > 0:
        return backlog
    cache.set(name, full_at + 1 / rate, timeout=burst / rate + 60)
    return 0.0
