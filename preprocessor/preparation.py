"""One request prepared, from message to message, with a span around each step."""

from __future__ import annotations

from collections.abc import Callable

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.ecg.recording import Recording
from preprocessor.fingerprint import fingerprint
from preprocessor.measuring import Named, measurements_of
from preprocessor.messages import from_recording, to_response
from preprocessor.prepare import make_ready, read

__all__ = ["Preparation"]


class Preparation:
    """Answers Prepare. Safe to call from several threads."""

    def __init__(
        self, telemetry: Telemetry, isolated: Callable[[str, bytes], Recording], quality_threshold: float
    ) -> None:
        self._telemetry = telemetry
        self._isolated = isolated
        self._quality_threshold = quality_threshold

    def __call__(self, request: preprocessor_pb2.PrepareRequest) -> preprocessor_pb2.PrepareResponse:
        """The answer; raises InvalidRequest and its kin for what no model can take."""
        with self._telemetry.span("prepare.decode", {}) as span:
            recording = read(from_recording(request.recording), self._isolated, request.may_miss)
            self._telemetry.describe(span, {"cardiomesh.format": recording.format})
        with self._telemetry.span("prepare.condition", {}) as span:
            prepared = make_ready(recording, self._quality_threshold)
            self._telemetry.describe(
                span,
                {
                    "cardiomesh.quality_grade": str(prepared.quality.grade),
                    "cardiomesh.windows": len(prepared.window_starts),
                    "cardiomesh.preprocessing_version": prepared.preprocessing_version,
                },
            )
        measurements: tuple[Named, ...] = ()
        if request.measure:
            with self._telemetry.span("prepare.measure", {}):
                measurements = measurements_of(recording)
        known_by = fingerprint(prepared.conditioned) if request.fingerprint else None
        return to_response(prepared, measurements, request.include_signal, known_by)
