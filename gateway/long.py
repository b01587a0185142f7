"""A recording of any length: chunks go through to the preprocessor, its windows to Triton, and a summary is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Final

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2, preprocessor_pb2_grpc
from cardiomesh.cards import ModelCard
from cardiomesh.chassis.deadline import current_budget
from cardiomesh.chassis.hop import Hop
from cardiomesh.errors import CardioMeshError, InvalidRequest, Overloaded, Unavailable
from gateway.admission import Admission
from gateway.backends.backend import Backend
from gateway.backends.inference import Inference
from gateway.catalogue import Model
from gateway.door import current_call
from gateway.findings import findings
from gateway.long_summary import Summary
from gateway.routing import Router

__all__ = ["LongAnalysis"]

Part = gateway_pb2.AnalyzeLongResponse
#: A run of hours does not end because Triton was away for a moment.
_PAUSES_S: Final = (0.5, 2.0, 5.0, 10.0)


class LongAnalysis:
    """Answers AnalyzeLong. Nothing of it is cached: a tape is not sent twice, and its windows would fill the cache."""

    def __init__(self, router: Router, inference: Inference, preprocessor: Backend, admission: Admission) -> None:
        self._router = router
        self._inference = inference
        self._admission = admission
        self._preprocessor = preprocessor
        self._prepare: Hop[AsyncIterator[preprocessor_pb2.PrepareLongRequest], preprocessor_pb2.PrepareLongResponse] = (
            preprocessor.hop(preprocessor_pb2_grpc.PreprocessorStub(preprocessor.channel).PrepareLong)
        )

    async def analyze(self, requests: AsyncIterator[gateway_pb2.AnalyzeLongRequest]) -> AsyncGenerator[Part, None]:
        """Overview, windows, summary."""
        first = await anext(requests, gateway_pb2.AnalyzeLongRequest())
        if not first.HasField("start"):
            raise _out_of_order()
        start = first.start
        # The very version that answers first answers to the end, also when a newer one is published meanwhile.
        model = self._router.stable(start.model, start.model_version)
        current_call().model = model.card.name
        refused: list[CardioMeshError] = []
        summary = Summary(model.card)
        try:
            onward = _onward(start.stride, requests, refused)
            async with aclosing(self._preprocessor.stream(self._prepare, onward, "long")) as parts:
                async for part in parts:
                    if refused:
                        break
                    if part.HasField("recording"):
                        yield Part(overview=_overview(part.recording, model))
                        continue
                    for window in await self._answered(model.card, part.windows.windows):
                        summary.add(window)
                        yield Part(window=window)
        except CardioMeshError as error:
            # What the preprocessor makes of a recording that broke off is not what went wrong.
            raise (refused or [error])[0] from error
        if refused:
            raise refused[0]
        yield Part(summary=summary.message())

    async def _answered(
        self, card: ModelCard, prepared: Sequence[preprocessor_pb2.PreparedWindow]
    ) -> list[gateway_pb2.LongWindow]:
        """Windows with their findings; those that were refused keep the reason."""
        fit = [window for window in prepared if not window.HasField("refusal")]
        answers = iter(await self._logits(card, [window.tensor for window in fit]) if fit else ())
        answered = []
        for window in prepared:
            message = gateway_pb2.LongWindow(index=window.index, start=window.start, tensor_hash=window.tensor_hash)
            if window.HasField("quality"):
                message.quality.CopyFrom(window.quality)
            if window.HasField("refusal"):
                message.refusal.CopyFrom(window.refusal)
            else:
                found = list(findings(card, next(answers)))
                message.probabilities.extend(finding.probability for finding in found)
                message.present.extend(finding.code for finding in found if finding.present)
            if window.HasField("heart_rate"):
                message.heart_rate = window.heart_rate
            answered.append(message)
        return answered

    async def _logits(self, card: ModelCard, tensors: Sequence[bytes]) -> Sequence[Mapping[str, list[float]]]:
        for pause in _PAUSES_S:
            try:
                return await self._each(card, tensors)
            except (Unavailable, Overloaded):
                if current_budget().remaining() < pause:
                    raise
                await asyncio.sleep(pause)
        return await self._each(card, tensors)

    async def _each(self, card: ModelCard, tensors: Sequence[bytes]) -> Sequence[Mapping[str, list[float]]]:
        call = current_call()
        kind = ("windows", card.name, card.version, len(tensors))
        async with self._admission.turn(call.priority, call.tenant, kind) as turn:
            await turn.begin()
            return await self._inference.each(card, tensors)


async def _onward(
    stride: float, requests: AsyncIterator[gateway_pb2.AnalyzeLongRequest], refused: list[CardioMeshError]
) -> AsyncIterator[preprocessor_pb2.PrepareLongRequest]:
    """The caller's chunks as the preprocessor takes them, one at a time."""
    yield preprocessor_pb2.PrepareLongRequest(start=preprocessor_pb2.PrepareLongStart(stride=stride))
    try:
        async for request in requests:
            if request.WhichOneof("part") != "chunk":
                refused.append(_out_of_order())
                return
            yield preprocessor_pb2.PrepareLongRequest(chunk=request.chunk)
    except CardioMeshError as error:
        # A call whose requests raise is only cancelled by grpc, and nobody would say why.
        refused.append(error)


def _out_of_order() -> InvalidRequest:
    return InvalidRequest.field("part", "send the start first and once, then chunks", "OUT_OF_ORDER")


def _overview(found: preprocessor_pb2.LongRecording, model: Model) -> gateway_pb2.LongOverview:
    if found.preprocessing_version != model.card.input.preprocessing_version:
        raise CardioMeshError(
            f"{model.card.name} version {model.card.version} was trained with preprocessing "
            f"{model.card.input.preprocessing_version}, but {found.preprocessing_version} is running"
        )
    return gateway_pb2.LongOverview(
        model=model.ref,
        recording=found.recording,
        preprocessing_version=found.preprocessing_version,
        windows=found.windows,
        stride=found.stride,
        finding_codes=[statement.code for statement in model.card.statements],
        content_hash=found.content_hash,
    )
