"""gRPC on one side, the explanation core on the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from cardiomesh._proto.explainer.v1 import explainer_pb2, explainer_pb2_grpc
from cardiomesh.chassis.deadline import current_budget
from explainer.explanation import Explanation

__all__ = ["ExplainerServicer"]


class ExplainerServicer(explainer_pb2_grpc.ExplainerServicer):
    """cardiomesh.explainer.v1.Explainer."""

    def __init__(self, explanation: Explanation) -> None:
        self._explanation = explanation

    async def Explain(
        self, request: explainer_pb2.ExplainRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[explainer_pb2.ExplainResponse]:
        """Stream the parts of an explanation."""
        async with aclosing(self._explanation.parts(request, current_budget().remaining())) as parts:
            async for part in parts:
                yield part
