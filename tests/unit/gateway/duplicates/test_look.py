"""Near-duplicates on a real Redis-protocol server: found within one subject, and never a word of whom."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2
from cardiomesh.chassis.telemetry import Telemetry
from gateway.analysis.cache import ResultCache
from gateway.duplicates import NearDuplicates
from tests.unit.gateway.duplicates.hearts import known_by, recording

KEY = b"k" * 32


def message(seed: int, start: int = 0) -> preprocessor_pb2.Fingerprint:
    found = known_by(recording(seed)[:, start:])
    return preprocessor_pb2.Fingerprint(landmarks=found.landmarks, beats=found.beats)


@pytest.fixture
async def cache(valkey: str) -> AsyncIterator[ResultCache]:
    telemetry = Telemetry("test")
    async with Redis.from_url(f"redis://{valkey}/0") as redis:
        await redis.flushdb()
    cache = ResultCache(f"redis://{valkey}/0", telemetry, ttl_s=60, timeout_s=5.0, cool_down_s=60.0)
    yield cache
    await cache.close()
    telemetry.close()


async def test_the_same_recording_trimmed_is_found_and_names_the_earlier_answer(cache: ResultCache) -> None:
    near = NearDuplicates(cache, KEY, 60)
    first = await near.look("t", "anna", "r1", message(1))
    assert (first.looked_up, first.result_id) == (True, "")
    again = await near.look("t", "anna", "r2", message(1, start=777))
    assert (again.looked_up, again.result_id) == (True, "r1")
    assert 0.6 < again.similarity <= 1.0
    other = await near.look("t", "anna", "r3", message(2))
    assert (other.looked_up, other.result_id) == (True, "")


async def test_an_answer_is_no_duplicate_of_itself(cache: ResultCache) -> None:
    near = NearDuplicates(cache, KEY, 60)
    for _ in range(2):
        found = await near.look("t", "anna", "r1", message(1))
        assert (found.looked_up, found.result_id) == (True, "")


@pytest.mark.parametrize(("tenant", "subject"), [("t", "bert"), ("other", "anna")])
async def test_another_subject_or_tenant_is_never_compared(cache: ResultCache, tenant: str, subject: str) -> None:
    near = NearDuplicates(cache, KEY, 60)
    await near.look("t", "anna", "r1", message(1))
    assert (await near.look(tenant, subject, "r2", message(1))).result_id == ""


async def test_keys_tell_nobody_whose_they_are_and_all_of_them_end(cache: ResultCache, valkey: str) -> None:
    await NearDuplicates(cache, KEY, 60).look("t", "anna", "r1", message(1))
    await NearDuplicates(cache, KEY, 60).look("t", "bert", "r2", message(1))
    async with Redis.from_url(f"redis://{valkey}/0") as redis:
        keys = await redis.keys("*")
        assert keys
        assert not any(b"anna" in key or b"r1" in key for key in keys)
        assert len(keys) == len(set(keys)) == 2 * (len(message(1).landmarks) + 1)  # no key of one is the other's
        assert all([0 < await redis.ttl(key) <= 60 for key in keys])


async def test_a_landmark_holds_the_newest_few(cache: ResultCache, valkey: str) -> None:
    near = NearDuplicates(cache, KEY, 60)
    for number in range(20):
        await near.look("t", "anna", f"r{number}", message(1))
    async with Redis.from_url(f"redis://{valkey}/0") as redis:
        sizes = [await redis.zcard(key) for key in await redis.keys("*") if await redis.type(key) == b"zset"]
    assert sizes == [16] * len(message(1).landmarks)


async def test_without_redis_nothing_is_looked_up_and_that_is_said() -> None:
    telemetry = Telemetry("test")
    cache = ResultCache(None, telemetry, ttl_s=60, timeout_s=0.1, cool_down_s=60.0)
    found = await NearDuplicates(cache, KEY, 60).look("t", "anna", "r1", message(1))
    assert (found.looked_up, found.result_id, found.reason) == (False, "", "CACHE_AWAY")
    telemetry.close()


async def test_an_index_of_the_wrong_type_is_not_looked_up(cache: ResultCache, valkey: str) -> None:
    near = NearDuplicates(cache, KEY, 60)
    await near.look("t", "anna", "r1", message(1))
    async with Redis.from_url(f"redis://{valkey}/0") as redis:
        for key in await redis.keys("*"):
            await redis.delete(key)
            await redis.set(key, b"garbage")
    assert (await near.look("t", "anna", "r2", message(1))).reason == "CACHE_AWAY"
    assert cache.available


async def test_too_few_beats_are_said(cache: ResultCache) -> None:
    found = await NearDuplicates(cache, KEY, 60).look("t", "anna", "r1", preprocessor_pb2.Fingerprint())
    assert (found.looked_up, found.reason) == (False, "TOO_FEW_BEATS")
