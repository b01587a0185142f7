"""gRPC on one side, the preparation core on the other."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from opentelemetry import trace

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2, preprocessor_pb2_grpc
from cardiomesh.chassis.telemetry import Telemetry, Value
from preprocessor.decoding.isolation import WorkerPool
from preprocessor.measuring import Named, measurements_of
from preprocessor.messages import from_recording, to_response
from preprocessor.prepare import make_ready, read

__all__ = ["PreprocessorServicer"]


class PreprocessorServicer(preprocessor_pb2_grpc.PreprocessorServicer):
    """cardiomesh.preprocessor.v1.Preprocessor. Work runs in threads, so that health answers under any load."""

    def __init__(self, telemetry: Telemetry, workers: WorkerPool, *, quality_threshold: float, threads: int) -> None:
        self._telemetry = telemetry
        self._workers = workers
        self._quality_threshold = quality_threshold
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="prepare")

    async def Prepare(
        self, request: preprocessor_pb2.PrepareRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> preprocessor_pb2.PrepareResponse:
        """Prepare one recording."""
        here = contextvars.copy_context()  # the spans made in the thread belong under this call's
        return await asyncio.get_running_loop().run_in_executor(self._pool, here.run, self._prepare, request)

    def _prepare(self, request: preprocessor_pb2.PrepareRequest) -> preprocessor_pb2.PrepareResponse:
        with self._telemetry.span("prepare.decode", {}) as span:
            recording = read(from_recording(request.recording), self._workers.decode)
            self._telemetry.describe(span, {"cardiomesh.format": recording.format})
        with self._telemetry.span("prepare.condition", {}) as span:
            prepared = make_ready(recording, self._quality_threshold)
            self._describe(span, prepared.quality.grade, len(prepared.window_starts), prepared.preprocessing_version)
        self._telemetry.count(
            "recordings",
            {"cardiomesh.format": recording.format, "cardiomesh.quality_grade": str(prepared.quality.grade)},
        )
        measurements: tuple[Named, ...] = ()
        if request.measure:
            with self._telemetry.span("prepare.measure", {}):
                measurements = measurements_of(recording)
        return to_response(prepared, measurements, request.include_signal)

    def _describe(self, span: trace.Span, grade: str, windows: int, version: str) -> None:
        facts: dict[str, Value] = {
            "cardiomesh.quality_grade": str(grade),
            "cardiomesh.windows": windows,
            "cardiomesh.preprocessing_version": version,
        }
        self._telemetry.describe(span, facts)

    async def close(self) -> None:
        """Stop threads and workers; what runs is finished first."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._workers.close)
