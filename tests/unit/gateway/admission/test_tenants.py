"""Token buckets on a real Redis-protocol server, and beside it while it is away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from gateway.admission.tenants import Bucket, TenantLimits
from tests.clock import Clock


@asynccontextmanager
async def limits(url: str | None, rate: float, burst: int) -> AsyncIterator[TenantLimits]:
    made = TenantLimits(url, rate=rate, burst=burst, timeout_s=5.0, clock=Clock())
    try:
        yield made
    finally:
        await made.close()


def test_a_bucket_holds_a_burst_and_fills_at_its_rate() -> None:
    clock = Clock()
    clock.now = 100.0
    bucket = Bucket(rate=2.0, burst=3, clock=clock)
    assert [bucket.take() for _ in range(4)] == [0.0, 0.0, 0.0, pytest.approx(0.5)]
    clock.now += 0.5
    assert [bucket.take() for _ in range(2)] == [0.0, pytest.approx(0.5)]
    clock.now += 60.0
    assert [bucket.take() for _ in range(4)] == [0.0, 0.0, 0.0, pytest.approx(0.5)]


async def test_replicas_draw_from_one_bucket_and_tenants_from_their_own(valkey: str) -> None:
    url = f"redis://{valkey}/0"
    async with limits(url, 0.001, 3) as one, limits(url, 0.001, 3) as other, Redis.from_url(url) as redis:
        taken = [await replica.take("shared") for replica in (one, other, one, other)]
        assert taken[:3] == [None, None, None]
        assert taken[3] == pytest.approx(1000.0, abs=60)
        assert await one.take("another") is None
        assert 0 < await redis.pttl("cm1:shared:rate") <= 3_001_000


async def test_a_key_of_the_wrong_type_is_no_outage_of_the_mesh(valkey: str) -> None:
    url = f"redis://{valkey}/0"
    async with limits(url, 0.001, 1) as some, Redis.from_url(url) as redis:
        await redis.rpush("cm1:broken:rate", "x")
        assert await some.take("broken") is None
        assert await some.take("broken") == pytest.approx(1000.0)
        await redis.delete("cm1:broken:rate")


async def test_without_redis_each_replica_keeps_its_own(unused_tcp_port: int) -> None:
    async with limits(f"redis://127.0.0.1:{unused_tcp_port}/0", 0.001, 2) as some:
        assert [await some.take("t") for _ in range(2)] == [None, None]
        assert await some.take("t") == pytest.approx(1000.0)


async def test_no_rate_is_no_limit() -> None:
    async with limits(None, 0.0, 1) as some:
        assert {await some.take("t") for _ in range(1000)} == {None}
