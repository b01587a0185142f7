"""DICOM ECG waveform objects → Recording (PS3.3 A.34, C.10.9, C.10.10)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.leads import normalise_lead
from cardiomesh.ecg.recording import Device, ExtraChannel, MedianBeat, Patient, Recording, Sex
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding.assemble import Metadata, age_group, assemble, clean_text, extra_name, median_beat
from preprocessor.decoding.dicom_elements import (
    FIELD,
    Dataset,
    has_header,
    is_bare_dataset,
    malformed,
    open_dataset,
    truncated,
)
from preprocessor.decoding.units import millivolts_per

__all__ = ["Group", "block_of", "decode_dicom", "is_dicom", "rhythm_groups"]

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
#: SCP-ECG's code, MDC's partition and code, or MDC's both in one number: 131072 + code.
_LEAD_CODE: Final = re.compile(r"^(?:5\.6\.3-9-|2:)(\d{1,3})$")
_MDC_LEADS: Final = 2 << 16

_SOP_CLASS, _CONTENT_DATE, _CONTENT_TIME, _ACQUIRED = 0x00080016, 0x00080023, 0x00080033, 0x0008002A
_ZONE, _MAKER, _MODEL = 0x00080201, 0x00080070, 0x00081090
_BIRTH, _SEX, _AGE = 0x00100030, 0x00100040, 0x00101010
_WAVEFORMS: Final = 0x54000100
_OFFSET: Final = 0x00181068
_ORIGIN, _CHANNELS, _SAMPLES, _RATE, _LABEL = 0x003A0004, 0x003A0005, 0x003A0010, 0x003A001A, 0x003A0020
_DEFINITIONS, _BITS, _KIND, _PADDING, _DATA = 0x003A0200, 0x54001004, 0x54001006, 0x5400100A, 0x54001010
_NAME, _SOURCE, _GAIN, _UNITS, _CORRECTION, _BASELINE = (
    0x003A0203, 0x003A0208, 0x003A0210, 0x003A0211, 0x003A0212, 0x003A0213,
)  # fmt: skip
_TIME_SKEW, _SAMPLE_SKEW, _STORED_BITS = 0x003A0214, 0x003A0215, 0x003A021A
_CODE, _MEANING = 0x00080100, 0x00080104
#: All that is ever looked at. Names, numbers and addresses of the patient are not among them.
_TAGS: Final = frozenset({
    _SOP_CLASS, _CONTENT_DATE, _CONTENT_TIME, _ACQUIRED, _ZONE, _MAKER, _MODEL, _BIRTH, _SEX, _AGE,
    _OFFSET, _ORIGIN, _CHANNELS, _SAMPLES, _RATE, _LABEL, _BITS, _KIND, _PADDING, _DATA,
    _NAME, _GAIN, _CORRECTION, _BASELINE, _TIME_SKEW, _SAMPLE_SKEW, _STORED_BITS, _CODE, _MEANING,
})  # fmt: skip
_SEQUENCES: Final = frozenset({_WAVEFORMS, _DEFINITIONS, _SOURCE, _UNITS})

_SAMPLE_TYPES: Final[Mapping[tuple[int, str], str]] = {
    (8, "SB"): "i1", (8, "UB"): "u1", (16, "SS"): "i2", (16, "US"): "u2", (32, "SL"): "i4", (32, "UL"): "u4",
}  # fmt: skip
_MAX_CHANNELS: Final = 64
#: A padding value of 0 is also a legal sample; only a run this long, in all channels at once, is padding.
_ZERO_PADDING_SECONDS: Final = 0.2
#: A derived group shorter than this is an averaged beat, whatever it is called.
_MEDIAN_SECONDS: Final = 2.0


def is_dicom(content: bytes) -> bool:
    """Whether it is a DICOM part-10 file, or a dataset that was stored without the part-10 header."""
    return has_header(content) or is_bare_dataset(content)


@dataclass(frozen=True, slots=True)
class _Channel:
    label: str
    factor: float
    offset: float
    voltage: bool
    skew: float
    bits: int


@dataclass(frozen=True, slots=True)
class Group:
    """One multiplex group, its samples not yet unpacked. Times are in seconds."""

    dataset: Dataset
    original: bool
    median: bool
    channels: tuple[_Channel, ...]
    samples: int
    rate: float
    begins: float

    @property
    def leads(self) -> frozenset[str]:
        return frozenset(name for c in self.channels if c.voltage and (name := normalise_lead(c.label)))

    @property
    def seconds(self) -> float:
        return self.samples / self.rate if self.rate > 0 else 0.0


def rhythm_groups(content: bytes) -> tuple[Metadata, list[Group], list[Group]]:
    """Metadata, all multiplex groups, and those that hold the recorded rhythm; no sample is touched."""
    dataset = open_dataset(content, _TAGS, _SEQUENCES)
    if dataset.text(_SOP_CLASS) not in _ECG_CLASSES:
        raise InvalidRequest.field(FIELD, "this DICOM object is not an ECG", "NOT_AN_ECG")
    if _WAVEFORMS not in dataset.sequences:
        raise truncated()
    groups = [_group(item) for item in dataset.sequences[_WAVEFORMS]]
    return _metadata(dataset), groups, _rhythm(groups)


def decode_dicom(content: bytes) -> Recording:
    """Read the rhythm of a DICOM ECG; the median beat and groups of another time or rate are kept apart from it."""
    metadata, groups, rhythm = rhythm_groups(content)
    parts = [_millivolts(group) for group in rhythm]
    channels = [channel for group in rhythm for channel in group.channels]
    remarks = [note for _, notes in parts for note in notes]
    length = min(part.shape[1] for part, _ in parts)
    if any(part.shape[1] != length for part, _ in parts):
        raise malformed("groups of one length are padded differently")
    others = [group for group in groups if not group.median and group not in rhythm and group.samples]
    if others:
        remarks.append("OTHER_GROUPS_APART")
    skews = [channel.skew for channel in channels if channel.voltage]
    if skews and (max(skews) - min(skews)) * rhythm[0].rate >= 1:
        remarks.append("CHANNEL_SKEW")
    return assemble(
        labels=[c.label for c in channels],
        channels=parts[0][0] if len(parts) == 1 else np.concatenate([part for part, _ in parts]),
        sampling_rate=rhythm[0].rate,
        format_name="dicom",
        field_name=FIELD,
        metadata=metadata,
        voltage=[c.voltage for c in channels],
        remarks=remarks,
        apart=[extra for group in others for extra in _apart(group)],
        median=next((beat for group in groups if group.median and (beat := _median(group))), None),
    )


def _group(item: Dataset) -> Group:
    label, count = item.text(_LABEL).upper(), item.unsigned(_CHANNELS)
    rate, samples = item.number(_RATE, 0.0) or 0.0, item.unsigned(_SAMPLES)
    original = item.text(_ORIGIN).upper() == "ORIGINAL"
    if count > _MAX_CHANNELS:
        raise malformed(f"more than {_MAX_CHANNELS} channels")
    channels = [_channel(channel, rate) for channel in item.sequences.get(_DEFINITIONS, [])]
    if len(channels) != count:
        raise malformed("the number of channels and their definitions differ")
    short = not original and rate > 0 and samples < _MEDIAN_SECONDS * rate
    return Group(
        item,
        original=original,
        median="MEDIAN" in label or "AVERAGE" in label or short,
        channels=tuple(channels),
        samples=samples,
        rate=rate,
        begins=(item.number(_OFFSET, 0.0) or 0.0) * 1e-3,
    )


def _rhythm(groups: list[Group]) -> list[Group]:
    """The recorded rhythm: never an averaged beat; recorded before derived; most leads, then most channels, longest.

    A General ECG may hold limb and chest leads in a group each: groups of one time and rate, of different leads, are
    one recording.
    """
    candidates = [g for g in groups if not g.median and g.channels and g.samples]
    if not candidates:
        raise InvalidRequest.field(FIELD, "this DICOM ECG holds no rhythm waveform", "NO_RHYTHM")
    best = max(candidates, key=lambda g: (g.original, len(g.leads), len(g.channels), g.seconds))
    chosen, leads = [best], set(best.leads)
    for group in candidates:
        together = (group.rate, group.samples, group.begins) == (best.rate, best.samples, best.begins)
        if group is not best and together and group.leads and not group.leads & leads:
            chosen.append(group)
            leads |= group.leads
    return chosen


def _millivolts(group: Group) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Samples ``[channels, n]``, in millivolts where they are voltages, without padding, and what was remarked."""
    counts = _counts(group, 0, group.samples)
    return _without_padding(_scaled(group, counts), counts, group)


