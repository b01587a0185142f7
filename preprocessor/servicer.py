"""gRPC on one side, the preparation core on the other."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import grpc

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2, preprocessor_pb2_grpc
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.chassis.parallel import in_parallel, outcome_of
from cardiomesh.chassis.priority import EXPLANATION, PRIORITY_HEADER
from cardiomesh.chassis.telemetry import Telemetry
from preprocessor.decoding.isolation import WorkerPool
from preprocessor.long.desk import LongDesk
from preprocessor.preparation import Preparation
from preprocessor.slow.lane import SlowLane

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
        slow: SlowLane,
    ) -> None:
        self._telemetry = telemetry
        self._workers = workers
        self._preparation = Preparation(telemetry, workers.decode, quality_threshold)
        self._threads = threads
        self._item_seconds = item_seconds
        self._long = long
        self._slow = slow
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="prepare")

    async def Prepare(
        self, request: preprocessor_pb2.PrepareRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> preprocessor_pb2.PrepareResponse:
        """Prepare one recording; what is for an explanation waits behind everything else."""
        slow = dict(context.invocation_metadata() or ()).get(PRIORITY_HEADER) == EXPLANATION
        answer = await (self._slow.prepare(request) if slow else self._in_thread(request))
        self._count(answer)
        return answer

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
        self._count(outcome)
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
        return await asyncio.get_running_loop().run_in_executor(self._pool, here.run, self._preparation, request)

    def _count(self, answer: preprocessor_pb2.PrepareResponse) -> None:
        grade = types_pb2.Grade.Name(answer.quality.grade).removeprefix("GRADE_")
        self._telemetry.count(
            "recordings", {"cardiomesh.format": answer.recording.format, "cardiomesh.quality_grade": grade}
        )

    async def close(self) -> None:
        """Stop threads and workers; what runs is finished first."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._workers.close)
        await self._long.close()
        await self._slow.close()
