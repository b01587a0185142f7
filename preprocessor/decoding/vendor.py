"""Vendor formats through ecgdatakit, with the traps of real files worked around.

Which trap is met where: docs/decisions/preprocessor-formats.md.

Imported in decoding workers only: the library reads files by path and is large, so it runs where a crash, a hang or a
hunger for memory costs one request.
"""

from __future__ import annotations

import importlib
import tempfile
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from ecgdatakit.exceptions import UnsupportedFormatError

from cardiomesh.ecg.leads import normalise_lead
from cardiomesh.ecg.recording import Device, ExtraChannel, MedianBeat, Patient, Recording, Sex
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding.assemble import Metadata, age_group, assemble, clean_text, extra_name, median_beat
from preprocessor.decoding.units import millivolts_per
from preprocessor.decoding.vendor_repairs import check_edf, join_edf, scp_reader

__all__ = ["decode_vendor"]

FIELD: Final = "recording.file.content"
_PARSERS: Final[Mapping[str, tuple[str, str, str]]] = {  # format → module, class, file suffix
    "aecg": ("hl7_aecg", "HL7aECGParser", ".xml"),
    "muse": ("ge_muse_xml", "GEMuseXMLParser", ".xml"),
    "sierra": ("sierra_xml", "SierraXMLParser", ".xml"),
    "scp": ("scp_ecg", "SCPECGParser", ".scp"),
    "edf": ("edf", "EDFParser", ".edf"),
    "ishne": ("ishne_holter", "ISHNEHolterParser", ".ecg"),
    "mortara": ("mortara_el250", "MortaraEL250Parser", ".xml"),
    "mfer": ("mfer", "MFERParser", ".mwf"),
    "kardia": ("alivecor_kardia", "AliveCorKardiaParser", ".json"),
}
_MAX_CHANNELS: Final = 64


def decode_vendor(name: str, content: bytes) -> Recording:
    """Read one vendor file whose format is known."""
    if name == "edf":
        check_edf(content)
    module, parser_name, suffix = _PARSERS[name]
    parsers = importlib.import_module(f"ecgdatakit.parsing.parsers.{module}")
    parser = scp_reader(parsers) if name == "scp" else getattr(parsers, parser_name)()
    with tempfile.TemporaryDirectory(prefix="cardiomesh-") as folder:
        path = Path(folder) / f"recording{suffix}"
        path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                record = parser.parse(path)
            except UnsupportedFormatError:
                # Not chained, as in the registry: a reader's message may quote the file.
                raise InvalidRequest.field(
                    FIELD, f"a variant of {name} files that is not read", "UNSUPPORTED"
                ) from None
    remarks = [*getattr(parser, "remarks", ()), *(join_edf(record) if name == "edf" else ())]
    if record.raw_metadata.get("checksum_valid") is False:
        remarks.append("CHECKSUM_MISMATCH")
    return _to_recording(name, record, remarks)


def _to_recording(name: str, record: Any, remarks: Sequence[str]) -> Recording:
    """The library's record as ours; only what the allow-list names is looked at."""
    leads = [lead for lead in record.leads if len(lead.samples)]
    if not leads:
        raise InvalidRequest.field(FIELD, "the file holds no ECG signal", "NO_RHYTHM")
    if len(leads) > _MAX_CHANNELS:
        raise InvalidRequest.field(FIELD, f"more than {_MAX_CHANNELS} channels", "MALFORMED")
    rate, length = _main_shape(leads)
    if not 0 < rate < 1e6:
        raise InvalidRequest.field(FIELD, "the file states no usable sampling rate", "RATE_OUT_OF_RANGE")
    chosen = [lead for lead in leads if _shape(lead) == (rate, length)]
    scales = [_scale(lead) for lead in chosen]
    others = [(k, lead) for k, lead in enumerate(leads) if _shape(lead) != (rate, length)]
    return assemble(
        labels=[lead.label for lead in chosen],
        channels=_channels(chosen, scales),
        sampling_rate=float(rate),
        format_name=name,
        field_name=FIELD,
        metadata=_metadata(record),
        voltage=[scale is not None for scale in scales],
        remarks=[*remarks, *(["OTHER_RATES_APART"] if others else [])],
        apart=[_apart(k, lead) for k, lead in others],
        median=_median(record.median_beats),
    )


def _shape(lead: Any) -> tuple[float, int]:
    return lead.sampling_rate, len(lead.samples)


def _main_shape(leads: Sequence[Any]) -> tuple[float, int]:
    """Rate and length that most standard leads share, or, where there are none, most channels."""
    standard = [lead for lead in leads if normalise_lead(lead.label)] or leads
    return Counter(map(_shape, standard)).most_common(1)[0][0]


def _channels(leads: Sequence[Any], scales: Sequence[tuple[float, float] | None]) -> npt.NDArray[np.float64]:
    """Leads of one length in millivolts, ``[k, n]``; numbers as stored where they are no voltages."""
    channels = np.empty((len(leads), len(leads[0].samples)))
    for row, lead, scale in zip(channels, leads, scales, strict=True):
        row[:] = lead.samples
        if scale is not None:
            row *= scale[0]
            row += scale[1]
    return channels


def _apart(position: int, lead: Any) -> ExtraChannel:
    scale = _scale(lead)
    name = normalise_lead(lead.label) or extra_name(lead.label, position)
    return ExtraChannel(name, None if scale is None else _channels([lead], [scale])[0])


def _median(beats: Sequence[Any]) -> MedianBeat | None:
    """The device's own averaged beat, where all its leads have one length and a unit of voltage."""
    shapes = {_shape(beat) for beat in beats}
    if len(shapes) != 1 or len(beats) > _MAX_CHANNELS:
        return None
    rate, length = shapes.pop()
    try:
        scales = [_scale(beat) for beat in beats]
    except InvalidRequest:
        return None
    if None in scales or not length or not rate > 0:
        return None
    return median_beat([beat.label for beat in beats], _channels(beats, scales), float(rate))


def _scale(lead: Any) -> tuple[float, float] | None:
    """Factor and offset that turn a lead's numbers into mV; None where it is not a voltage."""
    per_unit = millivolts_per(str(lead.resolution_unit if lead.is_raw else lead.units))
    if per_unit is None:
        if normalise_lead(lead.label) is None:
            return None
        raise InvalidRequest.field(FIELD, "a lead is not in a unit of voltage", "UNKNOWN_UNIT")
    if not lead.is_raw:
        return per_unit, 0.0
    if not np.isfinite(lead.resolution) or lead.resolution <= 0:
        raise InvalidRequest.field(FIELD, "the scale of a lead is not a positive number", "BAD_SCALE")
    return per_unit * lead.resolution, per_unit * lead.offset


def _metadata(record: Any) -> Metadata:
    recording, patient = record.recording, record.patient
    acquired = recording.date if isinstance(recording.date, datetime) else None
    age = float(patient.age) if patient.age is not None else None
    born = patient.birth_date
    if age is None and acquired is not None and isinstance(born, date):
        age = (
            acquired.replace(tzinfo=None).date() - (born.date() if isinstance(born, datetime) else born)
        ).days / 365.25
    sexes: Mapping[str, Sex] = {"F": "female", "M": "male"}
    device = recording.device
    return Metadata(
        device=Device(clean_text(device.manufacturer), clean_text(device.model)),
        patient=Patient(age_group(age), sexes.get(str(patient.sex).upper()[:1])),
        acquired_at=acquired,
    )
