"""gRPC on one side, the analysis core on the other; nothing in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from cardiomesh._proto.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.chassis.parallel import in_parallel, outcome_of
from cardiomesh.chassis.series import Series
from gateway.analysis.analysis import Analysis
from gateway.catalogue import Catalogue
from gateway.door import current_call
from gateway.explaining import Explaining
from gateway.live import LiveStreams
from gateway.long import LongAnalysis
from gateway.performance import performance
from gateway.routing import Router

__all__ = ["CardioMeshServicer"]

Context = grpc.aio.ServicerContext


class CardioMeshServicer(gateway_pb2_grpc.CardioMeshServicer):
    """cardiomesh.gateway.v1.CardioMesh."""

    def __init__(
        self,
        analysis: Analysis,
        explaining: Explaining,
        long: LongAnalysis,
        live: LiveStreams,
        catalogue: Catalogue,
        router: Router,
        series: Series,
        *,
        batch_items: int,
        item_seconds: float,
    ) -> None:
        self._analysis = analysis
        self._explaining = explaining
        self._long = long
        self._live = live
        self._catalogue = catalogue
        self._router = router
        self._series = series
        self._batch_items = batch_items
        self._item_seconds = item_seconds

    async def Analyze(
        self, request: gateway_pb2.AnalyzeRequest, context: Context[Any, Any]
    ) -> gateway_pb2.AnalyzeResponse:
        """Analyse one recording."""
        return await self._analysis.analyze(request)

    async def AnalyzeBatch(
        self, request_iterator: AsyncIterator[gateway_pb2.AnalyzeBatchRequest], context: Context[Any, Any]
    ) -> AsyncIterator[gateway_pb2.AnalyzeBatchResponse]:
        """Analyse many recordings, each on its own."""
        async with aclosing(in_parallel(request_iterator, self._batch_item, self._batch_items)) as answers:
            async for answer in answers:
                yield answer

    async def AnalyzeLong(
        self, request_iterator: AsyncIterator[gateway_pb2.AnalyzeLongRequest], context: Context[Any, Any]
    ) -> AsyncIterator[gateway_pb2.AnalyzeLongResponse]:
        """Analyse one recording of any length."""
        async with aclosing(self._long.analyze(request_iterator)) as parts:
            async for part in parts:
                yield part

    async def AnalyzeStream(
        self, request_iterator: AsyncIterator[gateway_pb2.AnalyzeStreamRequest], context: Context[Any, Any]
    ) -> AsyncIterator[gateway_pb2.AnalyzeStreamResponse]:
        """Analyse leads while they are recorded."""
        async with aclosing(self._live.stream(request_iterator)) as parts:
            async for part in parts:
                yield part

    async def _batch_item(self, item: gateway_pb2.AnalyzeBatchRequest) -> gateway_pb2.AnalyzeBatchResponse:
        outcome = await outcome_of(item.item_id, lambda: self._analysis.analyze(item.request), self._item_seconds)
        if isinstance(outcome, types_pb2.ItemError):
            current_call().refused(outcome.reason)
            return gateway_pb2.AnalyzeBatchResponse(item_id=item.item_id, error=outcome)
        return gateway_pb2.AnalyzeBatchResponse(item_id=item.item_id, response=outcome)

    async def Explain(
        self, request: gateway_pb2.ExplainRequest, context: Context[Any, Any]
    ) -> AsyncIterator[gateway_pb2.ExplainResponse]:
        """Stream the parts of an explanation."""
        async with aclosing(self._explaining.explain(request)) as parts:
            async for part in parts:
                yield part

    async def GetResult(
        self, request: gateway_pb2.GetResultRequest, context: Context[Any, Any]
    ) -> gateway_pb2.GetResultResponse:
        """An earlier answer."""
        return await self._analysis.result(request.result_id)

    async def ListModels(
        self, request: gateway_pb2.ListModelsRequest, context: Context[Any, Any]
    ) -> gateway_pb2.ListModelsResponse:
        """The served models."""
        return gateway_pb2.ListModelsResponse(
            models=[
                gateway_pb2.ModelSummary(
                    model=model.ref,
                    description=model.card.description,
                    parameters=model.card.architecture.parameters,
                    finding_codes=[statement.code for statement in model.card.statements],
                    is_default=self._router.answers_by_default(model),
                    ready=model.ready,
                )
                for model in self._catalogue.all()
            ]
        )

    async def GetModelCard(
        self, request: gateway_pb2.GetModelCardRequest, context: Context[Any, Any]
    ) -> gateway_pb2.GetModelCardResponse:
        """One model's card."""
        model = self._router.stable(request.model, request.model_version)
        return gateway_pb2.GetModelCardResponse(model=model.ref, card_json=self._catalogue.card_bytes(model))

    async def GetPerformance(
        self, request: gateway_pb2.GetPerformanceRequest, context: Context[Any, Any]
    ) -> gateway_pb2.GetPerformanceResponse:
        """What was measured over the last minutes."""
        return performance(self._series)
