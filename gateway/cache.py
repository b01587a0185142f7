"""Earlier results in Redis. Fails open: a dead or slow Redis costs one bounded wait, then nothing.

Kinds of entries, all of one tenant and all with the same lifetime:

``prep``    what the preprocessor found, by the digest of the request's recording: spares the preprocessor;
            ``measured`` is the same with measurements
``result``  the answer, by canonical signal hash, preprocessing version and the exact model: spares Triton
``id``      the answer, by its result id
``tensor``  the preparation with its tensor, by result id; only where the settings say that it is kept

Each value starts with a digest of its key and of the rest, so that an entry which is corrupt, foreign or another key's
is a miss, never an answer. The last would be another patient's: it takes a connection that answers out of step.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from cardiomesh.chassis.telemetry import Telemetry
from gateway.breaker import Breaker

__all__ = ["CacheKey", "ResultCache", "cache_key"]

log = logging.getLogger("cardiomesh.cache")
M = TypeVar("M", bound=Message)
CacheKey = str
_DIGEST_BYTES: Final = 16
_FORMAT: Final = "cm2"


def cache_key(tenant: str, kind: str, *parts: str | int) -> CacheKey:
    """One key; parts are hashes, versions and published names, never patient data."""
    return ":".join((_FORMAT, tenant, kind, *map(str, parts)))


def _digest(key: CacheKey, payload: bytes) -> bytes:
    digest = hashlib.blake2b(payload, digest_size=_DIGEST_BYTES)
    digest.update(key.encode())
    return digest.digest()


def _seal(key: CacheKey, message: Message) -> bytes:
    payload = message.SerializeToString()
    return _digest(key, payload) + payload


def _unseal(key: CacheKey, value: bytes, kind: type[M]) -> M | None:
    digest, payload = value[:_DIGEST_BYTES], value[_DIGEST_BYTES:]
    if _digest(key, payload) != digest:
        return None
    try:
        return kind.FromString(payload)
    except DecodeError:
        return None


class ResultCache:
    """Get and put protobuf messages; every failure is a miss."""

    def __init__(
        self, url: str | None, telemetry: Telemetry, *, ttl_s: int, timeout_s: float, cool_down_s: float
    ) -> None:
        self._telemetry = telemetry
        self._ttl_s = ttl_s
        self._timeout_s = timeout_s
        self._breaker = Breaker(cool_down_s)
        self._redis: Redis | None = None
        #: Whether it took the last entries.
        self._takes = True
        if url is not None:
            self._redis = Redis.from_url(
                url,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 0),
                health_check_interval=0,
            )

    @property
    def available(self) -> bool:
        """Whether entries can be expected to be found and kept."""
        return self._redis is not None and self._breaker.closed

    async def get(self, key: CacheKey, kind: type[M]) -> M | None:
        """The entry, or None when there is none that can be trusted."""
        if self._redis is None or not self._breaker.allows():
            self._telemetry.count("cache_lookups", {"cardiomesh.cache": "unavailable"})
            return None
        with self._telemetry.span("cache.lookup", {}) as span:
            try:
                async with asyncio.timeout(self._timeout_s):
                    value = await self._redis.get(key)
            except ResponseError:  # it is there, and has something else at this key
                self._breaker.succeeded()
                found, outcome = None, "miss"
            except (RedisError, OSError, TimeoutError) as error:
                self._lost(error)
                outcome = "unavailable"
                found = None
            else:
                self._breaker.succeeded()
                found = _unseal(key, value, kind) if isinstance(value, bytes) else None
                outcome = "miss" if found is None else "hit"
            self._telemetry.describe(span, {"cardiomesh.cache": outcome})
            self._telemetry.count("cache_lookups", {"cardiomesh.cache": outcome})
        return found

    async def put(self, entries: Mapping[CacheKey, Message]) -> None:
        """Keep them all for the lifetime, or none where Redis is away."""
        if self._redis is None or not self._breaker.allows():
            return
        with self._telemetry.span("cache.store", {}):
            try:
                async with asyncio.timeout(self._timeout_s), self._redis.pipeline(transaction=False) as pipeline:
                    for key, message in entries.items():
                        pipeline.set(key, _seal(key, message), ex=self._ttl_s)
                    await pipeline.execute()
            except ResponseError as error:  # it is there and takes nothing: full, or a replica
                self._breaker.succeeded()
                if self._takes:
                    log.warning("the cache takes no entries", extra={"error_type": type(error).__name__})
                self._takes = False
            except (RedisError, OSError, TimeoutError) as error:
                self._lost(error)
            else:
                self._breaker.succeeded()
                self._takes = True

    def _lost(self, error: Exception) -> None:
        if self._breaker.closed:
            log.warning("cache is away; answering without it", extra={"error_type": type(error).__name__})
        self._breaker.failed()

    async def close(self) -> None:
        """Close the connections."""
        if self._redis is not None:
            await self._redis.aclose()
