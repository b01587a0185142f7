"""Whom the explainer asks, by what others ask of Triton meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from cardiomesh.chassis.deadline import Budget, enter_budget
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.rpc.channel import dial
from explainer.pace import Pace
from explainer.served import ServedModel
from tests.cards import card_of

CARD = card_of("heart", attribution="heart_attribution")
ECG = np.zeros((6, 12, 1000), np.float32)


class Triton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Counts what it is asked, and answers zeros."""

    def __init__(self) -> None:
        self.counts = {"heart": 100, "heart_attribution": 7, "another": 50}
        self.asked: list[tuple[str, int]] = []

    async def ModelInfer(
        self, request: service_pb2.ModelInferRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> service_pb2.ModelInferResponse:
        rows = request.inputs[0].shape[0]
        self.counts[request.model_name] += rows
        self.asked.append((request.model_name, rows))
        answer = service_pb2.ModelInferResponse()
        for wanted in request.outputs:
            answer.outputs.add(name=wanted.name, datatype="FP32", shape=[rows, 2])
            answer.raw_output_contents.append(bytes(4 * rows * 2))
        return answer

    async def ModelStatistics(
        self, request: service_pb2.ModelStatisticsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> service_pb2.ModelStatisticsResponse:
        return service_pb2.ModelStatisticsResponse(
            model_stats=[service_pb2.ModelStatistics(name=name, inference_count=n) for name, n in self.counts.items()]
        )


class Hands:
    """A clock that the test moves, and the pauses that were made."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.fixture
def triton() -> Triton:
    return Triton()


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
async def served(triton: Triton, hands: Hands) -> AsyncIterator[ServedModel]:
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    telemetry = Telemetry("test")
    enter_budget(Budget.of(30.0))
    async with dial(f"127.0.0.1:{port}") as channel:
        yield ServedModel(channel, telemetry, Pace(0.1, clock=lambda: hands.now, own=lambda: 0.0, sleep=hands.pause))
    await server.stop(0)
    telemetry.close()


async def test_alone_it_asks_the_graph_that_is_cheaper_and_does_not_pause(
    served: ServedModel, triton: Triton, hands: Hands
) -> None:
    await served.predict(CARD, ECG[:1])
    hands.pauses.clear()
    for _ in range(3):
        hands.now += 3.0
        triton.asked.clear()
        await served.logits(CARD, ECG)
        assert triton.asked == [("heart", 4), ("heart", 2)]  # what it asked itself before is nobody else's
    assert hands.pauses == []


@pytest.mark.parametrize("name", ["heart", "another"])
async def test_beside_predictions_it_pauses_and_leaves_their_graph_to_them(
    served: ServedModel, triton: Triton, hands: Hands, name: str
) -> None:
    await served.predict(CARD, ECG[:1])
    hands.now += 3.0
    triton.counts[name] += 10
    triton.asked.clear()
    hands.pauses.clear()
    await served.logits(CARD, ECG)
    assert triton.asked == [("heart_attribution", 4), ("heart_attribution", 2)]
    assert len(hands.pauses) == 2


async def test_other_explanations_are_no_predictions(served: ServedModel, triton: Triton, hands: Hands) -> None:
    await served.predict(CARD, ECG[:1])
    hands.now += 3.0
    triton.counts["heart_attribution"] += 10
    hands.pauses.clear()
    await served.logits(CARD, ECG)
    assert hands.pauses == []
