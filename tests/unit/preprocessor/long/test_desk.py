"""PrepareLong over real gRPC: order, limits, cancellation, memory, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2, preprocessor_pb2_grpc
from cardiomesh.chassis.service import RunningService, running
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import CardioMeshError, DeadlineExceeded, InvalidRequest, Overloaded, TooLarge, UnfitRecording
from cardiomesh.rpc.channel import dial
from cardiomesh.rpc.status import error_from_rpc
from preprocessor.__main__ import build
from preprocessor.long.desk import Limits, LongDesk
from preprocessor.prepare import prepare
from preprocessor.settings import PreprocessorSettings
from tests.unit.preprocessor.long.tapes import RATE, as_ishne, as_wfdb, tape
from tests.unit.preprocessor.recordings import as_signal

Request = preprocessor_pb2.PrepareLongRequest
Response = preprocessor_pb2.PrepareLongResponse


@asynccontextmanager
async def service(folder: Path, **settings: Any) -> AsyncIterator[RunningService]:
    telemetry = Telemetry("preprocessor")
    chosen = PreprocessorSettings(
        grpc_address="127.0.0.1:0",
        http_address="127.0.0.1:0",
        decode_warm=False,
        spool_folder=folder,
        **{"decode_seconds": 60.0, **settings},
    )
    async with running(chosen, build(chosen, telemetry), telemetry) as started:
        yield started
    telemetry.close()


def requests(content: bytes, stride: float = 10.0, chunk: int = 100_000) -> list[Request]:
    start = Request(start=preprocessor_pb2.PrepareLongStart(stride=stride))
    return [start, *(Request(chunk=content[k : k + chunk]) for k in range(0, len(content), chunk))]


def left(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def ask(started: RunningService, sent: Sequence[Request]) -> list[Response]:
    async with dial(started.grpc_address) as channel:
        try:
            call = preprocessor_pb2_grpc.PreprocessorStub(channel).PrepareLong(iter(sent), timeout=120)
            return [part async for part in call]
        except grpc.RpcError as error:
            raise error_from_rpc(error) from None


async def test_the_recording_comes_first_and_its_windows_in_order(tmp_path: Path) -> None:
    counts = tape(200.0)
    async with service(tmp_path) as started:
        first, *rest = await ask(started, requests(as_ishne(counts)))
    assert first.recording.windows == 20
    assert first.recording.recording.format == "ishne"
    assert first.recording.recording.duration == 200.0
    assert len(first.recording.content_hash) == 64
    found = [window for part in rest for window in part.windows.windows]
    assert [window.index for window in found] == list(range(20))
    for window in found[::7]:
        start = round(window.start * RATE)
        alone = prepare(as_signal(counts[:, start : start + 10 * RATE], RATE))
        assert (window.tensor, window.tensor_hash) == (alone.tensor, alone.tensor_hash)
    assert not left(tmp_path)


BAD: list[tuple[list[Request], type[CardioMeshError], str]] = [
    ([], InvalidRequest, "start first"),
    ([Request(chunk=b"x")], InvalidRequest, "start first"),
    ([Request()], InvalidRequest, "start first"),
    (requests(b""), InvalidRequest, "empty"),
    (requests(as_ishne(tape(20.0)), stride=0.1), InvalidRequest, "stride"),
    (requests(as_wfdb(tape(20.0))[:-5000]), InvalidRequest, "recording.file.content"),
    (requests(bytes(3 * 2**20), chunk=2**20), TooLarge, "2 MiB"),
]


async def test_bad_input_is_a_typed_error_and_the_service_lives(tmp_path: Path) -> None:
    async with service(tmp_path, long_file_mib=2) as started:
        for sent, error, word in BAD:
            with pytest.raises(error, match=word):
                await ask(started, sent)
        content = bytearray(as_ishne(tape(60.0)))
        content[158 + 2 * 11 : 160 + 2 * 11] = b"\x02\0"  # V6 becomes X: no window could be answered
        with pytest.raises(UnfitRecording, match="missing V6"):
            await ask(started, requests(bytes(content)))
        assert len(await ask(started, requests(as_ishne(tape(12.0))))) == 2
    assert not left(tmp_path)


async def test_one_too_many_is_refused_and_one_too_slow_makes_room(tmp_path: Path) -> None:
    limits = Limits(tmp_path, 2**20, recordings=1, chunk_seconds=0.5, part_seconds=60.0, memory_mib=512)
    desk, reached = LongDesk(limits, 0.7), asyncio.Event()

    async def hesitant() -> AsyncIterator[Request]:
        yield Request(start=preprocessor_pb2.PrepareLongStart())
        reached.set()
        await asyncio.Event().wait()

    slow = asyncio.ensure_future(anext(desk.prepare(hesitant())))
    await reached.wait()
    with pytest.raises(Overloaded):
        await anext(desk.prepare(hesitant()))
    with pytest.raises(DeadlineExceeded):
        await slow
    with pytest.raises(DeadlineExceeded):
        await anext(desk.prepare(hesitant()))
    assert not left(tmp_path)


async def test_a_caller_who_goes_away_leaves_nothing_running(tmp_path: Path) -> None:
    content = as_ishne(tape(1800.0))
    async with service(tmp_path, long_recordings=1) as started:
        async with dial(started.grpc_address) as channel:
            call = preprocessor_pb2_grpc.PreprocessorStub(channel).PrepareLong(iter(requests(content)), timeout=120)
            first = await anext(aiter(call))
            assert first.recording.windows == 180
            call.cancel()
        for _ in range(200):  # its place is free again as soon as its child has ended
            try:
                assert len(await ask(started, requests(as_ishne(tape(12.0))))) == 2
                break
            except CardioMeshError as error:
                # grpc.aio says "Internal error" where a refusal overtakes the requests that are still being written.
                if not isinstance(error, Overloaded) and "Internal error from Core" not in str(error):
                    raise
                await asyncio.sleep(0.05)
        else:
            pytest.fail("the place was never freed")
    assert not left(tmp_path)
