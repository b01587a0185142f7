"""gRPC on one side, the analysis core on the other; nothing in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from cardiomesh._proto.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from gateway.analysis import Analysis
from gateway.catalogue import Catalogue

__all__ = ["CardioMeshServicer"]

Context = grpc.aio.ServicerContext


class CardioMeshServicer(gateway_pb2_grpc.CardioMeshServicer):
    """cardiomesh.gateway.v1.CardioMesh."""

    def __init__(self, analysis: Analysis, catalogue: Catalogue) -> None:
        self._analysis = analysis
        self._catalogue = catalogue

    async def Analyze(
        self, request: gateway_pb2.AnalyzeRequest, context: Context[Any, Any]
    ) -> gateway_pb2.AnalyzeResponse:
        """Analyse one recording."""
        return await self._analysis.analyze(request)

    async def Explain(
        self, request: gateway_pb2.ExplainRequest, context: Context[Any, Any]
    ) -> AsyncIterator[gateway_pb2.ExplainResponse]:
        """Stream the parts of an explanation."""
        async for part in self._analysis.explain(request):
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
                    is_default=model.card.name == self._catalogue.default_model,
                    ready=model.ready,
                )
                for model in self._catalogue.all()
            ]
        )

    async def GetModelCard(
        self, request: gateway_pb2.GetModelCardRequest, context: Context[Any, Any]
    ) -> gateway_pb2.GetModelCardResponse:
        """One model's card."""
        model = self._catalogue.resolve(request.model, request.model_version)
        return gateway_pb2.GetModelCardResponse(model=model.ref, card_json=self._catalogue.card_bytes(model))
