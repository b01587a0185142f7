"""What comes back on a live recording: frozen values, made from the wire messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh.client._results import Analysis, analysis_of
from cardiomesh.client._routing import Model, model_of
from cardiomesh.errors import CardioMeshError
from cardiomesh.rpc.status import error_from_item

__all__ = ["LiveAlarm", "LiveEnd", "LivePart", "LiveSkipped", "LiveStarted", "LiveWindow", "live_part_of"]


@dataclass(frozen=True, slots=True)
class LiveStarted:
    """What answers. Comes first, and again, ``resumed``, whenever a broken stream was taken up."""

    model: Model
    window_samples: int
    stride_samples: int
    resumed: bool
    active_alarms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiveAlarm:
    """Begin ("raised") or end ("cleared") of something that cannot wait; ``onset`` in seconds. No diagnosis."""

    code: str
    name: str
    name_pt: str
    state: Literal["raised", "cleared"]
    onset: float


@dataclass(frozen=True, slots=True)
class LiveWindow:
    """Ten seconds: what ``analyze`` says of exactly these, or the error it raises. ``start`` in seconds."""

    index: int
    first_sample: int
    start: float
    analysis: Analysis | None
    error: CardioMeshError | None
    #: Whether it shows something critical; such answers come before others that are ready.
    critical: bool
    #: Alarms that begin or end with it.
    alarms: tuple[LiveAlarm, ...]
    #: All that are raised and not cleared, by code.
    active_alarms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiveSkipped:
    """Windows in a row that have no answer: the analysis fell "behind", or samples are missing in a "gap"."""

    reason: Literal["behind", "gap"]
    first_index: int
    last_index: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class LiveEnd:
    """Everything is answered. Counts are since the stream was last taken up."""

    answered: int
    refused: int
    skipped: int
    duplicate_samples: int
    unused_samples: int


LivePart = LiveStarted | LiveWindow | LiveSkipped | LiveEnd


def live_part_of(message: gateway_pb2.AnalyzeStreamResponse) -> LivePart:
    """From the wire."""
    kind = message.WhichOneof("part")
    if kind == "window":
        return _window(message.window)
    if kind == "skipped":
        skipped = message.skipped
        gap = skipped.reason == gateway_pb2.SKIP_REASON_GAP
        return LiveSkipped(
            "gap" if gap else "behind", skipped.first_index, skipped.last_index, skipped.start, skipped.end
        )
    if kind == "end":
        end = message.end
        return LiveEnd(end.answered, end.refused, end.skipped, end.duplicate_samples, end.unused_samples)
    started = message.started
    return LiveStarted(
        model=model_of(started.model),
        window_samples=started.window_samples,
        stride_samples=started.stride_samples,
        resumed=started.resumed,
        active_alarms=tuple(started.active_alarms),
    )


def _window(found: gateway_pb2.StreamWindow) -> LiveWindow:
    return LiveWindow(
        index=found.index,
        first_sample=found.first_sample,
        start=found.start,
        analysis=analysis_of(found.answer) if found.HasField("answer") else None,
        error=error_from_item(found.error) if found.HasField("error") else None,
        critical=found.critical,
        alarms=tuple(map(_alarm, found.alarms)),
        active_alarms=tuple(found.active_alarms),
    )


def _alarm(found: gateway_pb2.StreamAlarm) -> LiveAlarm:
    begins = found.state == gateway_pb2.ALARM_STATE_RAISED
    return LiveAlarm(found.code, found.name, found.name_pt, "raised" if begins else "cleared", found.onset)
