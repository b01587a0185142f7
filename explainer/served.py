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

__all__ = ["ServedModel"]

#: Windows per request: an instance is free again after this many, and so is the core it ran on.
BATCH: Final = 4


class ServedModel:
    """Talks to Triton about one published model."""

    def __init__(self, channel: grpc.aio.Channel, telemetry: Telemetry) -> None:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._infer: Hop[service_pb2.ModelInferRequest, service_pb2.ModelInferResponse] = Hop(
            "triton", stub.ModelInfer, telemetry
        )
        self._statistics: Hop[service_pb2.ModelStatisticsRequest, service_pb2.ModelStatisticsResponse] = Hop(
            "triton", stub.ModelStatistics, telemetry
        )
        #: Inferences of each prediction graph: by this process, and by others at the last look.
        self._own: dict[str, int] = {}
        self._others: dict[str, int] = {}

    async def predict(self, card: ModelCard, ecg: FloatArray) -> FloatArray:
        """Raw logits of all heads ``[windows, classes]`` from the graph that answers requests."""
        return await self._predict(card, ecg)

    async def logits(self, card: ModelCard, ecg: FloatArray) -> FloatArray:
        """The same for an explanation: from the prediction graph while nobody else asks it, else from the other.

        The attribution graph has instances of its own that stand back from predictions, and costs more than twice
        as much: it is where perturbations go as long as predictions are asked for.
        """
        if card.attribution is not None and await self._idle(card):
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
        found = await self._ask(card, card.name, {card.input.name: ecg}, _heads(card))
        self._own[card.name] = self._own.get(card.name, 0) + len(ecg)
        return np.concatenate(found, axis=1)

    async def _idle(self, card: ModelCard) -> bool:
        """Whether nobody else has asked the prediction graph since the last look."""
        asked = service_pb2.ModelStatisticsRequest(name=card.name, version=str(card.version))
        answer = await self._statistics(asked)
        others = sum(model.inference_count for model in answer.model_stats) - self._own.get(card.name, 0)
        before, self._others[card.name] = self._others.get(card.name), others
        return bool(others == before)

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
        try:
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