def block_of(group: Group, first: int, count: int) -> npt.NDArray[np.float64]:
    """Samples ``[channels, count]`` from ``first`` on, in millivolts where they are voltages, NaN where padding."""
    counts = _counts(group, first, count)
    millivolts, padding = _scaled(group, counts), _padding(group, counts.dtype)
    if padding:  # 0 is a sample like any other
        millivolts[(counts == padding).T] = np.nan
    return millivolts


def _scaled(group: Group, counts: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    millivolts = np.empty(counts.shape[::-1])
    np.multiply(counts.T, np.array([[c.factor] for c in group.channels]), out=millivolts)
    if any(c.offset for c in group.channels):
        millivolts += np.array([[c.offset] for c in group.channels])
    return millivolts


def _median(group: Group) -> MedianBeat | None:
    """An averaged beat; None where it cannot be read, for the rhythm does not depend on it."""
    try:
        millivolts, _ = _millivolts(group)
    except InvalidRequest:
        return None
    rows = [k for k, channel in enumerate(group.channels) if channel.voltage]
    return median_beat([group.channels[k].label for k in rows], millivolts[rows], group.rate) if rows else None


def _apart(group: Group) -> list[ExtraChannel]:
    try:
        millivolts, _ = _millivolts(group)
    except InvalidRequest:
        return []
    return [
        ExtraChannel(normalise_lead(c.label) or extra_name(c.label, k), row if c.voltage else None)
        for k, (c, row) in enumerate(zip(group.channels, millivolts, strict=True))
    ]


def _channel(item: Dataset, rate: float) -> _Channel:
    label = item.text(_NAME)
    for code in item.sequences.get(_SOURCE, [])[:1]:
        value, meaning = code.text(_CODE), code.text(_MEANING)
        match = _LEAD_CODE.match(value)
        number = match.group(1) if match else str(int(value) - _MDC_LEADS) if re.fullmatch(r"\d{6}", value) else ""
        label = (
            _CODED_LEADS.get(number, meaning)
            if match or number in _CODED_LEADS
            else next((text for text in (value, meaning, label) if normalise_lead(text)), meaning or label)
        )
    gain = item.number(_GAIN)
    correction = item.number(_CORRECTION, 1.0) or 1.0
    baseline = item.number(_BASELINE, 0.0) or 0.0
    units = item.sequences.get(_UNITS, [])
    per_unit = millivolts_per(units[0].text(_CODE)) if units else None
    seconds = item.number(_TIME_SKEW) or (item.number(_SAMPLE_SKEW) or 0.0) / (rate if rate > 0 else 1.0)
    bits = item.unsigned(_STORED_BITS)
    if gain is None or per_unit is None:
        if normalise_lead(label) is None:
            return _Channel(label, 1.0, 0.0, voltage=False, skew=seconds, bits=bits)
        raise InvalidRequest.field(FIELD, "a lead has no sensitivity in a unit of voltage", "UNKNOWN_UNIT")
    # Sensitivity is units per count, the baseline is in those units (PS3.3 C.10.9.1.4).
    factor, offset = gain * correction * per_unit, baseline * per_unit
    if not (math.isfinite(factor) and math.isfinite(offset)) or factor <= 0:
        raise InvalidRequest.field(FIELD, "a lead's sensitivity is not a positive number", "BAD_SCALE")
    return _Channel(label, factor, offset, voltage=True, skew=seconds, bits=bits)


def _counts(group: Group, first: int, count: int) -> npt.NDArray[np.integer]:
    """The stored samples ``[count, channels]`` from ``first`` on."""
    bits, kind = group.dataset.unsigned(_BITS), group.dataset.text(_KIND)
    code = _SAMPLE_TYPES.get((bits, kind))
    if code is None:
        raise InvalidRequest.field(FIELD, "samples are neither linear 8, 16 nor 32 bit integers", "UNSUPPORTED_SAMPLES")
    start, stop = group.dataset.spans.get(_DATA, (0, 0))
    dtype = np.dtype(group.dataset.encoding.order + code)
    needed = len(group.channels) * group.samples
    if (stop - start) // dtype.itemsize < needed:
        raise truncated()
    width = len(group.channels)
    offset = start + first * width * dtype.itemsize
    flat = np.frombuffer(group.dataset.data, dtype=dtype, count=count * width, offset=offset)
    counts = flat.reshape(count, width)
    stored = max((channel.bits for channel in group.channels), default=0)
    if kind[0] == "S" and 1 < stored < bits and counts.size and counts.max() >= 1 << (stored - 1):
        counts = _sign_extended(counts, stored)
    return counts


def _sign_extended(counts: npt.NDArray[np.integer], stored: int) -> npt.NDArray[np.integer]:
    """Signed samples whose writer left the bits above those stored at 0 (12 bits in 16, say)."""
    if counts.min() < 0 or counts.max() >= 1 << stored:
        return counts  # those bits are in use
    sign = 1 << (stored - 1)
    return (counts.astype(np.int32) ^ sign) - sign


def _without_padding(
    millivolts: npt.NDArray[np.float64], counts: npt.NDArray[np.integer], group: Group
) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Cut padding from both ends; padding inside becomes NaN, which the checks refuse.

    Vendors declare 0 as padding although 0 is a sample like any other. Zeros are then kept, but for a long run
    in all channels at once at either end.
    """
    value = _padding(group, counts.dtype)
    if value is None:
        return millivolts, []
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


def _padding(group: Group, dtype: np.dtype[Any]) -> int | None:
    """The count that is declared to stand for padding."""
    start, stop = group.dataset.spans.get(_PADDING, (0, 0))
    raw = group.dataset.data[start : min(stop, start + dtype.itemsize)]
    return int(np.frombuffer(raw, dtype=dtype)[0]) if raw and len(raw) == dtype.itemsize else None


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
