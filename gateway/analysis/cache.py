"""Earlier results in Redis. Fails open: a dead or slow Redis costs one bounded wait, then nothing.

Kinds of entries, all of one tenant and all with the same lifetime:

``prep``    what the preprocessor found, by the digest of the request's recording: spares the preprocessor;
            ``measured`` is the same with measurements
``result``  the answer, by canonical signal hash, preprocessing version and the exact model: spares Triton
``id``      the answer, by its result id
``tensor``  the preparation with its tensor, by result id; only where the settings say that it is kept
``near``    what the same recording is known by in another form (gateway/duplicates); with a lifetime of its own

Each value starts with a digest of its key and of the rest, so that an entry which is corrupt, foreign or another key's
is a miss, never an answer. The last would be another patient's: it takes a connection that answers out of step.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from google.protobuf.message import DecodeError, Message
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from cardiomesh.chassis.telemetry import Telemetry
from gateway.backends.breaker import Breaker

__all__ = ["CacheKey", "ResultCache", "cache_key"]

log = logging.getLogger("cardiomesh.cache")
M = TypeVar("M", bound=Message)
N = TypeVar("N", bound=Message)
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


def _unseal(key: CacheKey, value: object, kind: type[M]) -> M | None:
    if not isinstance(value, bytes):
        return None
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
        return (await self.get_both(key, kind, None, kind))[0]

    async def get_both(
        self, first: CacheKey, kind: type[M], second: CacheKey | None, second_kind: type[N]
    ) -> tuple[M | None, N | None]:
        """Two entries in one round trip; ``second`` may be none."""
        keys = [first] if second is None else [first, second]
        if self._redis is None or not self._breaker.allows():
            self._counted("unavailable", len(keys))
            return None, None
        with self._telemetry.span("cache.lookup", {}) as span:
            try:
                async with asyncio.timeout(self._timeout_s):
                    values = await self._redis.mget(keys)
            except ResponseError:  # it is there, and does not want to
                self._breaker.succeeded()
                values = [None] * len(keys)
            except (RedisError, OSError, TimeoutError) as error:
                self._lost(error)
                self._counted("unavailable", len(keys))
                self._telemetry.describe(span, {"cardiomesh.cache": "unavailable"})
                return None, None
            self._breaker.succeeded()
            found = _unseal(first, values[0], kind)
            self._telemetry.describe(span, {"cardiomesh.cache": "miss" if found is None else "hit"})
            self._counted("miss" if found is None else "hit")
            if second is None:
                return found, None
            other = _unseal(second, values[1], second_kind)
            self._counted("miss" if other is None else "hit")
            return found, other

    def _counted(self, outcome: str, times: int = 1) -> None:
        self._telemetry.count("cache_lookups", {"cardiomesh.cache": outcome}, times)

    async def get_all(self, keys: Sequence[CacheKey], kind: type[M]) -> list[M | None] | None:
        """Several entries in one round trip; None where Redis is away."""
        values = await self._round_trip(lambda pipeline: [pipeline.get(key) for key in keys])
        if values is None:
            return None
        return [_unseal(key, value, kind) for key, value in zip(keys, values, strict=True)]

    async def indexed(self, keys: Sequence[CacheKey]) -> list[list[str]] | None:
        """The names under each key of an index, the oldest first; None where Redis is away."""
        found = await self._round_trip(lambda pipeline: [pipeline.zrange(key, 0, -1) for key in keys])
        if found is None:
            return None
        return [[name.decode(errors="replace") for name in names] for names in found]

    async def index(self, keys: Sequence[CacheKey], name: str, *, newest: int, ttl_s: int) -> bool:
        """Put a name under each key of an index, which holds the newest few; False where Redis is away."""

        def commands(pipeline: Pipeline) -> None:
            for key in keys:
                pipeline.zadd(key, {name: time.time()})
                pipeline.zremrangebyrank(key, 0, -newest - 1)
                pipeline.expire(key, ttl_s)

        return await self._round_trip(commands) is not None

    async def _round_trip(self, commands: Callable[[Pipeline], object]) -> list[Any] | None:
        if self._redis is None or not self._breaker.allows():
            return None
        try:
            async with asyncio.timeout(self._timeout_s), self._redis.pipeline(transaction=False) as pipeline:
                commands(pipeline)
                answers: list[Any] = await pipeline.execute()
        except ResponseError:  # it is there, and full, a replica, or has something else at a key
            self._breaker.succeeded()
            return None
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(error)
            return None
        self._breaker.succeeded()
        return answers

    async def put(self, entries: Mapping[CacheKey, Message], ttl_s: int | None = None) -> None:
        """Keep them all for the lifetime, or for one of their own; none where Redis is away."""
        if self._redis is None or not self._breaker.allows():
            return
        with self._telemetry.span("cache.store", {}):
            try:
                async with asyncio.timeout(self._timeout_s), self._redis.pipeline(transaction=False) as pipeline:
                    for key, message in entries.items():
                        pipeline.set(key, _seal(key, message), ex=ttl_s or self._ttl_s)
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
