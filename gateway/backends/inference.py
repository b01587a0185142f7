"""One inference on Triton: the tensor goes as the bytes that came, the logits come as bytes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from tritonclient.grpc import service_pb2, service_pb2_grpc

from cardiomesh.cards import ModelCard
from cardiomesh.chassis.hop import Hop
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import CardioMeshError, InvalidRequest, NotFound, Unavailable
from gateway.backends.backend import Backend
from gateway.door import current_call
from gateway.findings import mean_logits

__all__ = ["Inference"]


class Inference:
    """Speaks KServe v2 to Triton."""

    def __init__(self, triton: Backend, telemetry: Telemetry) -> None:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(triton.channel)
        self._triton = triton
        self._telemetry = telemetry
        self._infer: Hop[service_pb2.ModelInferRequest, service_pb2.ModelInferResponse] = triton.hop(stub.ModelInfer)

    async def logits(self, card: ModelCard, tensor: bytes, windows: int) -> Mapping[str, list[float]]:
        """Logits per head, averaged over windows; ``tensor`` is float32 [windows, leads, samples]."""
        raw = await self._raw(card, tensor, windows)
        return {head.output: mean_logits(raw[head.output], len(head.classes), windows) for head in card.heads}

    async def each(self, card: ModelCard, tensors: Sequence[bytes]) -> list[Mapping[str, list[float]]]:
        """Logits per head of each of these windows, in their order."""
        raw = await self._raw(card, b"".join(tensors), len(tensors))
        size = {head.output: len(raw[head.output]) // len(tensors) for head in card.heads}
        return [
            {
                head.output: mean_logits(
                    raw[head.output][k * size[head.output] : (k + 1) * size[head.output]], len(head.classes), 1
                )
                for head in card.heads
            }
            for k in range(len(tensors))
        ]

    async def _raw(self, card: ModelCard, tensor: bytes, windows: int) -> Mapping[str, bytes]:
        request = service_pb2.ModelInferRequest(
            model_name=card.name,
            model_version=str(card.version),
            inputs=[
                service_pb2.ModelInferRequest.InferInputTensor(
                    name=card.input.name,
                    datatype="FP32",
                    shape=[windows, len(card.input.leads), card.input.samples],
                )
            ],
            outputs=[service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=head.output) for head in card.heads],
            raw_input_contents=[tensor],
        )
        request.parameters["priority"].uint64_param = current_call().priority
        started = time.perf_counter()
        try:
            answer = await self._triton.idempotent(self._infer, request, f"{card.name}:{card.version}")
        except (InvalidRequest, NotFound) as error:
            # Triton's complaint is about us or about its repository, never about the caller's recording.
            raise Unavailable(f"triton does not serve {card.name} version {card.version} as published") from error
        finally:
            self._telemetry.observe(
                "inference_latency", (time.perf_counter() - started) * 1e3, {"cardiomesh.model": card.name}
            )
        raw = {out.name: answer.raw_output_contents[i] for i, out in enumerate(answer.outputs)}
        missing = [head.output for head in card.heads if head.output not in raw]
        if missing:
            raise CardioMeshError(f"the model left out {', '.join(missing)}")
        return raw
