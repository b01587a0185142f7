"""How much one tenant may have computed: a token bucket each, in Redis, so that all replicas draw from the same one.

The bucket is kept as one number, the time at which it will be full again (the generic cell rate algorithm): one key,
one script, atomic. Redis's clock is everybody's clock. While Redis is away each replica keeps buckets of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.backends.breaker import Breaker

__all__ = ["Bucket", "TenantLimits"]

log = logging.getLogger("cardiomesh.tenants")
#: KEYS[1] the bucket; ARGV seconds a token, tokens at most. Answers the seconds to wait, 0 when a token was taken.
_TAKE: Final = """
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1e6
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
full = full + interval
local wait = full - now - interval * burst
if wait > 1e-6 then return tostring(wait) end
redis.call('SET', KEYS[1], string.format('%.6f', full), 'PX', math.ceil((full - now) * 1000) + 1000)
return '0'
"""


class Bucket:
    """The same bucket in this process."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1.0 / rate
        self._burst = burst
        self._clock = clock
        self._full_at = 0.0

    def take(self) -> float:
        """Take a token and answer 0, or answer the seconds until there is one."""
        now = self._clock()
        full = max(now, self._full_at) + self._interval
        wait = full - now - self._interval * self._burst
        if wait > 1e-6:
            return wait
        self._full_at = full
        return 0.0


class TenantLimits:
    """``rate`` pieces of work a second for each tenant, ``burst`` at once; a rate of 0 is no limit."""

    def __init__(
        self,
        url: str | None,
        *,
        rate: float,
        burst: int,
        timeout_s: float = 0.1,
        cool_down_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._timeout_s = timeout_s
        self._breaker = Breaker(cool_down_s)
        self._local: dict[str, Bucket] = {}
        self._redis: Redis | None = None
        if url is not None and rate > 0:
            self._redis = Redis.from_url(
                url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
            )

    async def take(self, tenant: str) -> float | None:
        """None when the tenant has a token, which is then spent; else the seconds until there is one."""
        if self._rate <= 0:
            return None
        wait = await self._shared(tenant)
        if wait is None:
            bucket = self._local.setdefault(tenant, Bucket(self._rate, self._burst, self._clock))
            wait = bucket.take()
        return wait or None

    async def _shared(self, tenant: str) -> float | None:
        """The same from Redis; None while it is away."""
        if self._redis is None or not self._breaker.allows():
            return None
        key = f"cm1:{tenant}:rate"
        try:
            async with asyncio.timeout(self._timeout_s):
                wait = float(await self._redis.eval(_TAKE, 1, key, 1.0 / self._rate, self._burst))
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            if self._breaker.closed:
                log.warning("the tenants' shared rates are away", extra={"error_type": type(error).__name__})
            self._breaker.failed()
            return None
        self._breaker.succeeded()
        return wait

    async def close(self) -> None:
        """Close the connections."""
        if self._redis is not None:
            await self._redis.aclose()
