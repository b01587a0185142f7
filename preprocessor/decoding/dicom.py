"""DICOM ECG waveform objects → Recording (PS3.3 A.34, C.10.9, C.10.10)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.leads import normalise_lead
from cardiomesh.ecg.recording import Device, Patient, Recording, Sex
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding.assemble import Metadata, age_group, assemble, clean_text
from preprocessor.decoding.dicom_elements import FIELD, Dataset, malformed, open_dataset, truncated
from preprocessor.decoding.units import millivolts_per

__all__ = ["decode_dicom", "is_dicom"]

_ECG_CLASSES: Final[Mapping[str, str]] = {
    "1.2.840.10008.5.1.4.1.1.9.1.1": "12-lead ECG",
    "1.2.840.10008.5.1.4.1.1.9.1.2": "General ECG",
    "1.2.840.10008.5.1.4.1.1.9.1.3": "Ambulatory ECG",
    "1.2.840.10008.5.1.4.1.1.9.1.4": "General 32-bit ECG",
}
_CODED_LEADS: Final[Mapping[str, str]] = {  # CID 3001: SCP-ECG 5.6.3-9-N and ISO/IEEE 11073 2:N share N
    "1": "I", "2": "II", "3": "V1", "4": "V2", "5": "V3", "6": "V4", "7": "V5", "8": "V6",
    "61": "III", "62": "aVR", "63": "aVL", "64": "aVF",
}  # fmt: skip
_LEAD_CODE: Final = re.compile(r"^(?:5\.6\.3-9-|2:)(\d{1,3})$")

_SOP_CLASS, _CONTENT_DATE, _CONTENT_TIME, _ACQUIRED = 0x00080016, 0x00080023, 0x00080033, 0x0008002A
_ZONE, _MAKER, _MODEL = 0x00080201, 0x00080070, 0x00081090
_BIRTH, _SEX, _AGE = 0x00100030, 0x00100040, 0x00101010
_WAVEFORMS: Final = 0x54000100
_ORIGIN, _CHANNELS, _SAMPLES, _RATE, _LABEL = 0x003A0004, 0x003A0005, 0x003A0010, 0x003A001A, 0x003A0020
_DEFINITIONS, _BITS, _KIND, _PADDING, _DATA = 0x003A0200, 0x54001004, 0x54001006, 0x5400100A, 0x54001010
_NAME, _SOURCE, _GAIN, _UNITS, _CORRECTION, _BASELINE = (
    0x003A0203, 0x003A0208, 0x003A0210, 0x003A0211, 0x003A0212, 0x003A0213,
)  # fmt: skip
_CODE, _MEANING = 0x00080100, 0x00080104
#: All that is ever looked at. Names, numbers and addresses of the patient are not among them.
_TAGS: Final = frozenset({
    _SOP_CLASS, _CONTENT_DATE, _CONTENT_TIME, _ACQUIRED, _ZONE, _MAKER, _MODEL, _BIRTH, _SEX, _AGE,
    _ORIGIN, _CHANNELS, _SAMPLES, _RATE, _LABEL, _BITS, _KIND, _PADDING, _DATA,
    _NAME, _GAIN, _CORRECTION, _BASELINE, _CODE, _MEANING,
})  # fmt: skip
_SEQUENCES: Final = frozenset({_WAVEFORMS, _DEFINITIONS, _SOURCE, _UNITS})

_SAMPLE_TYPES: Final[Mapping[tuple[int, str], str]] = {
    (8, "SB"): "i1", (8, "UB"): "u1", (16, "SS"): "i2", (16, "US"): "u2", (32, "SL"): "i4", (32, "UL"): "u4",
}  # fmt: skip
_MAX_CHANNELS: Final = 64
#: A padding value of 0 is also a legal sample; only a run this long, in all channels at once, is padding.
_ZERO_PADDING_SECONDS: Final = 0.2


def is_dicom(content: bytes) -> bool:
    """Whether it is a DICOM part-10 file."""
    return content[128:132] == b"DICM"


@dataclass(frozen=True, slots=True)
class _Group:
    """One multiplex group, not yet unpacked."""

    dataset: Dataset
    original: bool
    median: bool
    channels: int
    samples: int
    rate: float


@dataclass(frozen=True, slots=True)
class _Channel:
    label: str
    factor: float
    offset: float
    voltage: bool


def decode_dicom(content: bytes) -> Recording:
    """Read the rhythm of a DICOM ECG. The median beat, where there is one, is a group of its own and is left out."""
    dataset = open_dataset(content, _TAGS, _SEQUENCES)
    if dataset.text(_SOP_CLASS) not in _ECG_CLASSES:
        raise InvalidRequest.field(FIELD, "this DICOM object is not an ECG", "NOT_AN_ECG")
    if _WAVEFORMS not in dataset.sequences:
        raise truncated()
    group = _rhythm([_group(item) for item in dataset.sequences[_WAVEFORMS]])
    if group.channels > _MAX_CHANNELS:
        raise malformed(f"more than {_MAX_CHANNELS} channels")
    channels = [_channel(item) for item in group.dataset.sequences.get(_DEFINITIONS, [])]
    if len(channels) != group.channels:
        raise malformed("the number of channels and their definitions differ")
    counts = _counts(group)
    millivolts = np.empty(counts.shape[::-1])
    np.multiply(counts.T, np.array([[c.factor] for c in channels]), out=millivolts)
    if any(c.offset for c in channels):
        millivolts += np.array([[c.offset] for c in channels])
    millivolts, remarks = _without_padding(millivolts, counts, group)
    return assemble(
        labels=[c.label for c in channels],
        channels=millivolts,
        sampling_rate=group.rate,
        format_name="dicom",
        field_name=FIELD,
        metadata=_metadata(dataset),
        voltage=[c.voltage for c in channels],
        remarks=remarks,
    )


def _group(item: Dataset) -> _Group:
    label = item.text(_LABEL).upper()
    return _Group(
        item,
        original=item.text(_ORIGIN).upper() == "ORIGINAL",
        median="MEDIAN" in label or "AVERAGE" in label,
        channels=item.unsigned(_CHANNELS),
        samples=item.unsigned(_SAMPLES),
        rate=item.number(_RATE, 0.0) or 0.0,
    )


def _rhythm(groups: list[_Group]) -> _Group:
    """The recorded rhythm: never an averaged beat; recorded before derived; most channels, then longest."""
    candidates = [g for g in groups if not g.median and g.channels and g.samples]
    if not candidates:
        raise InvalidRequest.field(FIELD, "this DICOM ECG holds no rhythm waveform", "NO_RHYTHM")
    return max(candidates, key=lambda g: (g.original, g.channels, g.samples / g.rate if g.rate > 0 else 0.0))


def _channel(item: Dataset) -> _Channel:
    label = item.text(_NAME)
    for code in item.sequences.get(_SOURCE, [])[:1]:
        value, meaning = code.text(_CODE), code.text(_MEANING)
        match = _LEAD_CODE.match(value)
        label = (
            _CODED_LEADS.get(match.group(1), meaning)
            if match
            else next((text for text in (value, meaning, label) if normalise_lead(text)), meaning or label)
        )
    gain = item.number(_GAIN)
    correction = item.number(_CORRECTION, 1.0) or 1.0
    baseline = item.number(_BASELINE, 0.0) or 0.0
    units = item.sequences.get(_UNITS, [])
    per_unit = millivolts_per(units[0].text(_CODE)) if units else None
    if gain is None or per_unit is None:
        if normalise_lead(label) is None:
            return _Channel(label, 1.0, 0.0, voltage=False)
        raise InvalidRequest.field(FIELD, "a lead has no sensitivity in a unit of voltage", "UNKNOWN_UNIT")
    # Sensitivity is units per count, the baseline is in those units (PS3.3 C.10.9.1.4).
    factor, offset = gain * correction * per_unit, baseline * per_unit
    if not (math.isfinite(factor) and math.isfinite(offset)) or factor <= 0:
        raise InvalidRequest.field(FIELD, "a lead's sensitivity is not a positive number", "BAD_SCALE")
    return _Channel(label, factor, offset, voltage=True)


def _counts(group: _Group) -> npt.NDArray[np.integer]:
    """The stored samples, ``[samples, channels]``."""
    bits, kind = group.dataset.unsigned(_BITS), group.dataset.text(_KIND)
    code = _SAMPLE_TYPES.get((bits, kind))
    if code is None:
        raise InvalidRequest.field(FIELD, "samples are neither linear 8, 16 nor 32 bit integers", "UNSUPPORTED_SAMPLES")
    start, stop = group.dataset.spans.get(_DATA, (0, 0))
    dtype = np.dtype(group.dataset.encoding.order + code)
    needed = group.channels * group.samples
    if (stop - start) // dtype.itemsize < needed:
        raise truncated()
    flat = np.frombuffer(group.dataset.data, dtype=dtype, count=needed, offset=start)
    return flat.reshape(group.samples, group.channels)


def _without_padding(
    millivolts: npt.NDArray[np.float64], counts: npt.NDArray[np.integer], group: _Group
) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Cut padding from both ends; padding inside becomes NaN, which the checks refuse.

    Vendors declare 0 as padding although 0 is a sample like any other. Zeros are then kept, but for a long run
    in all channels at once at either end.
    """
    span = group.dataset.spans.get(_PADDING)
    if span is None or span[1] == span[0]:
        return millivolts, []
    raw = group.dataset.data[span[0] : span[0] + counts.dtype.itemsize]
    if len(raw) < counts.dtype.itemsize:
        return millivolts, []
    value = np.frombuffer(raw, dtype=counts.dtype)[0]
    padded = counts == value
    everywhere = padded.all(axis=1)
    signal_at = np.flatnonzero(~everywhere)
    if not len(signal_at):
        raise InvalidRequest.field(FIELD, "the waveform holds padding only", "EMPTY")
    first, last = int(signal_at[0]), int(signal_at[-1]) + 1
    least = round(_ZERO_PADDING_SECONDS * group.rate) if value == 0 else 1
    first = first if first >= least else 0
    last = last if len(counts) - last >= least else len(counts)
    if value != 0 and padded.any():
        millivolts[padded.T] = np.nan
    cut = (first, last) != (0, len(counts))
    return millivolts[:, first:last], ["PADDING_REMOVED"] if cut else []


