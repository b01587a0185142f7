"""A server that refuses in the middle of an upload is heard; without ``status_kept`` grpc.aio says INTERNAL instead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest

from cardiomesh.chassis.deadline import Budget, enter_budget
from cardiomesh.chassis.hop import Hop
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import UnfitRecording
from cardiomesh.rpc.status import DETAILS_KEY, code_of, error_from_rpc, status_details
from cardiomesh.rpc.upload import status_kept

REFUSAL = UnfitRecording("this will not do")


async def refuse(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    """Take a little, then say no."""
    await anext(requests)
    await context.abort(code_of(REFUSAL), str(REFUSAL), ((DETAILS_KEY, status_details(REFUSAL)),))
    yield b""


class Refuses(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return grpc.stream_stream_rpc_method_handler(refuse)


@pytest.fixture
async def upload() -> AsyncIterator[Any]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Refuses(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel.stream_stream("/upload")
    await server.stop(0)


async def test_the_servers_error_survives_the_failed_write(upload: Any) -> None:
    for _ in range(20):
        call = status_kept(upload(bytes(65536) for _ in range(64)))
        with pytest.raises(grpc.RpcError) as caught:
            async for _answer in call:
                pass
        error = error_from_rpc(caught.value)
        assert (type(error), str(error)) == (UnfitRecording, "this will not do")


async def test_a_hop_hears_the_backends_refusal(upload: Any) -> None:
    enter_budget(Budget.of(30.0))
    telemetry = Telemetry("test")
    hop: Hop[Iterator[bytes], bytes] = Hop("triton", upload, telemetry)
    for _ in range(20):
        with pytest.raises(UnfitRecording, match="this will not do"):
            async for _answer in hop.stream(bytes(65536) for _ in range(64)):
                pass
    telemetry.close()


async def test_it_holds_back_nothing_where_no_status_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cardiomesh.rpc.upload._GRACE_S", 0)
    said, heard = list[str](), asyncio.Event()

    class Core:
        def done(self) -> bool:
            return False

        def set_internal_error(self, text: str) -> None:
            said.append(text)
            heard.set()

    class Call:
        _cython_call: Any = Core()

    call = status_kept(Call())
    call._cython_call.set_internal_error("gone")
    await heard.wait()
    assert said == ["gone"]
