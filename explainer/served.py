"""The served graphs, asked over KServe v2: predictions and attributions as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2, service_pb2_grpc

from cardiomesh.cards import ModelCard
from cardiomesh.chassis.hop import Hop
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import CardioMeshError, InvalidRequest, NotFound, Unavailable

__all__ = ["AttributionPass", "ServedModel"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AttributionPass:
    """One pass over the attribution graph."""

    #: Raw logits of all heads, in the card's order, ``[windows, classes]``.
    logits: FloatArray
    #: d(Σ target · logits) / d ecg, ``[windows, leads, samples]``, per millivolt.
    gradient: FloatArray


class ServedModel:
    """Talks to Triton about one published model."""

    def __init__(self, channel: grpc.aio.Channel, telemetry: Telemetry) -> None:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._infer: Hop[service_pb2.ModelInferRequest, service_pb2.ModelInferResponse] = Hop(
            "triton", stub.ModelInfer, telemetry
        )

    async def predict(self, card: ModelCard, ecg: FloatArray) -> FloatArray:
        """Raw logits of all heads ``[windows, classes]`` from the graph that answers requests."""
        outputs = [head.output for head in card.heads]
        found = await self._ask(card, card.name, {card.input.name: ecg}, outputs)
        return np.concatenate(found, axis=1)

    async def attribute(self, card: ModelCard, ecg: FloatArray, target: FloatArray) -> AttributionPass:
        """Logits and input gradient for ``target`` weights over all classes, ``[windows, classes]``."""
        if card.attribution is None:
            raise InvalidRequest.field("model", f"{card.name} was published without explanations", "UNSUPPORTED")
        outputs = [*(head.output for head in card.heads), "gradient"]
        inputs = {card.input.name: ecg, "target": target}
        *logits, gradient = await self._ask(card, card.attribution, inputs, outputs)
        return AttributionPass(np.concatenate(logits, axis=1), gradient)

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
