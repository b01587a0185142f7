"""The slow lane: the same answers and errors as the other one, from a process that stands back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import InvalidRequest, Unavailable
from preprocessor.decoding.registry import decode_known
from preprocessor.preparation import Preparation
from preprocessor.slow.lane import SlowLane
from tests.unit.preprocessor.recordings import heart


@pytest.fixture
async def lane() -> AsyncIterator[SlowLane]:
    lane = SlowLane(0.0, decode_seconds=10.0, decode_memory_mib=512)
    yield lane
    await lane.close()


def request(samples: bytes) -> preprocessor_pb2.PrepareRequest:
    signal_sent = types_pb2.Signal(
        leads=STANDARD_LEADS,
        sampling_rate=500.0,
        unit="uV",
        sample_type=types_pb2.SAMPLE_TYPE_INT16,
        samples=samples,
    )
    return preprocessor_pb2.PrepareRequest(recording=types_pb2.Recording(signal=signal_sent), measure=True)


def child() -> int:
    """Its process id."""
    started = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    (found,) = [pid for pid in started if b"preprocessor.slow.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return int(found)


def expected(asked: preprocessor_pb2.PrepareRequest) -> preprocessor_pb2.PrepareResponse:
    telemetry = Telemetry("test")
    try:
        return Preparation(telemetry, decode_known, 0.0)(asked)
    finally:
        telemetry.close()


async def test_answers_and_errors_are_those_of_the_other_lane(lane: SlowLane) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await lane.prepare(request(b"\0\0"))
    assert [violation.field for violation in caught.value.violations] == ["recording.signal.samples"]
    asked = request(heart().tobytes())
    assert await lane.prepare(asked) == expected(asked)
    assert os.getpriority(os.PRIO_PROCESS, child()) == 19


async def test_neither_who_leaves_early_nor_a_lost_child_harms_the_next(lane: SlowLane) -> None:
    first = asyncio.create_task(lane.prepare(request(heart().tobytes())))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    other = request((heart() // 2).tobytes())
    assert (await lane.prepare(other)).tensor_hash == expected(other).tensor_hash
    os.kill(child(), signal.SIGKILL)
    with pytest.raises(Unavailable):
        await lane.prepare(other)
    assert (await lane.prepare(other)).tensor_hash == expected(other).tensor_hash
