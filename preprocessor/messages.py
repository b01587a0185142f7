"""Protocol buffer messages ↔ the core's own types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.ecg.leads import missing_leads
from cardiomesh.ecg.measurements import Status
from cardiomesh.ecg.quality import Grade, Quality, Reason
from cardiomesh.ecg.recording import Device, Patient, Recording, Sex
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding import FileInput, RecordingInput, SignalInput
from preprocessor.decoding.assemble import clean_text
from preprocessor.decoding.inputs import SampleType
from preprocessor.fingerprint import Fingerprint
from preprocessor.measuring import Named
from preprocessor.prepare import Prepared

__all__ = ["from_recording", "to_info", "to_quality", "to_response"]

_SAMPLE_TYPES: Final[Mapping[int, SampleType]] = {
    types_pb2.SAMPLE_TYPE_INT16: "int16",
    types_pb2.SAMPLE_TYPE_FLOAT32: "float32",
}
_SEXES: Final[Mapping[int, Sex]] = {types_pb2.SEX_FEMALE: "female", types_pb2.SEX_MALE: "male"}
_SEX_VALUES: Final[Mapping[Sex | None, types_pb2.Sex.ValueType]] = {
    "female": types_pb2.SEX_FEMALE,
    "male": types_pb2.SEX_MALE,
    None: types_pb2.SEX_UNSPECIFIED,
}
_GRADES: Final[Mapping[Grade, types_pb2.Grade.ValueType]] = {
    Grade.A: types_pb2.GRADE_A,
    Grade.B: types_pb2.GRADE_B,
    Grade.C: types_pb2.GRADE_C,
    Grade.REJECT: types_pb2.GRADE_REJECT,
}
_STATUSES: Final[Mapping[Status, types_pb2.MeasurementStatus.ValueType]] = {
    Status.MEASURED: types_pb2.MEASUREMENT_STATUS_MEASURED,
    Status.ABSENT: types_pb2.MEASUREMENT_STATUS_ABSENT,
    Status.NOT_EVALUABLE: types_pb2.MEASUREMENT_STATUS_NOT_EVALUABLE,
}


def from_recording(message: types_pb2.Recording) -> RecordingInput:
    """The recording as sent."""
    content: SignalInput | FileInput | None = None
    kind = message.WhichOneof("content")
    if kind == "signal":
        content = _from_signal(message.signal)
    elif kind == "file":
        content = FileInput(message.file.content, message.file.format_hint)
    device = Device(clean_text(message.device.manufacturer), clean_text(message.device.model))
    return RecordingInput(
        content=content,
        acquired_at=_from_timestamp(message.acquired_at) if message.HasField("acquired_at") else None,
        device=device if message.HasField("device") else None,
        patient=Patient(
            message.patient.age_years if message.patient.HasField("age_years") else None,
            _SEXES.get(message.patient.sex),
        ),
        subject_ref=message.subject_ref,
    )


def _from_signal(signal: types_pb2.Signal) -> SignalInput:
    return SignalInput(
        leads=tuple(signal.leads),
        sampling_rate=signal.sampling_rate,
        unit=signal.unit,
        sample_type=_SAMPLE_TYPES.get(signal.sample_type),
        samples=signal.samples,
        scale=signal.scale if signal.HasField("scale") else 1.0,
    )


def _from_timestamp(stamp: Timestamp) -> datetime:
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest.field("recording.acquired_at", "not a time between the years 1 and 9999") from None


def _to_timestamp(moment: datetime) -> Timestamp:
    """A local time of an unknown place is passed on as if it were UTC: files seldom say where they are from."""
    stamp = Timestamp()
    stamp.FromDatetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return stamp


def to_response(
    prepared: Prepared, measurements: Iterable[Named], include_signal: bool, fingerprint: Fingerprint | None = None
) -> preprocessor_pb2.PrepareResponse:
    """The answer of ``Prepare``."""
    return preprocessor_pb2.PrepareResponse(
        tensor=prepared.tensor,
        window_starts=prepared.window_starts,
        tensor_hash=prepared.tensor_hash,
        signal_hash=prepared.signal_hash,
        preprocessing_version=prepared.preprocessing_version,
        quality=to_quality(prepared.quality),
        recording=to_info(prepared.recording),
        signal=_to_signal(prepared.recording) if include_signal else None,
        measurements=map(_to_measurement, measurements),
        fingerprint=preprocessor_pb2.Fingerprint(landmarks=fingerprint.landmarks, beats=fingerprint.beats)
        if fingerprint is not None
        else None,
    )


def _to_measurement(named: Named) -> types_pb2.Measurement:
    found = named.value
    return types_pb2.Measurement(
        key=named.key,
        loinc=found.loinc or "",
        lead=named.lead,
        value=found.value,
        unit=found.unit,
        status=_STATUSES[found.status],
        reason=found.reason.en,
        reason_code=found.reason.code,
        reason_pt=found.reason.pt,
    )


def to_quality(quality: Quality) -> types_pb2.Quality:
    return types_pb2.Quality(
        grade=_GRADES[quality.grade],
        score=quality.score,
        leads=[
            types_pb2.LeadQuality(
                lead=lead.lead,
                grade=_GRADES[lead.grade],
                score=lead.score,
                reasons=map(_to_reason, lead.reasons),
            )
            for lead in quality.leads
        ],
        reasons=map(_to_reason, quality.reasons),
    )


def _to_reason(reason: Reason) -> types_pb2.QualityReason:
    return types_pb2.QualityReason(code=reason.code, message=reason.message)


def to_info(recording: Recording) -> types_pb2.RecordingInfo:
    device, patient = recording.device, recording.patient
    return types_pb2.RecordingInfo(
        format=recording.format,
        leads=recording.leads,
        ignored_leads=recording.ignored_leads,
        derived_leads=recording.derived_leads,
        sampling_rate=recording.sampling_rate,
        duration=recording.duration,
        device=types_pb2.Device(manufacturer=device.manufacturer, model=device.model)
        if device.manufacturer or device.model
        else None,
        patient=types_pb2.Patient(age_years=patient.age_years, sex=_SEX_VALUES[patient.sex]),
        acquired_at=_to_timestamp(recording.acquired_at) if recording.acquired_at else None,
        remarks=recording.remarks,
        missing_leads=missing_leads(recording.leads),
    )


def _to_signal(recording: Recording) -> types_pb2.Signal:
    return types_pb2.Signal(
        leads=recording.leads,
        sampling_rate=recording.sampling_rate,
        unit="mV",
        sample_type=types_pb2.SAMPLE_TYPE_FLOAT32,
        samples=np.ascontiguousarray(recording.millivolts, dtype="<f4").tobytes(),
    )
