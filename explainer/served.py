"""The served graphs, asked over KServe v2: predictions and attributions as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from cardiomesh.cards import ModelCard
from cardiomesh.chassis.hop import Hop
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import CardioMeshError, InvalidRequest, NotFound, Unavailable, Unsupported
from explainer.model import AttributionPass, FloatArray
from explainer.pace import Pace

__all__ = ["ServedModel"]

#: Windows per request: an instance is free again after this many, and so is the core it ran on.
BATCH: Final = 4
#: Graphs that only explanations ask, by the name the publisher gives them.
_ATTRIBUTION: Final = "_attribution"
#: Triton's priority level of explanations, behind everything that a caller may ask for.
_LAST: Final = 4


class ServedModel:
    """Talks to Triton about the published models, standing back from predictions."""

    def __init__(self, channel: grpc.aio.Channel, telemetry: Telemetry, pace: Pace) -> None:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._infer: Hop[service_pb2.ModelInferRequest, service_pb2.ModelInferResponse] = Hop(
            "triton", stub.ModelInfer, telemetry
        )
        self._statistics: Hop[service_pb2.ModelStatisticsRequest, service_pb2.ModelStatisticsResponse] = Hop(
            "triton", stub.ModelStatistics, telemetry
        )
        self._pace = pace
        #: Predictions that this process has asked for, or is about to.
        self._own = 0

    async def predict(self, card: ModelCard, ecg: FloatArray) -> FloatArray:
        """Raw logits of all heads ``[windows, classes]`` from the graph that answers requests."""
        return await self._predict(card, ecg)

    async def logits(self, card: ModelCard, ecg: FloatArray) -> FloatArray:
        """The same for an explanation: from the prediction graph while nobody else asks it, else from the other.

        The attribution graph has instances of its own that stand back from predictions, and costs more than twice
        as much: it is where perturbations go as long as predictions are asked for.
        """
        await self._look()
        if card.attribution is not None and self._pace.alone:
            found = []
            for start in range(0, len(ecg), BATCH):
                found.append(await self._predict(card, ecg[start : start + BATCH]))
            return np.concatenate(found)
        nothing = np.zeros((len(ecg), len(card.statements)), np.float32)
        return np.concatenate(await self._attribution(card, ecg, nothing, _heads(card)), axis=1)

    async def attribute(self, card: ModelCard, ecg: FloatArray, target: FloatArray) -> AttributionPass:
        """Logits, gradient and Grad-CAM for ``target``, ``[windows, classes]``."""
        outputs = [*_heads(card), "gradient", "cam"]
        *logits, gradient, cam = await self._attribution(card, ecg, target, outputs)
        return AttributionPass(np.concatenate(logits, axis=1), gradient, cam)

    async def _predict(self, card: ModelCard, ecg: FloatArray) -> FloatArray:
        return np.concatenate(await self._ask(card, card.name, {card.input.name: ecg}, _heads(card)), axis=1)

    async def _look(self) -> None:
        """Find out how many predictions others have asked Triton for."""
        if not self._pace.due:
            return
        answer = await self._statistics(service_pb2.ModelStatisticsRequest())
        predictions = sum(m.inference_count for m in answer.model_stats if not m.name.endswith(_ATTRIBUTION))
        self._pace.saw(predictions - self._own)

    async def _attribution(
        self, card: ModelCard, ecg: FloatArray, target: FloatArray, outputs: Sequence[str]
    ) -> list[FloatArray]:
        if card.attribution is None:
            raise Unsupported(f"{card.name} was published without a graph for attribution")
        parts = []
        for start in range(0, len(ecg), BATCH):
            some = slice(start, start + BATCH)
            inputs = {card.input.name: ecg[some], "target": target[some]}
            parts.append(await self._ask(card, card.attribution, inputs, outputs))
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    async def _ask(
        self, card: ModelCard, graph: str, inputs: dict[str, FloatArray], outputs: Sequence[str]
    ) -> list[FloatArray]:
        tensor = service_pb2.ModelInferRequest.InferInputTensor
        wanted = service_pb2.ModelInferRequest.InferRequestedOutputTensor
        request = service_pb2.ModelInferRequest(
            model_name=graph,
            model_version=str(card.version),
            inputs=[tensor(name=name, datatype="FP32", shape=array.shape) for name, array in inputs.items()],
            outputs=[wanted(name=name) for name in outputs],
            raw_input_contents=[np.ascontiguousarray(array, "<f4").tobytes() for array in inputs.values()],
        )
        request.parameters["priority"].uint64_param = _LAST
        await self._look()
        await self._pace.stand_back()
        if graph == card.name:
            self._own += len(next(iter(inputs.values())))
        try:
            with self._pace.asking():
                answer = await self._infer(request)
        except (InvalidRequest, NotFound) as error:
            raise Unavailable(f"triton does not serve {graph} version {card.version} as published") from error
        found = {
            out.name: np.frombuffer(raw, "<f4").reshape(tuple(out.shape))
            for out, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
        }
        arrays = [found[name] for name in outputs if name in found]
        if len(arrays) != len(outputs) or not all(np.isfinite(array).all() for array in arrays):
            raise CardioMeshError(f"{graph} answered without all its outputs, or with numbers that are not finite")
        return arrays


def _heads(card: ModelCard) -> list[str]:
    return [head.output for head in card.heads]
