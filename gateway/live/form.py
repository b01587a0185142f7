"""What a stream's start says of the samples that follow."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.ecg.tensor import WINDOW_SECONDS
from cardiomesh.errors import FieldViolation, InvalidRequest
from gateway.live.alarms import AlarmRules

__all__ = ["Block", "Form"]

#: ``[leads, n]``, counts as they were sent.
Block = npt.NDArray[Any]

_DTYPES: Final[Mapping[int, str]] = {types_pb2.SAMPLE_TYPE_INT16: "<i2", types_pb2.SAMPLE_TYPE_FLOAT32: "<f4"}
_MOST_CHANNELS: Final = 64
_DEFAULT_STRIDE_S: Final = 10.0
_LEAST_STRIDE_S: Final = 1.0
_MOST_STRIDE_S: Final = 86_400.0
#: One window of one stream, in bytes: two hundred times what twelve leads at 500 Hz take.
_MOST_WINDOW_BYTES: Final = 32 * 2**20
_DEFAULT_CLEAR_AFTER: Final = 3
_MOST_CLEAR_AFTER: Final = 1000


@dataclass(frozen=True, slots=True)
class Form:
    """A checked start. Windows are ``length`` samples, one every ``step``."""

    dtype: str
    interleaved: bool
    rate: float
    length: int
    step: int
    #: Old windows give way when the analysis falls behind; otherwise the sender does.
    skips: bool
    alarms: AlarmRules
    #: Names everything that was stated; a resumption token is good for exactly that.
    digest: bytes
    _recording: types_pb2.Recording = field(repr=False)

    @classmethod
    def of(cls, start: gateway_pb2.AnalyzeStreamStart) -> Form:
        """Raises InvalidRequest with all that is wrong; what a window must be is left to the preprocessor's checks."""
        violations = list(_violations(start))
        if violations:
            first = violations[0]
            raise InvalidRequest(f"{first.field}: {first.description}", violations)
        recording = types_pb2.Recording(
            signal=types_pb2.Signal(
                leads=start.leads,
                sampling_rate=start.sampling_rate,
                unit=start.unit,
                sample_type=start.sample_type,
                scale=start.scale if start.HasField("scale") else None,
            ),
            device=start.device if start.HasField("device") else None,
            patient=start.patient if start.HasField("patient") else None,
            subject_ref=start.subject_ref,
        )
        stated = gateway_pb2.AnalyzeStreamStart()
        stated.CopyFrom(start)
        stated.ClearField("resumption_token")
        limits = start.rate_limits
        return cls(
            dtype=_DTYPES[start.sample_type],
            interleaved=start.order == gateway_pb2.SAMPLE_ORDER_INTERLEAVED,
            rate=start.sampling_rate,
            length=round(WINDOW_SECONDS * start.sampling_rate),
            step=round((start.stride or _DEFAULT_STRIDE_S) * start.sampling_rate),
            skips=start.when_behind == gateway_pb2.WHEN_BEHIND_SKIP,
            alarms=AlarmRules.of(
                low=limits.low if limits.HasField("low") else None,
                high=limits.high if limits.HasField("high") else None,
                clear_after=start.clear_after or _DEFAULT_CLEAR_AFTER,
            ),
            digest=hashlib.sha256(stated.SerializeToString(deterministic=True)).digest(),
            _recording=recording,
        )

    @property
    def leads(self) -> int:
        """How many channels there are."""
        return len(self._recording.signal.leads)

    def block(self, samples: bytes) -> Block:
        """A chunk as ``[leads, n]``; InvalidRequest where its bytes do not divide into all leads."""
        values = np.frombuffer(samples, dtype=np.uint8)
        size = self.leads * np.dtype(self.dtype).itemsize
        if not len(values):
            raise InvalidRequest.field("chunk.samples", "no samples were sent", "EMPTY")
        if len(values) % size:
            raise InvalidRequest.field(
                "chunk.samples", f"{len(values)} bytes do not divide into {self.leads} leads", "WRONG_LENGTH"
            )
        counts = values.view(self.dtype)
        return counts.reshape(-1, self.leads).T if self.interleaved else counts.reshape(self.leads, -1)

    def recording(self, window: Block) -> types_pb2.Recording:
        """One window as Analyze takes it."""
        recording = types_pb2.Recording()
        recording.CopyFrom(self._recording)
        recording.signal.samples = np.ascontiguousarray(window).tobytes()
        return recording

    def silence(self) -> types_pb2.Recording:
        """A window of zeros: what is wrong with its form is wrong with the start."""
        return self.recording(np.zeros((self.leads, self.length), self.dtype))


def _violations(start: gateway_pb2.AnalyzeStreamStart) -> Iterator[FieldViolation]:
    def wrong(name: str, description: str, reason: str) -> FieldViolation:
        return FieldViolation(f"start.{name}", description, reason)

    if not start.leads:
        yield wrong("leads", "name the leads in the order of the samples", "MISSING_LEADS")
    elif len(start.leads) > _MOST_CHANNELS:
        yield wrong("leads", f"at most {_MOST_CHANNELS} channels are read", "TOO_MANY_LEADS")
    if start.sample_type not in _DTYPES:
        yield wrong("sample_type", "say how the samples are stored: INT16 or FLOAT32", "MISSING_SAMPLE_TYPE")
    if start.order not in (gateway_pb2.SAMPLE_ORDER_INTERLEAVED, gateway_pb2.SAMPLE_ORDER_LEAD_MAJOR):
        yield wrong("order", "say how the samples are ordered: INTERLEAVED or LEAD_MAJOR", "MISSING_ORDER")
    if start.when_behind not in gateway_pb2.WhenBehind.values():
        yield wrong("when_behind", "is neither WAIT nor SKIP", "UNKNOWN")
    rate = start.sampling_rate
    if not (math.isfinite(rate) and rate > 0):
        yield wrong("sampling_rate", f"is {rate:g}; samples per second are needed", "RATE_OUT_OF_RANGE")
    elif WINDOW_SECONDS * rate * max(1, len(start.leads)) * 4 > _MOST_WINDOW_BYTES:
        yield wrong("sampling_rate", f"{rate:g} Hz; a window of these leads would be too large", "RATE_OUT_OF_RANGE")
    if start.stride and not _LEAST_STRIDE_S <= start.stride <= _MOST_STRIDE_S:
        yield wrong("stride", f"{start.stride:g} s; at least {_LEAST_STRIDE_S:g} s are needed", "OUT_OF_RANGE")
    if not 0 <= start.clear_after <= _MOST_CLEAR_AFTER:
        yield wrong("clear_after", f"is {start.clear_after}; 1 to {_MOST_CLEAR_AFTER} windows", "OUT_OF_RANGE")
    yield from _limit_violations(start.rate_limits)


def _limit_violations(limits: gateway_pb2.RateLimits) -> Iterator[FieldViolation]:
    for name, stated in (("low", limits.HasField("low")), ("high", limits.HasField("high"))):
        value = limits.low if name == "low" else limits.high
        if stated and not 0 < value <= 500:
            yield FieldViolation(f"start.rate_limits.{name}", f"{value:g} per minute", "OUT_OF_RANGE")
