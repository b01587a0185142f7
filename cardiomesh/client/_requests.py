"""From what a caller has — an array, bytes, a path — to a Recording on the wire."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt

from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import InvalidRequest

__all__ = ["FileLike", "RecordingArguments", "Sex", "read_file", "recording_of", "signal_files"]

FileLike = str | PathLike[str] | bytes
Sex = Literal["female", "male"]


class RecordingArguments(TypedDict, total=False):
    """How callers describe a recording."""

    #: ``[leads, n]``, in ``unit``; int16 travels as int16, everything else as float32.
    signal: npt.ArrayLike
    #: Samples per second and lead, in Hz; needed with ``signal``.
    sampling_rate: float
    #: Names in the order of ``signal``; the twelve in standard order when left out.
    leads: Sequence[str]
    #: UCUM code: "mV" (the default), "uV" or "V".
    unit: str
    #: A path (a WFDB header brings its signal files along) or bytes; instead of ``signal``.
    file: FileLike
    #: What the file is thought to be; its content decides.
    format_hint: str
    #: Age in completed years.
    age_years: int
    sex: Sex
    acquired_at: datetime
    #: An opaque reference of the caller's own, at most 128 characters.
    subject_ref: str


def recording_of(arguments: RecordingArguments) -> types_pb2.Recording:
    """A Recording of either ``signal`` or ``file``; InvalidRequest says which argument is wrong."""
    signal, file = arguments.get("signal"), arguments.get("file")
    if (signal is None) == (file is None):
        raise InvalidRequest.field("recording", "give either signal= or file=", "MISSING")
    recording = types_pb2.Recording(subject_ref=arguments.get("subject_ref", ""))
    if file is not None:
        recording.file.content = read_file(file)
        recording.file.format_hint = arguments.get("format_hint", "")
    else:
        recording.signal.CopyFrom(
            _signal(signal, arguments.get("sampling_rate"), arguments.get("leads"), arguments.get("unit", "mV"))
        )
    if (age_years := arguments.get("age_years")) is not None:
        if not 0 <= age_years < 2**32:
            raise InvalidRequest.field("age_years", f"is {age_years}", "OUT_OF_RANGE")
        recording.patient.age_years = age_years
    if (sex := arguments.get("sex")) is not None:
        if sex not in ("female", "male"):
            raise InvalidRequest.field("sex", "is neither 'female' nor 'male'", "UNKNOWN")
        recording.patient.sex = types_pb2.SEX_FEMALE if sex == "female" else types_pb2.SEX_MALE
    if (acquired_at := arguments.get("acquired_at")) is not None:
        recording.acquired_at.FromDatetime(acquired_at)
    return recording


def _signal(signal: Any, sampling_rate: float | None, leads: Sequence[str] | None, unit: str) -> types_pb2.Signal:
    array = np.asarray(signal)
    names = tuple(STANDARD_LEADS if leads is None else leads)
    if sampling_rate is None:
        raise InvalidRequest.field("sampling_rate", "is needed with signal=", "MISSING")
    if array.ndim != 2 or array.shape[0] != len(names):
        raise InvalidRequest.field(
            "signal", f"has shape {list(array.shape)}, expected [{len(names)}, n] for {len(names)} leads", "SHAPE"
        )
    if array.dtype == np.int16:
        kind, packed = types_pb2.SAMPLE_TYPE_INT16, array.astype("<i2", copy=False)
    elif np.issubdtype(array.dtype, np.number) and not np.issubdtype(array.dtype, np.complexfloating):
        kind, packed = types_pb2.SAMPLE_TYPE_FLOAT32, array.astype("<f4", copy=False)
    else:
        raise InvalidRequest.field("signal", f"holds {array.dtype}, expected numbers", "DTYPE")
    return types_pb2.Signal(
        leads=names,
        sampling_rate=float(sampling_rate),
        unit=unit,
        sample_type=kind,
        samples=np.ascontiguousarray(packed).tobytes(),
    )


def read_file(file: FileLike) -> bytes:
    """A file as the mesh takes it; a WFDB header comes with its signal files, as one zip."""
    if isinstance(file, bytes | bytearray | memoryview):
        return bytes(file)
    path = Path(file)
    try:
        return _wfdb_zip(path) if path.suffix == ".hea" else path.read_bytes()
    except OSError as error:
        raise InvalidRequest.field("file", f"{path.name}: {error.strerror}", "UNREADABLE") from error


def _wfdb_zip(header: Path) -> bytes:
    """A WFDB record as one zip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in (header, *signal_files(header)):
            archive.write(member, member.name)
    return packed.getvalue()


def signal_files(header: Path) -> list[Path]:
    """The signal files that a WFDB header names, those in the header's own folder."""
    lines = header.read_text("latin-1").splitlines()
    named = {line.split()[0] for line in lines[1:] if line.strip() and not line.startswith("#")}
    files = (header.parent / name for name in sorted(named) if Path(name).name == name)
    return [file for file in files if file.is_file()]
