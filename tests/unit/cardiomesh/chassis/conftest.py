"""A real server on a free port, with a servicer that each test scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2, preprocessor_pb2_grpc
from cardiomesh.chassis.service import Application, RunningService, running
from cardiomesh.chassis.settings import ServiceSettings
from cardiomesh.chassis.telemetry import Telemetry

Behaviour = Callable[[preprocessor_pb2.PrepareRequest], Awaitable[preprocessor_pb2.PrepareResponse]]
Serve = Callable[..., AbstractAsyncContextManager[RunningService]]


class Scripted(preprocessor_pb2_grpc.PreprocessorServicer):
    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    async def Prepare(self, request: Any, context: Any) -> Any:
        return await self._behaviour(request)


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(spans: InMemorySpanExporter) -> Any:
    made = Telemetry("test", span_processor=SimpleSpanProcessor(spans))
    yield made
    made.close()


@pytest.fixture
def serve(telemetry: Telemetry) -> Serve:
    @asynccontextmanager
    async def start(behaviour: Behaviour, probe: Any = None, **settings: Any) -> AsyncIterator[RunningService]:
        application = Application(
            name="test",
            services=("cardiomesh.preprocessor.v1.Preprocessor",),
            register=lambda server: preprocessor_pb2_grpc.add_PreprocessorServicer_to_server(
                Scripted(behaviour), server
            ),
            **({"probe": probe} if probe else {}),
        )
        chosen = ServiceSettings(grpc_address="127.0.0.1:0", http_address="127.0.0.1:0", **settings)
        async with running(chosen, application, telemetry) as started:
            yield started

    return start
