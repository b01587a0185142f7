"""Many recordings on one stream, for archives."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh.client._requests import RecordingArguments, recording_of
from cardiomesh.client._results import Analysis, analysis_of
from cardiomesh.errors import CardioMeshError, TooLarge
from cardiomesh.rpc.channel import MAX_MESSAGE_BYTES
from cardiomesh.rpc.status import error_from_item, error_from_rpc

__all__ = ["BatchItem", "answers", "answers_async"]

#: Room that an item's own name and options take beside its recording.
_ENVELOPE_BYTES = 4096
Named = tuple[str, RecordingArguments]


@dataclass(frozen=True, slots=True)
class BatchItem:
    """What became of one recording: an analysis, or the error that ``analyze`` would have raised."""

    item_id: str
    analysis: Analysis | None = None
    error: CardioMeshError | None = None


class _Outbox:
    """Turns recordings into requests; what cannot even be sent waits here as an item that failed."""

    def __init__(self, template: gateway_pb2.AnalyzeRequest) -> None:
        self._template = template
        self._unsent: deque[BatchItem] = deque()
        #: What the caller's own iterable raised: no item's fault, so it ends the batch.
        self.broken: BaseException | None = None

    def request(self, named: Named) -> gateway_pb2.AnalyzeBatchRequest | None:
        item_id, arguments = named
        try:
            recording = recording_of(arguments)
            if recording.ByteSize() > MAX_MESSAGE_BYTES - _ENVELOPE_BYTES:
                # gRPC would end the whole stream.
                raise TooLarge(
                    f"more than {MAX_MESSAGE_BYTES // 2**20} MiB; analyze_long takes recordings of any length"
                )
        except CardioMeshError as error:
            self._unsent.append(BatchItem(item_id, error=error))
            return None
        request = gateway_pb2.AnalyzeBatchRequest(item_id=item_id, request=self._template)
        request.request.recording.CopyFrom(recording)
        return request

    def requests(self, recordings: Iterable[Named]) -> Iterator[gateway_pb2.AnalyzeBatchRequest]:
        try:
            for named in recordings:
                request = self.request(named)
                if request is not None:
                    yield request
        except Exception as error:
            self.broken = error
            raise

    async def requests_async(
        self, recordings: Iterable[Named] | AsyncIterator[Named]
    ) -> AsyncIterator[gateway_pb2.AnalyzeBatchRequest]:
        try:
            async for named in _each(recordings):
                request = self.request(named)
                if request is not None:
                    yield request
        except Exception as error:
            self.broken = error
            raise

    def unsent(self) -> Iterator[BatchItem]:
        while self._unsent:
            yield self._unsent.popleft()


async def _each(recordings: Iterable[Named] | AsyncIterator[Named]) -> AsyncIterator[Named]:
    if isinstance(recordings, AsyncIterator):
        async for named in recordings:
            yield named
    else:
        for named in recordings:
            yield named


def _item(answer: gateway_pb2.AnalyzeBatchResponse) -> BatchItem:
    if answer.WhichOneof("outcome") == "error":
        return BatchItem(answer.item_id, error=error_from_item(answer.error))
    return BatchItem(answer.item_id, analysis=analysis_of(answer.response))


def answers(
    start: Callable[[Any], Any], template: gateway_pb2.AnalyzeRequest, recordings: Iterable[Named]
) -> Iterator[BatchItem]:
    """Send everything on the stream that ``start`` opens; the items as they come back."""
    outbox = _Outbox(template)
    call = start(outbox.requests(recordings))
    try:
        for answer in call:
            yield from outbox.unsent()
            yield _item(answer)
        yield from outbox.unsent()
    except grpc.RpcError as error:
        raise outbox.broken or error_from_rpc(error) from None
    finally:
        call.cancel()


async def answers_async(
    start: Callable[[Any], Any],
    template: gateway_pb2.AnalyzeRequest,
    recordings: Iterable[Named] | AsyncIterator[Named],
) -> AsyncIterator[BatchItem]:
    """The same for asyncio."""
    outbox = _Outbox(template)
    call = start(outbox.requests_async(recordings))
    try:
        async for answer in call:
            for item in outbox.unsent():
                yield item
            yield _item(answer)
        for item in outbox.unsent():
            yield item
    except grpc.RpcError as error:
        raise outbox.broken or error_from_rpc(error) from None
    finally:
        call.cancel()
