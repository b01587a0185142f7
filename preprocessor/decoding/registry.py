"""Which reader reads what. The content decides; a file's name or the caller's hint never does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from cardiomesh.ecg.recording import MAX_AGE_YEARS, Patient, Recording
from cardiomesh.errors import CardioMeshError, FieldViolation, InvalidRequest
from preprocessor.decoding import sniff, tables
from preprocessor.decoding.contec import decode_contec
from preprocessor.decoding.dicom import decode_dicom, is_dicom
from preprocessor.decoding.inputs import FileInput, RecordingInput
from preprocessor.decoding.kardia_atc import decode_atc, is_atc
from preprocessor.decoding.raw import decode_signal
from preprocessor.decoding.wfdb import decode_wfdb, is_wfdb, is_wfdb_header, refuse_bare_header

__all__ = [
    "FORMATS",
    "MAX_SUBJECT_REF",
    "Format",
    "Isolated",
    "decode",
    "decode_file",
    "decode_known",
    "recognise",
    "title_of",
]

FIELD: Final = "recording.file.content"
MAX_SUBJECT_REF: Final = 128
_MAX_AGE_STATED: Final = 130

#: Decodes content of a named format somewhere a crash, a hang or a hunger for memory does no harm.
Isolated = Callable[[str, bytes], Recording]


@dataclass(frozen=True, slots=True)
class Format:
    """One file format: how its content is recognised, and its reader.

    ``isolated`` readers are other people's code, or parse languages that can be made to explode: in service they run
    in a worker process with limits. The others are ours, bounded by construction, and run where they are called.
    """

    name: str
    title: str
    recognises: Callable[[bytes], bool]
    decode: Callable[[bytes], Recording]
    isolated: bool = False


def _vendor(name: str, content: bytes) -> Recording:
    from preprocessor.decoding.vendor import decode_vendor  # large, and only for those who need it

    return decode_vendor(name, content)


def _cart(reader: str, content: bytes) -> Recording:
    from preprocessor.decoding import cart_xml  # XML readers are loaded in the workers

    decoded: Recording = getattr(cart_xml, reader)(content)
    return decoded


def _by_library(name: str, title: str, recognises: Callable[[bytes], bool]) -> Format:
    return Format(name, title, recognises, partial(_vendor, name), isolated=True)


def _has_root(name: str) -> Callable[[bytes], bool]:
    return lambda content: sniff.XML_FORMATS.get(sniff.xml_root(content)) == name


#: In the order they are tried: the surest marks first.
FORMATS: Final = (
    Format("dicom", "DICOM ECG", is_dicom, decode_dicom),
    Format("wfdb", "WFDB zip", is_wfdb, decode_wfdb),
    Format("npz", "NumPy npz", tables.is_npz, tables.decode_npz, isolated=True),
    _by_library("scp", "SCP-ECG", sniff.is_scp),
    _by_library("ishne", "ISHNE", sniff.is_ishne),
    _by_library("edf", "EDF", sniff.is_edf),
    _by_library("aecg", "HL7 aECG", _has_root("aecg")),
    _by_library("muse", "GE MUSE XML", _has_root("muse")),
    _by_library("sierra", "Philips Sierra XML", _has_root("sierra")),
    _by_library("mortara", "Mortara ELI XML", sniff.is_mortara),
    Format(
        "cardiosoft",
        "GE CardioSoft XML",
        _has_root("cardiosoft"),
        partial(_cart, "decode_cardiosoft"),
        isolated=True,
    ),
    Format("schiller", "Schiller XML", _has_root("schiller"), partial(_cart, "decode_schiller"), isolated=True),
    _by_library("mfer", "MFER", sniff.is_mfer),
    Format("kardia-atc", "AliveCor Kardia ATC", is_atc, decode_atc),
    _by_library("kardia", "AliveCor Kardia JSON", sniff.is_kardia_json),
    Format("contec", "Contec ECG90A", sniff.is_contec, decode_contec),
    Format("wfdb header", "WFDB header", is_wfdb_header, refuse_bare_header),
    Format("apple-health", "Apple Health CSV", tables.is_apple, tables.decode_apple, isolated=True),
    Format("csv", "CSV", sniff.is_csv, tables.decode_csv, isolated=True),
)
_BY_NAME: Final[Mapping[str, Format]] = {known.name: known for known in FORMATS}


def recognise(content: bytes) -> Format | None:
    """The format of this content, if it is one of ours."""
    return next((known for known in FORMATS if known.recognises(content)), None)


def title_of(name: str) -> str:
    """A format's name as people say it; plain numbers have none but their own."""
    known = _BY_NAME.get(name)
    return known.title if known else name


def decode_known(name: str, content: bytes) -> Recording:
    """Read content whose format is known. No error of a reader leaves here untyped."""
    known = _BY_NAME[name]
    try:
        return known.decode(content)
    except (CardioMeshError, MemoryError):
        raise
    except Exception:
        # Not chained: a reader's message may quote the file, and the file holds a patient.
        raise InvalidRequest.field(
            FIELD, f"the {known.title} file is damaged or not an ECG of that kind", "UNREADABLE"
        ) from None


def decode_file(file: FileInput, isolated: Isolated = decode_known) -> Recording:
    """Recognise a file by its content and read it, by ``isolated`` where its format asks for that."""
    if not file.content:
        raise InvalidRequest.field(FIELD, "the file is empty", "EMPTY")
    known = recognise(file.content)
    if known is None:
        titles = ", ".join(f.title for f in FORMATS if f.name != "wfdb header")
        raise InvalidRequest.field(FIELD, f"not an ECG file that is read here ({titles})", "UNKNOWN_FORMAT")
    return (isolated if known.isolated else decode_known)(known.name, file.content)


def decode(request: RecordingInput, isolated: Isolated = decode_known) -> Recording:
    """Whatever was sent, as a Recording; what the caller stated overrides what the file said."""
    violations = _statement_violations(request)
    if violations:
        raise InvalidRequest(f"{violations[0].field}: {violations[0].description}", violations)
    content = request.content
    if content is None:
        raise InvalidRequest.field("recording", "nothing was sent; give a signal or a file", "EMPTY")
    recording = decode_file(content, isolated) if isinstance(content, FileInput) else decode_signal(content)
    stated = request.patient
    age = recording.patient.age_years if stated.age_years is None else min(stated.age_years, MAX_AGE_YEARS)
    return replace(
        recording,
        patient=Patient(age, stated.sex or recording.patient.sex),
        device=request.device or recording.device,
        acquired_at=request.acquired_at or recording.acquired_at,
    )


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
