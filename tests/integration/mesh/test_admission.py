"""A gateway with room for one: who is refused is told when to come back, emergencies are not, archives wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from tritonclient.grpc import service_pb2

from cardiomesh._proto.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from cardiomesh.chassis.service import RunningService
from cardiomesh.errors import CardioMeshError, InvalidRequest, Overloaded
from cardiomesh.local import Addresses
from cardiomesh.rpc.status import error_from_rpc
from gateway.identity import Role
from tests.gateways import gateway

pytestmark = pytest.mark.mesh
PRIORITY = "x-cardiomesh-priority"


@pytest.fixture
async def narrow(addresses: Addresses) -> AsyncIterator[RunningService]:
    async with gateway(
        addresses,
        anonymous_roles=frozenset({Role.CLINICIAN}),
        admission_least=1,
        admission_most=1,
        admission_wait_s=0.0,
    ) as service:
        yield service


@pytest.fixture
async def stub(narrow: RunningService) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(narrow.grpc_address) as channel:
        yield gateway_pb2_grpc.CardioMeshStub(channel)


@pytest.fixture
def analyze(ecg_file: Path) -> gateway_pb2.AnalyzeRequest:
    request = gateway_pb2.AnalyzeRequest(bypass_cache=True)
    request.recording.file.content = ecg_file.read_bytes()
    return request


async def outcome(stub: Any, request: gateway_pb2.AnalyzeRequest, priority: str) -> CardioMeshError | None:
    try:
        await stub.Analyze(request, metadata=((PRIORITY, priority),), timeout=30)
    except grpc.RpcError as error:
        return error_from_rpc(error)
    return None


async def test_too_many_at_once_are_refused_unless_they_are_urgent_or_patient(
    stub: Any, analyze: gateway_pb2.AnalyzeRequest
) -> None:
    routine = await asyncio.gather(*(outcome(stub, analyze, "routine") for _ in range(12)))
    refused = [error for error in routine if error is not None]
    assert None in routine
    assert refused
    assert all(type(error) is Overloaded and 0 < error.retry_after_s <= 30 for error in refused)
    mixed = await asyncio.gather(*(outcome(stub, analyze, p) for p in ("batch", "emergency") * 3))
    assert mixed == [None] * 6


async def test_what_is_in_the_cache_needs_no_room(stub: Any, analyze: gateway_pb2.AnalyzeRequest) -> None:
    analyze.bypass_cache = False
    assert await outcome(stub, analyze, "emergency") is None
    assert await asyncio.gather(*(outcome(stub, analyze, "routine") for _ in range(12))) == [None] * 12


async def test_a_word_that_is_no_priority_is_refused(stub: Any, analyze: gateway_pb2.AnalyzeRequest) -> None:
    assert type(await outcome(stub, analyze, "urgent")) is InvalidRequest


async def test_a_batch_waits_for_room_and_loses_nothing(stub: Any, analyze: gateway_pb2.AnalyzeRequest) -> None:
    async def items() -> AsyncIterator[gateway_pb2.AnalyzeBatchRequest]:
        for n in range(12):
            yield gateway_pb2.AnalyzeBatchRequest(item_id=str(n), request=analyze)

    answers = [answer async for answer in stub.AnalyzeBatch(items(), timeout=60)]
    assert [answer.WhichOneof("outcome") for answer in answers] == ["response"] * 12


async def test_over_http_it_is_429_with_retry_after(
    narrow: RunningService, analyze: gateway_pb2.AnalyzeRequest
) -> None:
    url = f"http://{narrow.http_address}/v1/analyze?bypass_cache=true"
    content = analyze.recording.file.content
    async with aiohttp.ClientSession() as session:

        async def post() -> tuple[int, str | None]:
            async with session.post(url, data=content) as answer:
                return answer.status, answer.headers.get("Retry-After")

        assert (await post())[0] == 200
        answers = await asyncio.gather(*(post() for _ in range(12)))
    assert {status for status, _ in answers} == {200, 429}
    assert all((seconds is not None and int(seconds) >= 1) == (status == 429) for status, seconds in answers)


async def test_kserve_calls_wait_in_the_same_queue_and_carry_their_rank_to_triton(
    narrow: RunningService, addresses: Addresses
) -> None:
    request = service_pb2.ModelInferRequest(
        model_name="edge_optimized",
        inputs=[service_pb2.ModelInferRequest.InferInputTensor(name="ecg", datatype="FP32", shape=[1, 12, 1000])],
        raw_input_contents=[bytes(48_000)],
    )
    async with grpc.aio.insecure_channel(narrow.grpc_address) as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )
        answers = await asyncio.gather(
            *(infer(request, metadata=((PRIORITY, "emergency"),), timeout=30) for _ in range(12))
        )
    assert {answer.model_name for answer in answers} == {"edge_optimized"}
