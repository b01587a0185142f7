"""Which reader reads what. The content decides; a file's name or the caller's hint never does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from cardiomesh.ecg.recording import MAX_AGE_YEARS, Patient, Recording
from cardiomesh.errors import CardioMeshError, FieldViolation, InvalidRequest
from preprocessor.decoding.dicom import decode_dicom, is_dicom
from preprocessor.decoding.inputs import FileInput, RecordingInput
from preprocessor.decoding.raw import decode_signal
from preprocessor.decoding.wfdb import decode_wfdb, is_wfdb, is_wfdb_header, refuse_bare_header

__all__ = ["FORMATS", "MAX_SUBJECT_REF", "Format", "decode", "decode_file"]

FIELD: Final = "recording.file.content"
MAX_SUBJECT_REF: Final = 128
_MAX_AGE_STATED: Final = 130


@dataclass(frozen=True, slots=True)
class Format:
    """One file format: how its content is recognised, and its reader."""

    name: str
    recognises: Callable[[bytes], bool]
    decode: Callable[[bytes], Recording]


#: In the order they are tried: the surest marks first.
FORMATS: Final = (
    Format("dicom", is_dicom, decode_dicom),
    Format("wfdb", is_wfdb, decode_wfdb),
    Format("wfdb header", is_wfdb_header, refuse_bare_header),
)


def decode(request: RecordingInput) -> Recording:
    """Whatever was sent, as a Recording; what the caller stated overrides what the file said."""
    violations = _statement_violations(request)
    if violations:
        raise InvalidRequest(f"{violations[0].field}: {violations[0].description}", violations)
    content = request.content
    if content is None:
        raise InvalidRequest.field("recording", "nothing was sent; give a signal or a file", "EMPTY")
    recording = decode_file(content) if isinstance(content, FileInput) else decode_signal(content)
    patient = Patient(
        recording.patient.age_years
        if request.patient.age_years is None
        else min(request.patient.age_years, MAX_AGE_YEARS),
        request.patient.sex or recording.patient.sex,
    )
    return replace(
        recording,
        patient=patient,
        device=request.device or recording.device,
        acquired_at=request.acquired_at or recording.acquired_at,
    )


def decode_file(file: FileInput) -> Recording:
    """Recognise a file by its content and read it. No error of a reader leaves here untyped."""
    if not file.content:
        raise InvalidRequest.field(FIELD, "the file is empty", "EMPTY")
    for known in FORMATS:
        if known.recognises(file.content):
            try:
                return known.decode(file.content)
            except CardioMeshError:
                raise
            except Exception:
                # Not chained: a reader's message may quote the file, and the file holds a patient.
                raise InvalidRequest.field(
                    FIELD, f"the {known.name} file is damaged and cannot be read", "UNREADABLE"
                ) from None
    names = ", ".join(f.name for f in FORMATS if " " not in f.name)
    raise InvalidRequest.field(FIELD, f"not an ECG file that is read here ({names})", "UNKNOWN_FORMAT")


def _statement_violations(request: RecordingInput) -> list[FieldViolation]:
    found = []
    if len(request.subject_ref) > MAX_SUBJECT_REF:
        found.append(FieldViolation("recording.subject_ref", f"longer than {MAX_SUBJECT_REF} characters", "TOO_LONG"))
    age = request.patient.age_years
    if age is not None and not 0 <= age <= _MAX_AGE_STATED:
        found.append(
            FieldViolation("recording.patient.age_years", f"must lie between 0 and {_MAX_AGE_STATED}", "OUT_OF_RANGE")
        )
    return found