def _metadata(dataset: Dataset) -> Metadata:
    acquired = _moment(
        dataset.text(_ACQUIRED) or dataset.text(_CONTENT_DATE) + dataset.text(_CONTENT_TIME),
        dataset.text(_ZONE),
    )
    age = _age(dataset.text(_AGE))
    if age is None and acquired is not None:
        born = _moment(dataset.text(_BIRTH), "")
        age = _years(born.date(), acquired.date()) if born else None
    sexes: Mapping[str, Sex] = {"F": "female", "M": "male"}
    return Metadata(
        device=Device(clean_text(dataset.text(_MAKER)), clean_text(dataset.text(_MODEL))),
        patient=Patient(age_group(age), sexes.get(dataset.text(_SEX).upper())),
        acquired_at=acquired,
    )


def _age(text: str) -> int | None:
    """An age string (AS), ``056Y``; less than a year is 0."""
    match = re.fullmatch(r"(\d{1,3})([YMWD])", text.strip().upper())
    if match is None:
        return None
    count, period = int(match.group(1)), match.group(2)
    return int(count / {"Y": 1, "M": 12, "W": 52.18, "D": 365.25}[period])


def _years(born: date, then: date) -> int | None:
    years = then.year - born.year - ((then.month, then.day) < (born.month, born.day))
    return years if years >= 0 else None


def _moment(text: str, zone: str) -> datetime | None:
    """A date-time (DT), or date and time run together. Local time of an unknown place is kept without a zone."""
    match = re.match(r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?(?:\.\d*)?([+-]\d{4})?", text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, min(second, 59))  # noqa: DTZ001
    except ValueError:
        return None
    offset = match.group(7) or zone.strip()
    if re.fullmatch(r"[+-](?:0\d|1[0-4])[0-5]\d", offset):
        minutes = int(offset[1:3]) * 60 + int(offset[3:5])
        moment = moment.replace(tzinfo=timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes)))
    return moment
