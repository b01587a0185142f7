"""The result cache on a real Redis-protocol server: exact, bounded, and open when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.chassis.telemetry import Telemetry
from gateway.analysis.cache import ResultCache, cache_key

ANSWER = gateway_pb2.AnalyzeResponse(result_id="r1", model=types_pb2.ModelRef(name="m", version=1))


@asynccontextmanager
async def cache_at(url: str | None, *, timeout_s: float = 5.0, cool_down_s: float = 60.0) -> AsyncIterator[ResultCache]:
    telemetry = Telemetry("test")
    cache = ResultCache(url, telemetry, ttl_s=60, timeout_s=timeout_s, cool_down_s=cool_down_s)
    try:
        yield cache
    finally:
        await cache.close()
        telemetry.close()


@pytest.fixture
def url(valkey: str) -> str:
    return f"redis://{valkey}/0"


async def test_what_was_put_is_found_and_expires(url: str) -> None:
    key = cache_key("t", "result", "found")
    async with cache_at(url) as cache, Redis.from_url(url) as redis:
        assert await cache.get(key, gateway_pb2.AnalyzeResponse) is None
        await cache.put({key: ANSWER})
        assert await cache.get(key, gateway_pb2.AnalyzeResponse) == ANSWER
        assert 0 < await redis.ttl(key) <= 60


async def test_two_entries_are_found_each_on_its_own(url: str) -> None:
    there, missing = cache_key("t", "result", "there"), cache_key("t", "result", "missing")
    kind = gateway_pb2.AnalyzeResponse
    async with cache_at(url) as cache:
        await cache.put({there: ANSWER})
        assert await cache.get_both(there, kind, missing, kind) == (ANSWER, None)
        assert await cache.get_both(missing, kind, there, kind) == (None, ANSWER)
        assert await cache.get_both(there, kind, None, kind) == (ANSWER, None)


def test_tenants_and_kinds_never_share_a_key() -> None:
    keys = {cache_key(t, k, "same") for t in ("a", "b") for k in ("result", "prep", "id")}
    assert len(keys) == 6


@pytest.mark.parametrize("stored", [b"", b"garbage", b"\0" * 16 + ANSWER.SerializeToString()])
async def test_a_corrupt_entry_is_a_miss(url: str, stored: bytes) -> None:
    key = cache_key("t", "result", "corrupt")
    async with cache_at(url) as cache, Redis.from_url(url) as redis:
        await redis.set(key, stored)
        assert await cache.get(key, gateway_pb2.AnalyzeResponse) is None
        assert cache.available


async def test_an_entry_of_the_wrong_redis_type_is_a_miss(url: str) -> None:
    key = cache_key("t", "result", "list")
    async with cache_at(url) as cache, Redis.from_url(url) as redis:
        await redis.rpush(key, "x")
        assert await cache.get(key, gateway_pb2.AnalyzeResponse) is None
        assert cache.available  # one odd key is no reason to leave the others alone
        await redis.delete(key)


async def test_an_entry_under_another_key_is_a_miss(url: str) -> None:
    """As it would arrive on a connection that answers out of step: another recording's, perhaps another patient's."""
    mine, other = cache_key("t", "result", "mine"), cache_key("t", "result", "other")
    async with cache_at(url) as cache, Redis.from_url(url) as redis:
        await cache.put({other: ANSWER})
        await redis.set(mine, await redis.get(other))
        assert await cache.get(mine, gateway_pb2.AnalyzeResponse) is None
        assert await cache.get(other, gateway_pb2.AnalyzeResponse) == ANSWER


async def test_a_full_server_still_gives_what_it_has(url: str) -> None:
    kept, refused = cache_key("t", "result", "kept"), cache_key("t", "result", "refused")
    async with cache_at(url) as cache, Redis.from_url(url) as redis:
        await cache.put({kept: ANSWER})
        before = await redis.config_get("maxmemory*")
        await redis.config_set("maxmemory-policy", "noeviction")
        await redis.config_set("maxmemory", 1)
        try:
            await cache.put({refused: ANSWER})
            assert await cache.get(refused, gateway_pb2.AnalyzeResponse) is None
            assert await cache.get(kept, gateway_pb2.AnalyzeResponse) == ANSWER
        finally:
            for name in ("maxmemory", "maxmemory-policy"):
                await redis.config_set(name, before[name])


async def test_without_a_url_everything_is_a_miss() -> None:
    async with cache_at(None) as cache:
        await cache.put({"k": ANSWER})
        assert await cache.get("k", gateway_pb2.AnalyzeResponse) is None
        assert not cache.available


async def test_a_dead_server_is_a_miss_and_then_left_alone(unused_tcp_port: int) -> None:
    async with cache_at(f"redis://127.0.0.1:{unused_tcp_port}/0") as cache:
        assert await cache.get("k", gateway_pb2.AnalyzeResponse) is None
        assert not cache.available
        await cache.put({"k": ANSWER})


async def test_a_black_hole_is_asked_once_and_then_left_alone() -> None:
    asked = 0
    silent = asyncio.Event()

    async def swallow(reader: Any, writer: Any) -> None:
        nonlocal asked
        asked += 1
        await silent.wait()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, cache_at(f"redis://127.0.0.1:{port}/0", timeout_s=0.05) as cache:
        for _ in range(20):
            assert await cache.get("k", gateway_pb2.AnalyzeResponse) is None
        silent.set()
    assert asked == 1


async def test_it_comes_back_by_itself(url: str, unused_tcp_port: int) -> None:
    """One trial after the cool-down is enough, whatever was missed meanwhile."""
    host, _, port = url.removeprefix("redis://").removesuffix("/0").partition(":")
    async with cache_at(f"redis://127.0.0.1:{unused_tcp_port}/0", cool_down_s=0.0) as cache:
        assert await cache.get("k", gateway_pb2.AnalyzeResponse) is None

        async def relay(reader: Any, writer: Any) -> None:
            upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))

            async def copy(source: Any, sink: Any) -> None:
                while chunk := await source.read(65536):
                    sink.write(chunk)
                    await sink.drain()
                sink.close()

            await asyncio.gather(copy(reader, upstream_writer), copy(upstream_reader, writer))

        server = await asyncio.start_server(relay, "127.0.0.1", unused_tcp_port)
        async with server:
            await cache.put({cache_key("t", "result", "back"): ANSWER})
            assert await cache.get(cache_key("t", "result", "back"), gateway_pb2.AnalyzeResponse) == ANSWER
            assert cache.available
            await cache.close()
