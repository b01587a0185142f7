"""gRPC on one side, the preparation core on the other."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import grpc
from opentelemetry import trace

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2, preprocessor_pb2_grpc
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.chassis.parallel import in_parallel, outcome_of
from cardiomesh.chassis.telemetry import Telemetry, Value
from preprocessor.decoding.isolation import WorkerPool
from preprocessor.long.desk import LongDesk
from preprocessor.measuring import Named, measurements_of
from preprocessor.messages import from_recording, to_response
from preprocessor.prepare import make_ready, read

__all__ = ["PreprocessorServicer"]


class PreprocessorServicer(preprocessor_pb2_grpc.PreprocessorServicer):
    """cardiomesh.preprocessor.v1.Preprocessor. Work runs in threads, so that health answers under any load."""

    def __init__(
        self,
        telemetry: Telemetry,
        workers: WorkerPool,
        *,
        quality_threshold: float,
        threads: int,
        item_seconds: float,
        long: LongDesk,
    ) -> None:
        self._telemetry = telemetry
        self._workers = workers
        self._quality_threshold = quality_threshold
        self._threads = threads
        self._item_seconds = item_seconds
        self._long = long
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="prepare")

    async def Prepare(
        self, request: preprocessor_pb2.PrepareRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> preprocessor_pb2.PrepareResponse:
        """Prepare one recording."""
        return await self._in_thread(request)

    async def PrepareBatch(
        self,
        request_iterator: AsyncIterator[preprocessor_pb2.PrepareBatchRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[preprocessor_pb2.PrepareBatchResponse]:
        """Prepare many recordings, each on its own."""
        # One more than there are threads, so that the next item is here when a thread is free.
        async with aclosing(in_parallel(request_iterator, self._batch_item, self._threads + 1)) as answers:
            async for answer in answers:
                yield answer

    async def _batch_item(self, item: preprocessor_pb2.PrepareBatchRequest) -> preprocessor_pb2.PrepareBatchResponse:
        outcome = await outcome_of(item.item_id, lambda: self._in_thread(item.request), self._item_seconds)
        if isinstance(outcome, types_pb2.ItemError):
            return preprocessor_pb2.PrepareBatchResponse(item_id=item.item_id, error=outcome)
        return preprocessor_pb2.PrepareBatchResponse(item_id=item.item_id, response=outcome)

    async def PrepareLong(
        self,
        request_iterator: AsyncIterator[preprocessor_pb2.PrepareLongRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[preprocessor_pb2.PrepareLongResponse]:
        """Prepare one recording of any length."""
        async with aclosing(self._long.prepare(request_iterator)) as parts:
            async for part in parts:
                yield part

    async def _in_thread(self, request: preprocessor_pb2.PrepareRequest) -> preprocessor_pb2.PrepareResponse:
        here = contextvars.copy_context()  # the spans made in the thread belong under this call's
        return await asyncio.get_running_loop().run_in_executor(self._pool, here.run, self._prepare, request)

    def _prepare(self, request: preprocessor_pb2.PrepareRequest) -> preprocessor_pb2.PrepareResponse:
        with self._telemetry.span("prepare.decode", {}) as span:
            recording = read(from_recording(request.recording), self._workers.decode, request.may_miss)
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
        await self._long.close()
