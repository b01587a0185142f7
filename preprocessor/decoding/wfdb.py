"""WFDB records (a zip of one header and its signal files) → Recording.

File names inside a header are only ever looked up among the members of the same zip, by their last part:
nothing is unpacked to disk, so no name can point anywhere. See docs/decisions/preprocessor-readers.md for why
the ``wfdb`` package is the oracle in the tests and not the reader in service.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.recording import Patient, Recording, Sex
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding.assemble import Metadata, age_group, assemble
from preprocessor.decoding.units import millivolts_per
from preprocessor.decoding.wfdb_samples import FORMATS, bytes_for, unpack

__all__ = [
    "Header",
    "Signal",
    "decode_wfdb",
    "is_wfdb",
    "is_wfdb_header",
    "millivolts_of",
    "parse_header",
    "refuse_bare_header",
]

FIELD: Final = "recording.file.content"
_MAX_MEMBERS: Final = 64
_MAX_UNPACKED: Final = 64 * 1024 * 1024
_MAX_HEADER: Final = 256 * 1024
_MAX_CHANNELS: Final = 64
_DEFAULT_GAIN: Final = 200.0
_DEFAULT_RATE: Final = 250.0
_GAIN: Final = re.compile(
    r"^(?P<gain>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)?(?:\((?P<baseline>[-+]?\d+)\))?(?:/(?P<unit>\S+))?$"
)
_FORMAT: Final = re.compile(r"^(?P<format>\d+)(?:x(?P<frame>\d+))?(?::(?P<skew>\d+))?(?:\+(?P<offset>\d+))?$")
_APPLE_DOUBLE: Final = re.compile(r"(?:^|/)(?:__MACOSX/|\._)")
_AGE: Final = re.compile(r"<?\bage\b>?\s*[:=]?\s*(\d{1,3})\b", re.IGNORECASE)
_SEX: Final = re.compile(r"<?\b(?:sex|gender)\b>?\s*[:=]?\s*(male|female|m|f)\b", re.IGNORECASE)


def _refused(description: str, reason: str = "MALFORMED") -> InvalidRequest:
    return InvalidRequest.field(FIELD, description, reason)


def is_wfdb(content: bytes) -> bool:
    """Whether it is a zip with a WFDB header in it."""
    if content[:4] != b"PK\x03\x04":
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(name.lower().endswith(".hea") for name in archive.namelist()[:_MAX_MEMBERS])
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return False


def is_wfdb_header(content: bytes) -> bool:
    """Whether it is the header of a WFDB record alone."""
    first = content[:256].lstrip(b"\r\n").split(b"\n", 1)[0]
    return re.match(rb"^[\w.-]{1,64}(?:/\d+)? \d{1,3} [\d.]+(?:/[\d.()]+)? \d+\s", first + b"\n") is not None


def refuse_bare_header(content: bytes) -> Recording:
    """A header without its signal says nothing of the heart."""
    raise _refused("a WFDB header alone; send header and signal files together in one zip", "MISSING_SIGNAL_FILE")


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal as its header line describes it."""

    file: str
    format: str
    offset: int
    skew: int
    gain: float
    baseline: int
    unit: str
    checksum: int | None
    label: str

    @property
    def is_voltage(self) -> bool:
        return millivolts_per(self.unit) is not None


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says; ``samples`` per signal, None where it does not."""

    rate: float
    samples: int | None
    signals: tuple[Signal, ...]
    metadata: Metadata


def decode_wfdb(content: bytes) -> Recording:
    """Read the one record in the zip."""
    members = _unzip(content)
    headers = [name for name in members if name.lower().endswith(".hea")]
    if len(headers) != 1:
        raise _refused(f"{len(headers)} headers in the zip; send one record at a time", "NOT_ONE_RECORD")
    header = parse_header(members[headers[0]])
    counts, invalid = _read_signals(header, members)
    remarks = ["CHECKSUM_MISMATCH"] if _checksums_differ(header, counts) else []
    return assemble(
        labels=[signal.label for signal in header.signals],
        channels=_aligned(millivolts_of(header.signals, counts, invalid), [signal.skew for signal in header.signals]),
        sampling_rate=header.rate,
        format_name="wfdb",
        field_name=FIELD,
        metadata=header.metadata,
        voltage=[signal.is_voltage for signal in header.signals],
        remarks=remarks,
    )


def millivolts_of(
    signals: Sequence[Signal], counts: npt.NDArray[np.integer], invalid: Sequence[int]
) -> npt.NDArray[np.float64]:
    """Stored samples ``[signals, n]`` in mV, NaN where they are ``invalid``; as stored where they are no voltages."""
    factors = [(millivolts_per(signal.unit) or 1.0) / signal.gain for signal in signals]
    offsets = [-signal.baseline * factor for signal, factor in zip(signals, factors, strict=True)]
    millivolts = counts * np.array(factors)[:, None]
    if any(offsets):
        millivolts += np.array(offsets)[:, None]
    missing = counts == np.array(invalid, dtype=counts.dtype)[:, None]
    if missing.any():
        millivolts[missing] = np.nan
    return np.asarray(millivolts)


def _unzip(content: bytes) -> dict[str, bytes]:
    """All members by the last part of their names, within limits that a zip bomb meets before memory does."""
    members: dict[str, bytes] = {}
    left = _MAX_UNPACKED
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # What macOS adds (``__MACOSX/._r.hea``) is no part of the record.
            entries = [e for e in archive.infolist() if not e.is_dir() and not _APPLE_DOUBLE.search(e.filename)]
            if len(entries) > _MAX_MEMBERS:
                raise _refused(f"more than {_MAX_MEMBERS} files in the zip", "TOO_LARGE")
            for entry in entries:
                with archive.open(entry) as stream:
                    data = stream.read(left + 1)
                left -= len(data)
                if left < 0:
                    raise _refused("it unpacks to more than 64 MiB", "TOO_LARGE")
                name = re.split(r"[/\\]", entry.filename)[-1]
                if name in members:
                    raise _refused("two files of one name in the zip", "NOT_ONE_RECORD")
                members[name] = data
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError):
        raise _refused("the zip is damaged or cut short", "TRUNCATED") from None
    except (NotImplementedError, RuntimeError):
        raise _refused("the zip is encrypted or packed by an unusual method", "UNREADABLE") from None
    return members


def parse_header(data: bytes) -> Header:
    """The header file of one record."""
    if len(data) > _MAX_HEADER:
        raise _refused("the WFDB header is longer than 256 KiB", "TOO_LARGE")
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines()]
    fields = [line for line in lines if line and not line.startswith("#")]
    record = fields[0].split() if fields else []
    if len(record) < 2:
        raise _refused("the WFDB header has no record line")
    if "/" in record[0]:
        raise _refused("multi-segment WFDB records are not read; join the segments first", "UNSUPPORTED")
    count = _integer(record[1], "the number of signals")
    if not 0 < count <= _MAX_CHANNELS:
        raise _refused(f"the WFDB header declares {count} signals; 1 to {_MAX_CHANNELS} are read")
    if len(fields) < 1 + count:
        raise _refused("the WFDB header declares more signals than it describes", "TRUNCATED")
    rate = _real(re.split(r"[/(]", record[2])[0], "the sampling rate") if len(record) > 2 else _DEFAULT_RATE
    samples = _integer(record[3], "the number of samples") if len(record) > 3 else 0
    comments = " ".join(line[1:] for line in lines if line.startswith("#"))
    return Header(
        rate=rate,
        samples=samples or None,
        signals=tuple(_parse_signal(line, k) for k, line in enumerate(fields[1 : 1 + count])),
        metadata=Metadata(patient=_patient(comments), acquired_at=_moment(record[4:6])),
    )


def _parse_signal(line: str, position: int) -> Signal:
    parts = line.split(None, 8)
    match = _FORMAT.match(parts[1]) if len(parts) > 1 else None
    if match is None:
        raise _refused(f"line of signal {position + 1} in the WFDB header is not readable")
    name = match["format"]
    if name not in FORMATS or (match["frame"] or "1") != "1":
        raise _refused(
            f"WFDB signal format {name} or more samples than one in a frame; known: {', '.join(FORMATS)}",
            "UNSUPPORTED",
        )
    scale = _GAIN.match(parts[2]) if len(parts) > 2 else None
    if len(parts) > 2 and scale is None:
        raise _refused(f"the gain of signal {position + 1} in the WFDB header is not readable")
    gain = float(scale["gain"] or 0) if scale else 0.0
    if not math.isfinite(gain) or gain < 0:
        raise _refused(f"the gain of signal {position + 1} in the WFDB header is not a positive number", "BAD_SCALE")
    zero = _integer(parts[4], "the ADC zero") if len(parts) > 4 else 0
    baseline = int(scale["baseline"]) if scale and scale["baseline"] else zero
    return Signal(
        file=re.split(r"[/\\]", parts[0])[-1],
        format=name,
        offset=int(match["offset"] or 0),
        skew=int(match["skew"] or 0),
        gain=gain or _DEFAULT_GAIN,
        baseline=baseline,
        unit=(scale["unit"] if scale else None) or "mV",
        checksum=_integer(parts[6], "a checksum") if len(parts) > 6 else None,
        label=parts[8] if len(parts) > 8 else f"channel {position + 1}",
    )


def _read_signals(header: Header, members: Mapping[str, bytes]) -> tuple[npt.NDArray[np.integer], list[int]]:
    """Stored samples ``[signals, n]``, de-interleaved, and the "invalid" value of each."""
    by_file: dict[str, list[int]] = {}
    for k, signal in enumerate(header.signals):
        by_file.setdefault(signal.file, []).append(k)
    frames = {
        name: _read_file(name, [header.signals[k] for k in rows], header.samples, members)
        for name, rows in by_file.items()
    }
    lengths = {counts.shape[0] for counts, _ in frames.values()}
    if len(lengths) != 1:
        raise _refused("the signal files differ in length", "WRONG_LENGTH")
    if len(frames) == 1:
        counts, invalid = next(iter(frames.values()))
        return np.ascontiguousarray(counts.T), [invalid] * len(header.signals)
    joined = np.empty((len(header.signals), lengths.pop()), dtype=np.int64)
    invalids = [0] * len(header.signals)
    for name, rows in by_file.items():
        counts, invalid = frames[name]
        joined[rows] = counts.T
        for row in rows:
            invalids[row] = invalid
    return joined, invalids


def _read_file(
    name: str, signals: Sequence[Signal], declared: int | None, members: Mapping[str, bytes]
) -> tuple[npt.NDArray[np.integer], int]:
    """One signal file as ``[n, signals in it]``."""
    if name not in members:
        raise _refused("a signal file that the header names is not in the zip", "MISSING_SIGNAL_FILE")
    kinds = {(signal.format, signal.offset) for signal in signals}
    if len(kinds) != 1:
        raise _refused("signals of one file differ in format")
    kind, offset = kinds.pop()
    data = members[name][offset:] if offset else members[name]
    available = int(len(data) * 8 / FORMATS[kind][2]) // len(signals)
    samples = declared if declared is not None else available
    if samples == 0:
        raise _refused("the signal file is empty", "EMPTY")
    if samples < 0 or samples > available or len(data) < bytes_for(kind, samples * len(signals)):
        raise _refused("the signal file is shorter than the header says; send it whole", "TRUNCATED")
    counts, invalid = unpack(kind, data, samples * len(signals))
    return counts.reshape(samples, len(signals)), invalid


def _aligned(millivolts: npt.NDArray[np.float64], skews: Sequence[int]) -> npt.NDArray[np.float64]:
    """Signals whose samples come ``skew`` places late in the file, in their time; the end that some lack is cut."""
    length = millivolts.shape[1] - max(skews)
    if not any(skews):
        return millivolts
    if length <= 0:
        raise _refused("a signal's skew is longer than the record", "MALFORMED")
    return np.stack([row[skew : skew + length] for row, skew in zip(millivolts, skews, strict=True)])


def _checksums_differ(header: Header, counts: npt.NDArray[np.integer]) -> bool:
    """Whether a stated checksum is not the 16-bit sum of its samples. Writers put 0 for "not computed"."""
    stated = np.array([signal.checksum or 0 for signal in header.signals])
    if not stated.any():
        return False
    actual = counts.sum(axis=1, dtype=np.int64)
    return bool((((actual - stated) & 0xFFFF) != 0)[stated != 0].any())


def _integer(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _refused(f"{what} in the WFDB header is not a whole number") from None


def _real(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _refused(f"{what} in the WFDB header is not a number") from None


def _patient(comments: str) -> Patient:
    """Age and sex from the comments, where PhysioNet's data sets write them; nothing else is looked at."""
    age, sex = _AGE.search(comments), _SEX.search(comments)
    sexes: Mapping[str, Sex] = {"m": "male", "f": "female"}
    return Patient(age_group(float(age[1])) if age else None, sexes[sex[1][0].lower()] if sex else None)


def _moment(parts: Sequence[str]) -> datetime | None:
    """Base time and date of the record line, ``HH:MM:SS DD/MM/YYYY``; local time of an unknown place."""
    if len(parts) < 2:
        return None
    clock, day = re.match(r"(\d+):(\d+):(\d+)", parts[0]), re.match(r"(\d+)/(\d+)/(\d{4})$", parts[1])
    if clock is None or day is None:
        return None
    try:
        return datetime(int(day[3]), int(day[2]), int(day[1]), int(clock[1]), int(clock[2]), int(clock[3]))  # noqa: DTZ001
    except ValueError:
        return None
