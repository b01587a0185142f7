"""GE CardioSoft and Schiller XML exports → Recording.

No vendor publishes either format. What is read follows the open readers of BRAVEHEART (``load_cardiosoftxml.m``,
``load_schillerxml.m``) and BioSig; both vendors write numbers as text, separated by commas. Imported in decoding
workers only, as every reader of XML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt
from ecgdatakit.parsing.helpers.xml import parse_xml_root

from cardiomesh.ecg.recording import Device, MedianBeat, Patient, Recording, Sex
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding.assemble import Metadata, age_group, assemble, clean_text, median_beat
from preprocessor.decoding.units import millivolts_per

__all__ = ["decode_cardiosoft", "decode_schiller"]

FIELD: Final = "recording.file.content"
_MAX_CHANNELS: Final = 64
_MAX_SAMPLES: Final = 10_000_000
_SCHILLER_RHYTHMS: Final = frozenset({"ECG_RHYTHMS", "ECG_RHYTHM"})
_DAYS_PER_YEAR: Final = 365.25
_YEARS_IN: Final = {"YEARS": 1.0, "MONTHS": 1 / 12, "WEEKS": 7 / _DAYS_PER_YEAR, "DAYS": 1 / _DAYS_PER_YEAR}


@dataclass(frozen=True, slots=True)
class _Block:
    """Leads of one length: labels, samples ``[k, n]`` in mV, and their rate in Hz."""

    labels: tuple[str, ...]
    millivolts: npt.NDArray[np.float64]
    rate: float


def decode_cardiosoft(content: bytes) -> Recording:
    """A ``CardiologyXML`` file: its ten seconds (``StripData``), else all of an exercise test (``FullDisclosure``)."""
    root = parse_xml_root(content)
    strips = [_strip(node) for node in root.iter("StripData") if node.find("WaveformData") is not None]
    full = root.find("FullDisclosure")
    if strips:
        block = max(strips, key=lambda strip: strip.millivolts.size)
    elif full is not None and _text(full, "FullDisclosureData"):
        block = _full_disclosure(full)
    else:
        raise _refused("the CardioSoft file holds no rhythm", "NO_RHYTHM")
    averages = [node for node in root.iter("MedianSamples") if node.find("WaveformData") is not None]
    patient = root.find("PatientInfo")
    when = _moment(root.find("ObservationDateTime"))
    model = _text(root.find("DeviceInfo"), "Desc") or _text(root, "Device-Type")
    age = patient.find("Age") if patient is not None else None
    years = None if age is None else _years(age.text, age.get("units", "Years"))
    born = _moment(patient.find("BirthDateTime")) if patient is not None else None
    return _recording(
        "cardiosoft",
        block,
        _average(_strip, averages),
        Metadata(
            device=Device("GE", clean_text(model)),
            patient=Patient(
                age_group(years if years is not None else _between(born, when)), _sex(_text(patient, "Gender"))
            ),
            acquired_at=when,
        ),
    )


def _strip(node: Element) -> _Block:
    """``StripData`` or ``MedianSamples``: a ``WaveformData`` element per lead."""
    waves = node.findall("WaveformData")
    scale, rate = _cardiosoft_scale(node), _number(_text(node, "SampleRate"), "sampling rate")
    labels = [wave.get("lead", "") for wave in waves]
    return _block(labels, [_samples(wave.text) * scale for wave in waves], rate)


def _full_disclosure(node: Element) -> _Block:
    """``FullDisclosureData``: sample by sample, all leads in the stated order."""
    labels = [label.strip() for label in _text(node, "LeadOrder").split(",") if label.strip()]
    values = _samples(_text(node, "FullDisclosureData"))
    if not labels or len(values) < len(labels):
        raise _refused("the CardioSoft file's full disclosure names no leads", "MALFORMED")
    whole = len(values) // len(labels) * len(labels)
    rows = values[:whole].reshape(-1, len(labels)).T * _cardiosoft_scale(node)
    return _block(labels, list(rows), _number(_text(node, "SampleRate"), "sampling rate"))


def _cardiosoft_scale(node: Element) -> float:
    """Millivolts per count, from ``<Resolution units="uVperLsb">5</Resolution>``."""
    resolution = node.find("Resolution")
    unit = (resolution.get("units", "") if resolution is not None else "").removesuffix("perLsb")
    return _scale(_text(node, "Resolution"), unit)


def decode_schiller(content: bytes) -> Recording:
    """A Schiller SEMA ``SchillerEDI`` file: the longest ``wavedata`` of type ``ECG_RHYTHMS``."""
    root = parse_xml_root(content)
    nodes = [(_text(node, "type").upper(), node) for node in root.iter("wavedata")]
    rhythms = [_wavedata(node) for kind, node in nodes if kind in _SCHILLER_RHYTHMS]
    averages = [node for kind, node in nodes if kind == "ECG_AVERAGES"]
    if not rhythms:
        raise _refused("the Schiller file holds no rhythm", "NO_RHYTHM")
    patient, hardware = root.find(".//patdata"), root.find(".//aquiringdevice/hardware")
    start = root.find(".//startdatetime")
    when = _digits_moment(_text(start, "date") + _text(start, "time"))
    born = _digits_moment(_text(patient, "birthdate"))
    return _recording(
        "schiller",
        max(rhythms, key=lambda block: block.millivolts.size),
        _average(_wavedata, averages),
        Metadata(
            device=Device(clean_text(_text(hardware, "vendor") or "Schiller"), clean_text(_text(hardware, "model"))),
            patient=Patient(age_group(_between(born, when)), _sex(_text(patient, "gender"))),
            acquired_at=when,
        ),
    )


def _wavedata(node: Element) -> _Block:
    resolution, channels = node.find("resolution"), node.findall("channel")
    if resolution is None:
        raise _refused("the Schiller file states no rate and scale", "MALFORMED")
    rate, step = resolution.find("samplerate"), resolution.find("yres")
    if _text(rate, "exponent") not in ("", "1"):
        raise _refused("a sampling rate with an exponent other than 1", "UNSUPPORTED")
    kinds = {_text(channel, "datastype").upper() for channel in channels}
    if kinds - {"COMMASEPARATE", ""}:
        raise _refused("Schiller samples are read as numbers between commas only", "UNSUPPORTED")
    scale = _scale(_text(step, "unitperbit") or _text(resolution, "yres"), _text(step, "units") or "uV")
    hertz = _number(_text(rate, "value") or _text(resolution, "samplerate"), "sampling rate")
    labels = [_text(channel, "name") for channel in channels]
    return _block(labels, [_samples(_text(channel, "data")) * scale for channel in channels], hertz)


def _average(read: Callable[[Element], _Block], nodes: Sequence[Element]) -> _Block | None:
    """The device's averaged beat; None where it cannot be read, for the rhythm does not depend on it."""
    try:
        return read(nodes[0]) if nodes else None
    except InvalidRequest:
        return None


