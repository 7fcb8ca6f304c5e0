"""The cache that sign-in counts wrong passwords in: Redis, or this process' memory without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import redis
import structlog
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache

log = structlog.get_logger(__name__)

R = TypeVar("R")


class RedisOrMemory(RedisCache):
    """Redis; while it is away each process counts for itself, so that people can still sign in.

    Nothing may be kept here that must be found again: only limits are.
    """

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._memory = LocMemCache("without-redis", dict(params, OPTIONS={}))

    def add(self, *args: Any, **kwargs: Any) -> bool:
        return self._either(super().add, self._memory.add, *args, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return self._either(super().get, self._memory.get, *args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> None:
        self._either(super().set, self._memory.set, *args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> bool:
        return self._either(super().delete, self._memory.delete, *args, **kwargs)

    def _either(
        self, shared: Callable[..., R], own: Callable[..., R], *args: Any, **kwargs: Any
    ) -> R:
        try:
            return shared(*args, **kwargs)
        except redis.RedisError as error:
            log.warning("cache_is_local", reason=type(error).__name__)
            return own(*args, **kwargs)
