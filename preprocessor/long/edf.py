"""EDF and continuous EDF+ files (Kemp, edfplus.info), block by block.

The short way reads them by ``ecgdatakit``, which takes the whole file into memory; the tests compare the two.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Final

import numpy as np

from cardiomesh.ecg.leads import normalise_lead
from preprocessor.decoding.assemble import Metadata
from preprocessor.decoding.units import millivolts_per
from preprocessor.long.source import BLOCK_SECONDS, Block, Source, refused

__all__ = ["open_edf"]

_ANNOTATIONS: Final = "EDF Annotations"
_FIXED_BYTES: Final = 256
_MOST_SIGNALS: Final = 64
_MOST_RECORD_BYTES: Final = 16 * 2**20
#: Field → its offset among the signal headers and its width, each times the number of signals.
_FIELDS: Final = {
    "label": (0, 16), "unit": (96, 8), "low": (104, 8), "high": (112, 8),
    "digital_low": (120, 8), "digital_high": (128, 8), "samples": (216, 8),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Signal:
    label: str
    millivolts: float | None
    low: float
    step: float
    digital_low: float
    samples: int
    start: int


def open_edf(file: BinaryIO) -> Source:
    """Read the header; samples are read when asked for."""
    file.seek(0)
    head = file.read(_FIXED_BYTES)
    try:
        if head[192:197] == b"EDF+D":
            raise refused("a discontinuous EDF+ recording has no one time axis; export it as EDF+C", "UNSUPPORTED")
        duration, count, declared = float(head[244:252]), int(head[252:256]), int(head[236:244])
        if not 0 < count <= _MOST_SIGNALS or not 0 < duration < 1e6:
            raise ValueError
        signals = _signals(file.read(_FIXED_BYTES * count), count)
    except ValueError:
        raise refused("the EDF header is damaged", "MALFORMED") from None
    record = 2 * sum(signal.samples for signal in signals)
    if not 0 < record <= _MOST_RECORD_BYTES:
        raise refused("the EDF header is damaged", "MALFORMED")
    start = _FIXED_BYTES * (count + 1)
    there = (os.fstat(file.fileno()).st_size - start) // record
    if declared > there:
        raise refused("the EDF file ends before its last record; send it whole", "TRUNCATED")
    records = declared if declared >= 0 else there
    chosen = _rhythm(signals)
    if not chosen or not records:
        raise refused("the file holds no ECG signal", "NO_RHYTHM")
    per_record = chosen[0].samples
    rate = per_record / duration

    def blocks() -> Iterator[Block]:
        at_once = max(1, round(BLOCK_SECONDS / duration))
        for first in range(0, records, at_once):
            size = min(at_once, records - first)
            data = os.pread(file.fileno(), record * size, start + record * first)
            counts = np.frombuffer(data, "<i2").reshape(size, record // 2)
            block = np.empty((len(chosen), size * per_record))
            for row, signal in zip(block, chosen, strict=True):
                row[:] = counts[:, signal.start : signal.start + per_record].reshape(-1)
                row -= signal.digital_low
                row *= signal.step
                row += signal.low
                row *= signal.millivolts if signal.millivolts is not None else 1.0
            yield block

    return Source(
        format="edf",
        labels=tuple(signal.label for signal in chosen),
        voltage=tuple(signal.millivolts is not None for signal in chosen),
        rate=rate,
        samples=records * per_record,
        blocks=blocks,
        metadata=Metadata(acquired_at=_moment(head[168:176], head[176:184])),
        remarks=("OTHER_RATES_APART",)
        if any(s.samples != per_record and s.label != _ANNOTATIONS for s in signals)
        else (),
    )


def _signals(head: bytes, count: int) -> list[_Signal]:
    def texts(name: str) -> list[str]:
        offset, width = _FIELDS[name]
        return [head[offset * count + width * k :][:width].decode("latin-1").strip() for k in range(count)]

    found, start = [], 0
    columns = zip(*(texts(name) for name in _FIELDS), strict=True)
    for label, unit, low, high, digital_low, digital_high, samples in columns:
        if int(samples) < 0:
            raise ValueError
        span = float(digital_high) - float(digital_low)
        step = (float(high) - float(low)) / span if span > 0 else 0.0
        if normalise_lead(label) is not None and not step > 0:
            raise refused("the scale of a lead is not a positive number", "BAD_SCALE")
        found.append(_Signal(label, millivolts_per(unit), float(low), step, float(digital_low), int(samples), start))
        start += int(samples)
    return found


def _rhythm(signals: list[_Signal]) -> list[_Signal]:
    """The channels of the rate that most standard leads share, or, where there are none, most voltages."""
    leads = [s for s in signals if s.millivolts is not None and normalise_lead(s.label)]
    voltages = [s for s in leads or signals if s.millivolts is not None and s.samples]
    if not voltages:
        return []
    samples = Counter(s.samples for s in voltages).most_common(1)[0][0]
    return [s for s in signals if s.samples == samples and s.label != _ANNOTATIONS]


def _moment(day: bytes, clock: bytes) -> datetime | None:
    """Start date and time; two-digit years count from 1985 (EDF, 2.1.3.5)."""
    try:
        days, months, years = (int(part) for part in day.split(b"."))
        hours, minutes, seconds = (int(part) for part in clock.split(b"."))
        year = 1900 + years if years >= 85 else 2000 + years
        return datetime(year, months, days, hours, minutes, seconds)  # noqa: DTZ001  the recorder's own clock
    except ValueError:
        return None