def _recording(name: str, block: _Block, median: _Block | None, metadata: Metadata) -> Recording:
    beat: MedianBeat | None = None
    if median is not None and median.millivolts.size:
        beat = median_beat(median.labels, median.millivolts, median.rate)
    return assemble(
        labels=block.labels,
        channels=block.millivolts,
        sampling_rate=block.rate,
        format_name=name,
        field_name=FIELD,
        metadata=metadata,
        median=beat,
    )


def _block(labels: Sequence[str], rows: Sequence[npt.NDArray[np.float64]], rate: float) -> _Block:
    if not 0 < rate < 1e6:
        raise _refused("the file states no usable sampling rate", "RATE_OUT_OF_RANGE")
    if not rows or len(rows) > _MAX_CHANNELS or len({len(row) for row in rows}) != 1:
        raise _refused("the leads of the file differ in length", "WRONG_LENGTH")
    if not len(rows[0]):
        raise _refused("the file holds no samples", "EMPTY")
    return _Block(tuple(labels), np.stack(rows), rate)


def _samples(text: str | None) -> npt.NDArray[np.float64]:
    """Numbers between commas; an empty place between two commas is a missing sample."""
    stripped = (text or "").strip().rstrip(",")
    if not stripped:
        return np.empty(0)
    if stripped.count(",") > _MAX_SAMPLES:
        raise _refused(f"more than {_MAX_SAMPLES} samples in a lead", "TOO_LARGE")
    cells = stripped.split(",")
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        pass  # an empty place, or no number
    try:
        return np.array([float(cell) if cell.strip() else np.nan for cell in cells])
    except ValueError:
        raise _refused("a sample is not a number", "MALFORMED") from None


def _scale(text: str, unit: str) -> float:
    """Millivolts per count."""
    spelled = {"UV": "uV", "MV": "mV", "NV": "nV"}.get(unit.strip().upper(), unit)
    per_unit, step = millivolts_per(spelled), _number(text, "resolution")
    if per_unit is None:
        raise _refused("the leads are not in a unit of voltage", "UNKNOWN_UNIT")
    if not 0 < step < 1e9:
        raise _refused("the scale of the leads is not a positive number", "BAD_SCALE")
    return per_unit * step


def _number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _refused(f"the {what} is not a number", "MALFORMED") from None


def _text(node: Element | None, tag: str) -> str:
    return (node.findtext(tag) or "").strip() if node is not None else ""


def _sex(text: str) -> Sex | None:
    return {"M": "male", "F": "female"}.get(text.strip().upper()[:1])  # type: ignore[return-value]


def _years(text: str | None, unit: str) -> float | None:
    factor = _YEARS_IN.get(unit.strip().upper())
    match = re.fullmatch(r"\d{1,5}", (text or "").strip())
    return int(match[0]) * factor if match and factor else None


def _between(born: date | None, then: date | None) -> float | None:
    return (then - born).days / _DAYS_PER_YEAR if born is not None and then is not None else None


def _moment(node: Element | None) -> datetime | None:
    """``<Year>2001</Year><Month>2</Month>…``; local time of an unknown place."""
    parts = [_text(node, name) for name in ("Year", "Month", "Day", "Hour", "Minute", "Second")]
    try:
        return datetime(*(int(part or 0) for part in parts))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return None


def _digits_moment(text: str) -> datetime | None:
    """``YYYYMMDD`` and maybe ``HHMMSS``, whatever stands between the digits."""
    digits = re.sub(r"\D", "", text)[:14]
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S" if len(digits) == 14 else "%Y%m%d")  # noqa: DTZ007
    except ValueError:
        return None


def _refused(description: str, reason: str) -> InvalidRequest:
    return InvalidRequest.field(FIELD, description, reason)
