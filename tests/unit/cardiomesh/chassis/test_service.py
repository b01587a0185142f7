"""The life of a service, over real gRPC and HTTP."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2, preprocessor_pb2_grpc
from cardiomesh.chassis.deadline import current_budget
from cardiomesh.errors import (
    CardioMeshError,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    TooLarge,
)
from cardiomesh.rpc.channel import TlsFiles, dial
from cardiomesh.rpc.status import error_from_rpc

REQUEST = preprocessor_pb2.PrepareRequest()
RESPONSE = preprocessor_pb2.PrepareResponse(tensor_hash="abc")


async def answers(request: Any) -> Any:
    return RESPONSE


async def prepare(
    address: str,
    request: Any = REQUEST,
    timeout: float | None = 10,  # noqa: ASYNC109 — the call's deadline on the wire
    tls: Any = None,
) -> Any:
    async with dial(address, tls) as channel:
        try:
            return await preprocessor_pb2_grpc.PreprocessorStub(channel).Prepare(request, timeout=timeout)
        except grpc.RpcError as error:
            raise error_from_rpc(error) from None


async def health(address: str, service: str) -> int:
    async with dial(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return (await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)).status


SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_call_is_answered(serve: Any) -> None:
    async with serve(answers) as service:
        assert (await prepare(service.grpc_address)).tensor_hash == "abc"


async def test_liveness_does_not_depend_on_what_readiness_misses(serve: Any) -> None:
    async def probe() -> list[str]:
        return ["triton"]

    async with serve(answers, probe) as service:
        assert await health(service.grpc_address, "liveness") == SERVING
        for name in ("", "readiness", "cardiomesh.preprocessor.v1.Preprocessor"):
            assert await health(service.grpc_address, name) == NOT_SERVING
        async with aiohttp.ClientSession(f"http://{service.http_address}") as http:
            async with http.get("/healthz") as answer:
                assert answer.status == 200
            async with http.get("/readyz") as answer:
                assert (answer.status, await answer.json()) == (503, {"ready": False, "missing": ["triton"]})


async def test_readiness_follows_the_probe(serve: Any) -> None:
    missing = ["triton"]

    async def probe() -> list[str]:
        return missing

    async with serve(answers, probe) as service:
        missing.clear()
        await service.health.refresh()
        assert await health(service.grpc_address, "readiness") == SERVING


async def test_a_probe_that_breaks_means_not_ready(serve: Any) -> None:
    async def probe() -> list[str]:
        raise OSError("no route")

    async with serve(answers, probe) as service:
        assert await health(service.grpc_address, "readiness") == NOT_SERVING


async def test_reflection_lists_the_services(serve: Any) -> None:
    async with serve(answers) as service, dial(service.grpc_address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        async for answer in stub.ServerReflectionInfo(iter([request])):
            names = {entry.name for entry in answer.list_services_response.service}
    assert {"cardiomesh.preprocessor.v1.Preprocessor", "grpc.health.v1.Health"} <= names


async def test_a_typed_error_arrives_as_it_was_raised(serve: Any) -> None:
    async def refuses(request: Any) -> Any:
        raise InvalidRequest.field("recording.signal.unit", "'m' is no voltage", "UNIT")

    async with serve(refuses) as service:
        with pytest.raises(InvalidRequest, match="no voltage") as caught:
            await prepare(service.grpc_address)
    assert [(v.field, v.reason) for v in caught.value.violations] == [("recording.signal.unit", "UNIT")]


async def test_what_is_no_message_is_the_callers_fault(serve: Any) -> None:
    async with serve(answers) as service, dial(service.grpc_address) as channel:
        call = channel.unary_unary("/cardiomesh.preprocessor.v1.Preprocessor/Prepare")
        with pytest.raises(grpc.RpcError) as caught:
            await call(b"\xff\xff", timeout=10)
        typed = error_from_rpc(caught.value)
    assert isinstance(typed, InvalidRequest)
    assert typed.violations[0].reason == "MALFORMED"


async def test_an_unexpected_error_tells_the_caller_nothing_of_its_text(serve: Any, caplog: Any) -> None:
    async def breaks(request: Any) -> Any:
        raise ValueError("Maria Silva, MRN 12345")

    async with serve(breaks) as service:
        with pytest.raises(CardioMeshError) as caught:
            await prepare(service.grpc_address)
    assert type(caught.value) is CardioMeshError
    assert "Maria" not in str(caught.value)


async def test_the_callers_deadline_reaches_the_handler_shorter(serve: Any) -> None:
    seen: list[float] = []

    async def looks(request: Any) -> Any:
        seen.append(current_budget().for_hop())
        return RESPONSE

    async with serve(looks) as service:
        await prepare(service.grpc_address, timeout=7)
        await prepare(service.grpc_address, timeout=None)
    assert 0 < seen[0] < 7.01  # gRPC rounds a timeout up to two digits after the first
    assert 7 < seen[1] < 30  # the default


async def test_a_handler_that_never_ends_is_ended_by_the_deadline(serve: Any, telemetry: Any) -> None:
    ended = asyncio.Event()

    async def hangs(request: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serve(hangs) as service:
        with pytest.raises(DeadlineExceeded):
            await prepare(service.grpc_address, timeout=0.2)
        await asyncio.wait_for(ended.wait(), 10)


async def test_calls_over_the_limit_are_shed_and_told_when_to_come_back(serve: Any) -> None:
    inside, release = asyncio.Event(), asyncio.Event()

    async def waits(request: Any) -> Any:
        inside.set()
        await release.wait()
        return RESPONSE

    async with serve(waits, max_concurrent_calls=1) as service:
        first = asyncio.create_task(prepare(service.grpc_address))
        await inside.wait()
        with pytest.raises(Overloaded):
            await prepare(service.grpc_address)
        release.set()
        assert (await first).tensor_hash == "abc"


async def test_a_message_over_the_limit_is_refused(serve: Any) -> None:
    request = preprocessor_pb2.PrepareRequest()
    request.recording.file.content = bytes(4096)
    async with serve(answers, max_message_bytes=1024) as service:
        with pytest.raises(TooLarge):
            await prepare(service.grpc_address, request)
        await prepare(service.grpc_address)


async def test_drain_finishes_calls_in_flight_and_takes_no_new_ones(serve: Any) -> None:
    inside, release = asyncio.Event(), asyncio.Event()

    async def waits(request: Any) -> Any:
        inside.set()
        await release.wait()
        return RESPONSE

    async with serve(waits, drain_grace_s=60) as service:
        call = asyncio.create_task(prepare(service.grpc_address, timeout=60))
        await inside.wait()
        async with dial(service.grpc_address) as channel:
            request = health_pb2.HealthCheckRequest(service="readiness")
            seen = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=60)
            assert (await anext(aiter(seen))).status == SERVING
            draining = asyncio.create_task(service.drain())
            assert (await anext(aiter(seen))).status == NOT_SERVING
        assert service.health.missing == ("draining",)
        release.set()
        await draining
        assert (await call).tensor_hash == "abc"
        with pytest.raises(CardioMeshError):
            await prepare(service.grpc_address, timeout=5)


async def test_metrics_count_calls_by_status(serve: Any) -> None:
    async def refuses(request: Any) -> Any:
        raise InvalidRequest("bad")

    async with serve(refuses) as service:
        with pytest.raises(InvalidRequest):
            await prepare(service.grpc_address)
        async with aiohttp.ClientSession() as http, http.get(f"http://{service.http_address}/metrics") as answer:
            text = await answer.text()
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    counts = [s for s in samples if s.name == "cardiomesh_rpc_duration_milliseconds_count"]
    assert [(s.labels["rpc_method"], s.labels["rpc_grpc_status_code"], s.value) for s in counts] == [
        ("Prepare", "3", 1.0)
    ]
    assert [s.value for s in samples if s.name == "cardiomesh_rpc_in_flight"] == [0.0]


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, Path]:
    authority, stranger = trustme.CA(), trustme.CA()
    names = ("ca", "server", "server_key", "client", "client_key", "expired", "expired_key", "bad")
    paths = {name: tmp_path / f"{name}.pem" for name in names}
    authority.cert_pem.write_to_path(str(paths["ca"]))
    server = authority.issue_cert("127.0.0.1", "localhost")
    server.private_key_pem.write_to_path(str(paths["server_key"]))
    server.cert_chain_pems[0].write_to_path(str(paths["server"]))
    client = authority.issue_cert("client")
    client.private_key_pem.write_to_path(str(paths["client_key"]))
    client.cert_chain_pems[0].write_to_path(str(paths["client"]))
    year = datetime(2019, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
    expired = authority.issue_cert("client", not_before=year[0], not_after=year[1])
    expired.private_key_pem.write_to_path(str(paths["expired_key"]))
    expired.cert_chain_pems[0].write_to_path(str(paths["expired"]))
    stranger.cert_pem.write_to_path(str(paths["bad"]))
    return paths


async def test_mutual_tls_from_files(serve: Any, certificates: dict[str, Path]) -> None:
    files = certificates
    async with serve(
        answers, tls_certificate=files["server"], tls_key=files["server_key"], tls_client_ca=files["ca"]
    ) as service:
        both = TlsFiles(files["ca"], files["client"], files["client_key"])
        assert (await prepare(service.grpc_address, tls=both)).tensor_hash == "abc"
        for refused in (TlsFiles(files["ca"]), TlsFiles(files["bad"], files["client"], files["client_key"]), None):
            with pytest.raises(CardioMeshError):
                await prepare(service.grpc_address, tls=refused, timeout=5)


async def test_a_rotated_certificate_is_served_without_restart(
    serve: Any, certificates: dict[str, Path], tmp_path: Path
) -> None:
    files = certificates
    fresh = trustme.CA()
    async with serve(answers, tls_certificate=files["server"], tls_key=files["server_key"]) as service:
        assert (await prepare(service.grpc_address, tls=TlsFiles(files["ca"]))).tensor_hash == "abc"
        issued = fresh.issue_cert("127.0.0.1", "localhost")
        issued.private_key_pem.write_to_path(str(files["server_key"]))
        issued.cert_chain_pems[0].write_to_path(str(files["server"]))
        fresh.cert_pem.write_to_path(str(tmp_path / "fresh.pem"))
        assert (await prepare(service.grpc_address, tls=TlsFiles(tmp_path / "fresh.pem"))).tensor_hash == "abc"


async def test_a_caller_takes_rotated_files_without_losing_what_is_under_way(
    serve: Any, certificates: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cardiomesh.rpc.renewal.LOOK_EVERY_S", 0.0)
    files = certificates
    inside, release = asyncio.Event(), asyncio.Event()

    async def waits_for_the_slow(request: Any) -> Any:
        if request.measure:
            inside.set()
            await release.wait()
        return RESPONSE

    tls = {"tls_certificate": files["server"], "tls_key": files["server_key"], "tls_client_ca": files["ca"]}
    mine = TlsFiles(files["ca"], files["client"], files["client_key"])
    async with serve(waits_for_the_slow, **tls) as service, dial(service.grpc_address, mine) as channel:
        stub = preprocessor_pb2_grpc.PreprocessorStub(channel)
        slow = stub.Prepare(preprocessor_pb2.PrepareRequest(measure=True), timeout=60)
        await inside.wait()
        good = files["client"].read_bytes(), files["client_key"].read_bytes()
        files["client_key"].write_bytes(files["expired_key"].read_bytes())
        files["client"].write_bytes(files["expired"].read_bytes())
        with pytest.raises(grpc.aio.AioRpcError) as refused:  # so the file was read again
            await stub.Prepare(REQUEST, timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        files["client"].unlink()
        with pytest.raises(grpc.aio.AioRpcError):  # nothing that could be read: the connection stays as it is
            await stub.Prepare(REQUEST, timeout=10)
        files["client_key"].write_bytes(good[1])
        files["client"].write_bytes(good[0])
        assert (await stub.Prepare(REQUEST, timeout=10)).tensor_hash == "abc"
        release.set()
        assert (await slow).tensor_hash == "abc"


async def test_old_connections_are_renewed_and_no_call_is_lost(serve: Any) -> None:
    async with serve(answers, max_connection_age_s=0.2) as service, dial(service.grpc_address) as channel:
        stub = preprocessor_pb2_grpc.PreprocessorStub(channel)
        left = False
        while not left:  # the test's own time limit bounds it
            assert (await stub.Prepare(REQUEST, timeout=10)).tensor_hash == "abc"
            left = channel.get_state() is not grpc.ChannelConnectivity.READY
        assert (await stub.Prepare(REQUEST, timeout=10)).tensor_hash == "abc"
