"""The API over HTTP: the same answers as over gRPC, and every error a problem (RFC 9457)."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from google.protobuf import json_format

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh.client import Analysis, Client
from cardiomesh.client._requests import recording_of
from cardiomesh.local import Addresses
from tests.unit.preprocessor.long.tapes import as_ishne, tape

pytestmark = pytest.mark.mesh

Http = aiohttp.ClientSession


@pytest.fixture
async def http(addresses: Addresses, authorization: dict[str, str]) -> AsyncIterator[Http]:
    async with Http(f"http://{addresses.http}", headers=authorization) as session:
        yield session


@pytest.fixture(scope="module")
def content(ecg_file: Path) -> bytes:
    return ecg_file.read_bytes()


@pytest.fixture(scope="module")
def answer(client: Client, content: bytes) -> Analysis:
    return client.analyze(file=content)


def as_json(content: bytes, **fields: Any) -> dict[str, Any]:
    request = gateway_pb2.AnalyzeRequest(recording=recording_of({"file": content}), **fields)
    return dict(json.loads(json_format.MessageToJson(request)))


async def lines(response: aiohttp.ClientResponse) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (await response.read()).splitlines()]


async def test_a_file_a_form_and_json(http: Http, content: bytes, answer: Analysis) -> None:
    form = aiohttp.FormData()
    form.add_field("file", content, filename="ecg.dcm")
    form.add_field("model", "hybrid_mobile")
    form.add_field("measure", "true")
    bodies: list[dict[str, Any]] = [
        {"data": content, "params": {"measure": "true"}},
        {"data": form},
        {"json": as_json(content, measure=True)},
    ]
    for body in bodies:
        async with http.post("/v1/analyze", **body) as response:
            assert (response.status, response.content_type) == (200, "application/json")
            plain = await response.json()
        assert plain["signal_hash"] == answer.signal_hash
        assert plain["measurements"]
        assert {f["code"]: f["probability"] for f in plain["findings"]} == pytest.approx(answer.probabilities, abs=1e-5)


async def test_models_cards_and_earlier_results(http: Http, client: Client, answer: Analysis) -> None:
    async with http.get("/v1/models") as response:
        models = (await response.json())["models"]
    assert {m["model"]["name"] for m in models} == {m.model.name for m in client.models()}
    async with http.get(f"/v1/models/{answer.model.name}/card", params={"model_version": answer.model.version}) as card:
        assert card.content_type == "application/json"
        assert (await card.json())["name"] == answer.model.name
    async with http.get(f"/v1/results/{answer.result_id}") as response:
        assert (await response.json())["result_id"] == answer.result_id
    async with http.get("/v1/results/none") as response:
        assert (response.status, response.content_type) == (404, "application/problem+json")


async def test_a_batch_is_lines_and_a_bad_item_ends_nothing(http: Http, content: bytes) -> None:
    items = [{"item_id": "good", "request": as_json(content)}, {"item_id": "bad", "request": {}}]
    body = "\n".join(json.dumps(item) for item in items)
    async with http.post("/v1/analyze/batch", data=body, headers={"Content-Type": "application/x-ndjson"}) as response:
        assert (response.status, response.content_type) == (200, "application/x-ndjson")
        found = {line["item_id"]: line for line in await lines(response)}
    assert found["good"]["response"]["findings"]
    assert found["bad"]["error"]["reason"] == "INVALID_REQUEST"


async def test_a_line_that_cannot_be_read_ends_the_stream_with_a_problem(http: Http, content: bytes) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield json.dumps({"item_id": "good", "request": as_json(content)}).encode() + b"\n"
        await first_came.wait()
        yield b"{nonsense\n"

    first_came = asyncio.Event()
    headers = {"Content-Type": "application/x-ndjson"}
    async with http.post("/v1/analyze/batch", data=body(), headers=headers) as response:
        assert json.loads(await response.content.readline())["item_id"] == "good"
        first_came.set()
        last = json.loads(await response.content.readline())
        assert last["problem"]["violations"][0]["field"] == "line 2"
        assert await response.content.readline() == b""


async def test_a_tape_is_an_upload_and_comes_back_in_parts(http: Http) -> None:
    async with http.post(
        "/v1/analyze/long", data=io.BytesIO(as_ishne(tape(30.0))), params={"stride": "10"}
    ) as response:
        parts = await lines(response)
    assert "overview" in parts[0]
    assert [p["window"]["index"] for p in parts[1:-1]] == [0, 1, 2]
    assert parts[-1]["summary"]["windows"] == 3


async def test_an_explanation_is_a_stream_of_events_where_the_caller_asks_for_them(http: Http, content: bytes) -> None:
    params = {"finding_codes": "NORM", "methods": "METHOD_RULES"}
    async with http.post("/v1/explain", data=content, params=params) as response:
        (part,) = await lines(response)
    assert part["part"]["method"] == "METHOD_RULES"
    headers = {"Accept": "text/event-stream"}
    async with http.post("/v1/explain", data=content, params=params, headers=headers) as response:
        assert response.content_type == "text/event-stream"
        event, data, end, _ = (await response.text()).split("\n")
    assert (event, end) == ("event: part", "")
    assert json.loads(data.removeprefix("data: "))["part"]["method"] == "METHOD_RULES"


XML = {"Content-Type": "application/xml"}
LINES = {"Content-Type": "application/x-ndjson"}


@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        ("POST", "/v1/analyze", {"data": b""}, 400),
        ("POST", "/v1/analyze", {"data": b"hello"}, 400),
        ("POST", "/v1/analyze", {"json": {"nonsense": 1}}, 400),
        ("POST", "/v1/analyze", {"json": {}, "params": {"model": "hybrid_mobile"}}, 400),
        ("POST", "/v1/analyze", {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ("POST", "/v1/analyze", {"data": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 400),
        ("POST", "/v1/analyze", {"data": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ("POST", "/v1/analyze", {"data": b"x", "headers": {"Content-Encoding": "gzip"}}, 400),
        ("POST", "/v1/analyze", {"data": b"x", "params": {"model": "nope"}}, 404),
        ("POST", "/v1/analyze", {"data": b"x", "params": {"nope": "1"}}, 400),
        ("POST", "/v1/analyze", {"data": b"x", "headers": {"X-Request-Timeout": "soon"}}, 400),
        ("POST", "/v1/analyze", {"data": io.BytesIO(bytes(17 * 1024 * 1024))}, 413),
        ("POST", "/v1/analyze/batch", {"data": b"{}", "headers": XML}, 415),
        ("POST", "/v1/analyze/batch", {"data": b"[]", "headers": LINES}, 400),
        ("POST", "/v1/analyze/batch", {"data": io.BytesIO(bytes(17 * 1024 * 1024)), "headers": LINES}, 413),
        ("POST", "/v1/analyze/long", {"data": b"hello"}, 400),
        ("POST", "/v1/analyze/long", {"data": b"hello", "params": {"stride": "far"}}, 400),
        ("POST", "/v1/explain", {"json": {}}, 400),
        ("GET", "/v1/models/nope/card", {}, 404),
        ("GET", "/v1/models", {"params": {"nope": "1"}}, 400),
        ("GET", "/v1/nothing", {}, 404),
        ("GET", "/v1/admin/routes", {}, 403),
        ("POST", "/v1/admin/routes/hybrid_mobile/promote", {"json": {}}, 403),
        ("GET", "/v1/analyze", {}, 405),
        ("HEAD", "/v1/models", {}, 405),
        ("GET", "/v2/repository/index", {}, 403),
    ],
)
async def test_errors_are_problems(http: Http, verb: str, path: str, body: dict[str, Any], status: int) -> None:
    async with http.request(verb, path, **body) as response:
        assert (response.status, response.content_type) == (status, "application/problem+json")
        if verb == "HEAD":
            return
        problem = await response.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:cardiomesh:error:")
    assert set(problem) == {"type", "title", "status", "detail", "violations"}
    assert bool(problem["violations"]) == (status in (400, 415))


async def test_the_contract_is_open_to_everybody(addresses: Addresses) -> None:
    async with Http(f"http://{addresses.http}") as nobody:
        async with nobody.get("/openapi.json") as response:
            assert (await response.json())["openapi"] == "3.1.0"
        async with nobody.get("/docs") as response:
            assert response.content_type == "text/html"


async def test_a_deadline_comes_as_a_header(http: Http, content: bytes) -> None:
    noisy = content[:-8] + np.random.default_rng(1).bytes(8)  # nothing that the cache has
    async with http.post("/v1/analyze", data=noisy, headers={"X-Request-Timeout": "0.006"}) as response:
        assert response.status == 504
        assert (await response.json())["type"] == "urn:cardiomesh:error:deadline_exceeded"


async def test_calls_over_http_are_counted_like_those_over_grpc(http: Http) -> None:
    async with http.get("/v1/models") as response:
        assert response.status == 200
    async with http.get("/v1/performance") as response:
        assert response.status == 200
        minute = (await response.json())["windows"][0]
    assert "ListModels" in {method["name"] for method in minute["methods"]}
    async with http.get("/metrics") as response:
        counted = (await response.text()).splitlines()
    assert any(line.startswith("cardiomesh_rpc_duration") and "ListModels" in line for line in counted)
