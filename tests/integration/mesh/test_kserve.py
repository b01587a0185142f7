"""tritonclient, unchanged, against the gateway: the same answers as from Triton itself, and no administration."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import aiohttp
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient._plugin import InferenceServerClientPlugin
from tritonclient.utils import InferenceServerException

from cardiomesh.local import Addresses

pytestmark = pytest.mark.mesh

ECG = np.random.default_rng(3).standard_normal((4, 12, 1000)).astype(np.float32)


class ShowsKey(InferenceServerClientPlugin):  # type: ignore[misc]
    """tritonclient's own way to send a header with every call."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: Any) -> None:
        request.headers.update(self._headers)


@pytest.fixture
def door(addresses: Addresses, authorization: dict[str, str]) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(addresses.gateway) as client:
        client.register_plugin(ShowsKey(authorization))
        yield client


@pytest.fixture
def server(addresses: Addresses) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(addresses.triton) as client:
        yield client


def tensor() -> triton.InferInput:
    made = triton.InferInput("ecg", ECG.shape, "FP32")
    made.set_data_from_numpy(ECG)
    return made


def test_health_and_metadata_are_tritons_own(door: Any, server: Any) -> None:
    assert door.is_server_live()
    assert door.is_server_ready()
    assert door.is_model_ready("hybrid_mobile")
    assert door.get_server_metadata() == server.get_server_metadata()
    assert door.get_model_metadata("hybrid_mobile") == server.get_model_metadata("hybrid_mobile")
    assert door.get_model_config("hybrid_mobile") == server.get_model_config("hybrid_mobile")
    assert door.get_inference_statistics("hybrid_mobile").model_stats[0].name == "hybrid_mobile"


@pytest.mark.parametrize("model", ["edge_optimized", "hybrid_mobile"])
def test_inference_through_the_gateway_is_tritons_answer(door: Any, server: Any, model: str) -> None:
    for name in ("statements", "rhythm"):
        through = door.infer(model, [tensor()]).as_numpy(name)
        direct = server.infer(model, [tensor()]).as_numpy(name)
        assert through.shape[0] == 4
        assert np.allclose(through, direct, atol=1e-5)


def test_streaming_inference(door: Any, server: Any) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    door.start_stream(callback=lambda result, error: answers.put((result, error)))
    for _ in range(3):
        door.async_stream_infer("edge_optimized", [tensor()])
    expected = server.infer("edge_optimized", [tensor()]).as_numpy("statements")
    for _ in range(3):
        result, error = answers.get(timeout=60)
        assert error is None
        assert np.allclose(result.as_numpy("statements"), expected, atol=1e-5)
    door.stop_stream()


def test_tritons_own_errors_come_through(door: Any) -> None:
    wrong = triton.InferInput("ecg", (1, 12, 7), "FP32")
    wrong.set_data_from_numpy(np.zeros((1, 12, 7), np.float32))
    with pytest.raises(InferenceServerException, match="shape") as caught:
        door.infer("hybrid_mobile", [wrong])
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_what_is_not_published_cannot_be_reached(door: Any) -> None:
    with pytest.raises(InferenceServerException, match="published") as caught:
        door.infer("secret_model", [tensor()])
    assert caught.value.status() == "StatusCode.NOT_FOUND"


def test_administration_is_refused_and_nothing_happens(door: Any, server: Any) -> None:
    for attempt in (
        lambda: door.unload_model("hybrid_mobile"),
        lambda: door.load_model("hybrid_mobile"),
        lambda: door.register_system_shared_memory("x", "/x", 16),
        lambda: door.update_log_settings({"log_info": False}),
        lambda: door.update_trace_settings(settings={"trace_rate": "1"}),
    ):
        with pytest.raises(InferenceServerException) as caught:
            attempt()
        assert caught.value.status() == "StatusCode.PERMISSION_DENIED"
    assert server.is_model_ready("hybrid_mobile")


async def test_the_http_form(addresses: Addresses, authorization: dict[str, str], server: Any) -> None:
    request = {"inputs": [{"name": "ecg", "shape": [4, 12, 1000], "datatype": "FP32", "data": ECG.ravel().tolist()}]}
    expected = server.infer("edge_optimized", [tensor()]).as_numpy("statements")
    async with aiohttp.ClientSession(f"http://{addresses.http}", headers=authorization) as http:
        async with http.post("/v2/models/edge_optimized/infer", json=request) as answer:
            assert answer.status == 200
            outputs = {o["name"]: o for o in (await answer.json())["outputs"]}
        found = np.array(outputs["statements"]["data"], np.float32).reshape(outputs["statements"]["shape"])
        assert np.allclose(found, expected, atol=1e-5)
        for path, status in (
            ("/v2/health/ready", 200),
            ("/v2/models/edge_optimized/config", 200),
            ("/v2/models/edge_optimized/versions/1/ready", 200),
            ("/v2/models/secret_model", 404),
            ("/v2/repository/index", 403),
            ("/v2/logging", 403),
        ):
            async with http.get(path) as answer:
                assert answer.status == status, path
        async with http.post("/v2/repository/models/edge_optimized/unload") as answer:
            assert answer.status == 403
