"""A stream without a mesh around it: starts, chunks, and an answer that names the samples it was given."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.chassis.deadline import Budget, enter_budget
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import FieldViolation, NotFound, UnfitRecording
from gateway.door import Call, _call
from gateway.identity import Caller, Role
from gateway.live import LiveLimits, LiveStreams, TokenMint
from gateway.live.form import Form
from gateway.live.stream import LiveStream, Outcome, Skipped, Windowed
from gateway.live.windows import Settled

__all__ = [
    "RATE",
    "Analysis",
    "Card",
    "Model",
    "answer_naming",
    "as_tenant",
    "chunk",
    "chunks",
    "desk",
    "form",
    "hash_of",
    "hashes",
    "numbers",
    "start",
    "stream",
]

RATE = 10
Counts = npt.NDArray[np.int16]


def start(**changes: object) -> gateway_pb2.AnalyzeStreamStart:
    """Twelve leads at ten samples a second: a window is a hundred of them."""
    made = gateway_pb2.AnalyzeStreamStart(
        leads=STANDARD_LEADS,
        sampling_rate=RATE,
        unit="uV",
        sample_type=types_pb2.SAMPLE_TYPE_INT16,
        order=gateway_pb2.SAMPLE_ORDER_INTERLEAVED,
        stride=1,
    )
    made.MergeFrom(gateway_pb2.AnalyzeStreamStart(**changes))  # type: ignore[arg-type]
    return made


def form(**changes: object) -> Form:
    return Form.of(start(**changes))


def numbers(samples: int) -> Counts:
    """``[12, samples]``, no two windows alike."""
    return np.arange(12 * samples, dtype=np.int16).reshape(samples, 12).T


def chunk(first: int, block: Counts, *, lead_major: bool = False) -> gateway_pb2.AnalyzeStreamRequest:
    samples = np.ascontiguousarray(block if lead_major else block.T).tobytes()
    return gateway_pb2.AnalyzeStreamRequest(chunk=gateway_pb2.AnalyzeStreamChunk(first_sample=first, samples=samples))


async def chunks(x: Counts, sizes: Iterable[int], first: int = 0) -> AsyncIterator[gateway_pb2.AnalyzeStreamRequest]:
    """All of ``x`` from ``first`` on, in chunks of these sizes, the last ones of whatever is left."""
    at = first
    for size in sizes:
        if at < x.shape[1]:
            yield chunk(at, x[:, at : at + size])
        at += size
    if at < x.shape[1]:
        yield chunk(at, x[:, at:])


def hash_of(window: Counts) -> str:
    return hashlib.sha256(np.ascontiguousarray(window).tobytes()).hexdigest()


async def answer_naming(recording: types_pb2.Recording) -> Outcome:
    """An answer that names the samples it was given."""
    return gateway_pb2.AnalyzeResponse(signal_hash=hashlib.sha256(recording.signal.samples).hexdigest())


def stream(
    of: Form,
    answer: Callable[[types_pb2.Recording], Awaitable[Outcome]] = answer_naming,
    settled: Settled | None = None,
    *,
    behind: int = 100,
    at_once: int = 1,
    idle_s: float = 30.0,
) -> LiveStream:
    return LiveStream(of, settled or Settled(), answer, capacity=of.length + behind, at_once=at_once, idle_s=idle_s)


def hashes(items: Sequence[Windowed | Skipped]) -> dict[int, str]:
    """Window number → the samples that its answer names."""
    return {
        item.index: item.outcome.signal_hash
        for item in items
        if isinstance(item, Windowed) and isinstance(item.outcome, gateway_pb2.AnalyzeResponse)
    }


LIMITS = LiveLimits(streams=3, tenant_streams=2, windows_at_once=1, behind_s=20, idle_s=30, window_s=5)
MINT = TokenMint(b"k" * 32, 900)


@dataclass
class Card:
    name: str = "hybrid_mobile"
    version: int = 3
    digest: str = "ab"


class Model:
    card = Card()


def resolve(name: str, version: int) -> Any:
    if name not in ("", "hybrid_mobile"):
        raise NotFound(f"no model {name!r} is served")
    return Model()


class Analysis:
    """Refuses silence as the preprocessor does, and otherwise names what it was given."""

    def __init__(self, answer: Callable[[gateway_pb2.AnalyzeRequest], Awaitable[Any]] | None = None) -> None:
        self.requests: list[gateway_pb2.AnalyzeRequest] = []
        self._answer = answer

    async def analyze(self, request: gateway_pb2.AnalyzeRequest) -> gateway_pb2.AnalyzeResponse:
        if not any(request.recording.signal.samples):
            wrong = [FieldViolation("recording.amplitude", "nothing was recorded", "NO_SIGNAL")]
            if request.recording.signal.unit != "uV":
                wrong = [FieldViolation("recording.signal.unit", "not a unit of voltage", "UNKNOWN_UNIT")]
            raise UnfitRecording("refused", wrong)
        self.requests.append(request)
        if self._answer is not None:
            await self._answer(request)
        return cast("gateway_pb2.AnalyzeResponse", await answer_naming(request.recording))


def as_tenant(tenant: str) -> None:
    """As the door leaves a call of this tenant."""
    enter_budget(Budget.of(60))
    _call.set(Call(Caller("someone", tenant, frozenset(Role), "api_key"), "/x/AnalyzeStream", None))


def desk(analysis: Analysis | None = None, **changes: Any) -> LiveStreams:
    telemetry = Telemetry("test")
    made = LiveStreams(analysis or Analysis(), resolve, MINT, telemetry, replace(LIMITS, **changes))  # type: ignore[arg-type]
    telemetry.close()
    return made
