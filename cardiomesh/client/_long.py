"""Recordings of any length: sent in chunks, answered window by window."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import grpc

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.client._requests import FileLike, signal_files
from cardiomesh.client._results import Quality, RecordingInfo, quality_of, recording_info_of
from cardiomesh.client._routing import Model, model_of
from cardiomesh.errors import CardioMeshError, InvalidRequest
from cardiomesh.rpc.status import error_from_item, error_from_rpc

__all__ = [
    "Extreme",
    "FindingBurden",
    "LongOverview",
    "LongPart",
    "LongSummary",
    "LongWindow",
    "RefusalCount",
    "long_parts",
    "long_parts_async",
]

_CHUNK_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class LongOverview:
    """What a long recording is, how many windows will follow, and which model answers on them."""

    model: Model
    recording: RecordingInfo
    preprocessing_version: str
    windows: int
    stride: float
    content_hash: str


@dataclass(frozen=True, slots=True)
class LongWindow:
    """The answer to ten seconds, or why there is none. ``start`` in seconds, ``heart_rate`` in beats per minute."""

    index: int
    start: float
    quality: Quality | None
    probabilities: dict[str, float]
    present: tuple[str, ...]
    heart_rate: float | None
    tensor_hash: str
    refusal: CardioMeshError | None


@dataclass(frozen=True, slots=True)
class FindingBurden:
    """How much of the recording shows one statement: ``share`` of the answered windows; starts in seconds."""

    code: str
    name: str
    name_pt: str
    kind: str
    urgency: str
    windows: int
    share: float
    longest_run: int
    longest_run_start: float
    highest_probability: float
    highest_start: float


@dataclass(frozen=True, slots=True)
class RefusalCount:
    """How many windows were refused for one reason."""

    reason: str
    windows: int
    first_start: float


@dataclass(frozen=True, slots=True)
class Extreme:
    """A value, and the start of its window in seconds."""

    value: float
    start: float


@dataclass(frozen=True, slots=True)
class LongSummary:
    """All windows together."""

    windows: int
    analyzed: int
    refused: int
    refusals: tuple[RefusalCount, ...]
    findings: tuple[FindingBurden, ...]
    worst_quality: Extreme | None
    lowest_heart_rate: Extreme | None
    highest_heart_rate: Extreme | None
    mean_heart_rate: float | None

    @property
    def rhythms(self) -> tuple[FindingBurden, ...]:
        """The rhythms that were seen, most frequent first."""
        return tuple(burden for burden in self.findings if burden.kind == "rhythm")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)


LongPart = LongOverview | LongWindow | LongSummary


class _Reader:
    """Turns the stream's messages into parts."""

    def __init__(self) -> None:
        self._codes: tuple[str, ...] = ()

    def part(self, answer: gateway_pb2.AnalyzeLongResponse) -> LongPart:
        if answer.HasField("overview"):
            self._codes = tuple(answer.overview.finding_codes)
            return _overview(answer.overview)
        if answer.HasField("window"):
            return self._window(answer.window)
        return _summary(answer.summary)

    def _window(self, window: gateway_pb2.LongWindow) -> LongWindow:
        refused = window.HasField("refusal")
        return LongWindow(
            index=window.index,
            start=window.start,
            quality=quality_of(window.quality) if window.HasField("quality") else None,
            probabilities={} if refused else dict(zip(self._codes, window.probabilities, strict=True)),
            present=tuple(window.present),
            heart_rate=window.heart_rate if window.HasField("heart_rate") else None,
            tensor_hash=window.tensor_hash,
            refusal=error_from_item(window.refusal) if refused else None,
        )


def _overview(found: gateway_pb2.LongOverview) -> LongOverview:
    return LongOverview(
        model=model_of(found.model),
        recording=recording_info_of(found.recording),
        preprocessing_version=found.preprocessing_version,
        windows=found.windows,
        stride=found.stride,
        content_hash=found.content_hash,
    )


def _summary(found: gateway_pb2.LongSummary) -> LongSummary:
    def extreme(name: str) -> Extreme | None:
        value = getattr(found, name)
        return Extreme(value.value, value.start) if found.HasField(cast("Any", name)) else None

    return LongSummary(
        windows=found.windows,
        analyzed=found.analyzed,
        refused=found.refused,
        refusals=tuple(RefusalCount(r.reason, r.windows, r.first_start) for r in found.refusals),
        findings=tuple(map(_burden, found.findings)),
        worst_quality=extreme("worst_quality"),
        lowest_heart_rate=extreme("lowest_heart_rate"),
        highest_heart_rate=extreme("highest_heart_rate"),
        mean_heart_rate=found.mean_heart_rate if found.HasField("mean_heart_rate") else None,
    )


def _burden(found: gateway_pb2.FindingBurden) -> FindingBurden:
    return FindingBurden(
        code=found.code,
        name=found.name,
        name_pt=found.name_pt,
        kind=found.kind,
        urgency=types_pb2.Urgency.Name(found.urgency).removeprefix("URGENCY_").lower(),
        windows=found.windows,
        share=found.share,
        longest_run=found.longest_run,
        longest_run_start=found.longest_run_start,
        highest_probability=found.highest_probability,
        highest_start=found.highest_start,
    )


@contextmanager
def _opened(file: FileLike) -> Iterator[BinaryIO]:
    """The bytes to send; a WFDB header comes with its signal files, as one zip on disk."""
    if isinstance(file, bytes | bytearray | memoryview):
        yield io.BytesIO(file)
        return
    path = Path(file)
    try:
        if path.suffix != ".hea":
            with path.open("rb") as stream:
                yield stream
            return
        with tempfile.TemporaryFile() as stream:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
                for member in (path, *signal_files(path)):
                    archive.write(member, member.name)
            stream.seek(0)
            yield cast("BinaryIO", stream)
    except OSError as error:
        raise InvalidRequest.field("file", f"{path.name}: {error.strerror}", "UNREADABLE") from error


def _requests(start: gateway_pb2.AnalyzeLongStart, stream: BinaryIO) -> Iterator[gateway_pb2.AnalyzeLongRequest]:
    yield gateway_pb2.AnalyzeLongRequest(start=start)
    while chunk := stream.read(_CHUNK_BYTES):
        yield gateway_pb2.AnalyzeLongRequest(chunk=chunk)


def long_parts(opener: Callable[[Any], Any], start: gateway_pb2.AnalyzeLongStart, file: FileLike) -> Iterator[LongPart]:
    """Send a file on the stream that ``opener`` opens; the parts of its answer."""
    with _opened(file) as stream:
        call, reader = opener(_requests(start, stream)), _Reader()
        try:
            for answer in call:
                yield reader.part(answer)
        except grpc.RpcError as error:
            raise error_from_rpc(error) from None
        finally:
            call.cancel()


async def long_parts_async(
    opener: Callable[[Any], Any], start: gateway_pb2.AnalyzeLongStart, file: FileLike
) -> AsyncIterator[LongPart]:
    """The same for asyncio; chunks are read from disk between the loop's other work."""
    with _opened(file) as stream:
        call, reader = opener(_requests(start, stream)), _Reader()
        try:
            async for answer in call:
                yield reader.part(answer)
        except grpc.RpcError as error:
            raise error_from_rpc(error) from None
        finally:
            call.cancel()
