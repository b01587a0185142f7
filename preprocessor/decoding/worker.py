"""The child's side of isolated decoding: ``python -m preprocessor.decoding.worker``.

Reads frames from standard input, decodes, writes frames to standard output, until the input closes (so it never
outlives its parent). A frame is a four-byte length, that much JSON, and the bytes the JSON announces. No pickles: what
comes back from a process that reads hostile files is numbers and an allow-list of words.
"""

from __future__ import annotations

import json
import resource
import struct
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any, BinaryIO, Final, cast

import numpy as np

from cardiomesh.ecg.recording import Device, ExtraChannel, MedianBeat, Patient, Recording, Sex
from cardiomesh.errors import CardioMeshError, FieldViolation, InvalidRequest, UnfitRecording

__all__ = ["mapped_bytes", "read_frame", "recording_from", "write_frame"]

FIELD: Final = "recording.file.content"
_LENGTH: Final = struct.Struct("<L")
_MAX_JSON: Final = 1 << 20
_ERRORS: Final[dict[str, type[InvalidRequest]]] = {"INVALID_REQUEST": InvalidRequest, "UNFIT_RECORDING": UnfitRecording}


def read_frame(stream: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """One frame; EOFError where the stream has ended."""
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if length > _MAX_JSON:
        raise EOFError
    head: dict[str, Any] = json.loads(_exactly(stream, length))
    return head, _exactly(stream, int(head.get("bytes", 0)))


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data


def write_frame(stream: BinaryIO, head: dict[str, Any], parts: Sequence[bytes | memoryview] = ()) -> None:
    """Write one frame."""
    encoded = json.dumps({**head, "bytes": sum(len(part) for part in parts)}).encode()
    stream.write(_LENGTH.pack(len(encoded)) + encoded)
    for part in parts:
        stream.write(part)
    stream.flush()


def _recording_frame(recording: Recording) -> tuple[dict[str, Any], list[bytes]]:
    shown = [channel.millivolts for channel in recording.extra]
    head = {
        "leads": recording.leads,
        "samples": recording.samples,
        "rate": recording.sampling_rate,
        "format": recording.format,
        "derived": recording.derived_leads,
        "extra": [[c.name, 0 if c.millivolts is None else len(c.millivolts)] for c in recording.extra],
        "device": [recording.device.manufacturer, recording.device.model],
        "age": recording.patient.age_years,
        "sex": recording.patient.sex,
        "acquired_at": recording.acquired_at.isoformat() if recording.acquired_at else None,
        "remarks": recording.remarks,
        "median": None,
    }
    arrays = [recording.millivolts, *(a for a in shown if a is not None)]
    if (median := recording.median_beat) is not None:
        head["median"] = [median.leads, median.millivolts.shape[1], median.sampling_rate]
        arrays.append(median.millivolts)
    return head, [np.ascontiguousarray(a, dtype="<f8").tobytes() for a in arrays]


def recording_from(head: dict[str, Any], data: bytes) -> Recording:
    """The recording a worker sent, or the error it met."""
    if "error" in head:
        violations = [FieldViolation(*map(str, item)) for item in head["violations"]]
        raise _ERRORS.get(head["error"], InvalidRequest)(head["message"], violations)
    values = np.frombuffer(data, dtype="<f8").copy()
    leads, samples = tuple(head["leads"]), int(head["samples"])
    used = len(leads) * samples
    extra = []
    for name, length in head["extra"]:
        extra.append(ExtraChannel(name, values[used : used + length] if length else None))
        used += length
    median: MedianBeat | None = None
    if head["median"]:
        names, length, rate = head["median"]
        beat = values[used : used + len(names) * length].reshape(len(names), length)
        median = MedianBeat(tuple(names), beat, float(rate))
    return Recording(
        leads=leads,
        millivolts=values[: len(leads) * samples].reshape(len(leads), samples),
        sampling_rate=float(head["rate"]),
        format=head["format"],
        derived_leads=tuple(head["derived"]),
        extra=tuple(extra),
        device=Device(*head["device"]),
        patient=Patient(head["age"], cast("Sex | None", head["sex"])),
        acquired_at=datetime.fromisoformat(head["acquired_at"]) if head["acquired_at"] else None,
        remarks=tuple(head["remarks"]),
        median_beat=median,
    )


def _error_frame(error: CardioMeshError) -> dict[str, Any]:
    violations = [[v.field, v.description, v.reason] for v in error.violations]
    return {"error": error.reason, "message": error.message, "violations": violations}


def main(arguments: Sequence[str]) -> None:
    """Serve frames until the input closes. The argument is the memory limit in MiB."""
    from preprocessor.decoding.registry import decode_known

    if "--warm" in arguments:
        import ecgdatakit.parsing.parsers  # noqa: F401  loaded before the first file waits for it

        from preprocessor.decoding import vendor  # noqa: F401
    # On top of what the interpreter and its libraries already map, which differs from machine to machine.
    limit = mapped_bytes() + int(arguments[0]) * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    write_frame(sink, {"ready": True})
    while True:
        try:
            head, content = read_frame(source)
        except EOFError:
            return
        try:
            answer, parts = _recording_frame(decode_known(head["format"], content))
        except CardioMeshError as error:
            answer, parts = _error_frame(error), []
        except (MemoryError, RecursionError):
            answer = _error_frame(
                InvalidRequest.field(FIELD, "decoding it takes more memory than allowed", "TOO_LARGE")
            )
            parts = []
        write_frame(sink, answer, parts)


def mapped_bytes() -> int:
    """Address space of this process now (Linux; elsewhere the limit alone has to do)."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123
            return int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


if __name__ == "__main__":
    main(sys.argv[1:])
