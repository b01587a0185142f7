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

from cardiomesh.ecg.leads import normalise_lead
from cardiomesh.ecg.recording import Device, Patient, Recording, Sex
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding.assemble import Metadata, age_group, assemble, clean_text
from preprocessor.decoding.units import millivolts_per

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
_FILLER_SECONDS: Final = 0.02


def decode_vendor(name: str, content: bytes) -> Recording:
    """Read one vendor file whose format is known."""
    if name == "edf":
        _check_edf(content)
    module, parser_name, suffix = _PARSERS[name]
    parsers = importlib.import_module(f"ecgdatakit.parsing.parsers.{module}")
    parser = _shortened_scp(parsers) if name == "scp" else getattr(parsers, parser_name)()
    with tempfile.TemporaryDirectory(prefix="cardiomesh-") as folder:
        path = Path(folder) / f"recording{suffix}"
        path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            record = parser.parse(path)
    return _to_recording(name, record, getattr(parser, "remarks", ()))


def _check_edf(content: bytes) -> None:
    """Refuse a header that promises what the file does not hold, before anything is made ready for it."""
    try:
        signals, records = int(content[252:256]), int(content[236:244])
        start, duration = 256 * (signals + 1), float(content[244:252])
        if not 0 < signals <= 4 * _MAX_CHANNELS or len(content) < start:
            raise ValueError
        sizes = [int(content[256 + 216 * signals + 8 * k :][:8]) for k in range(signals)]
    except ValueError:
        raise InvalidRequest.field(FIELD, "the EDF header is damaged", "MALFORMED") from None
    if min(sizes) < 0 or sum(sizes) == 0 or not 0 <= duration < 1e6:
        raise InvalidRequest.field(FIELD, "the EDF header is damaged", "MALFORMED")
    if records >= 0 and start + 2 * sum(sizes) * records > len(content):
        raise InvalidRequest.field(FIELD, "the EDF file ends before its last record; send it whole", "TRUNCATED")


def _shortened_scp(parsers: Any) -> Any:
    """The SCP reader, for files of writers that overflow.

    The byte length of a lead is a 16-bit field, so that 32,767 samples are the most that fit uncompressed; carts that
    record longer declare more samples than they store. What is stored is read.
    """

    class Shortened(parsers.SCPECGParser):  # type: ignore[misc]
        remarks: tuple[str, ...] = ()

        def _decode_leads(self, ctx: Any, sid: int, counts: list[int] | None) -> Any:
            if counts is not None and ctx.tables is None:
                body = ctx.sections[sid].body(ctx.data)
                sizes = [int.from_bytes(body[6 + 2 * k : 8 + 2 * k], "little") for k in range(len(ctx.leads))]
                fitting = [min(count, size // 2) for count, size in zip(counts, sizes, strict=True)]
                if fitting != counts:
                    counts, self.remarks = fitting, ("SHORTER_THAN_DECLARED",)
            return super()._decode_leads(ctx, sid, counts)

    return Shortened()


def _to_recording(name: str, record: Any, remarks: Sequence[str]) -> Recording:
    """The library's record as ours; only what the allow-list names is looked at."""
    leads = [lead for lead in record.leads if len(lead.samples)]
    if not leads:
        raise InvalidRequest.field(FIELD, "the file holds no ECG signal", "NO_RHYTHM")
    if len(leads) > _MAX_CHANNELS:
        raise InvalidRequest.field(FIELD, f"more than {_MAX_CHANNELS} channels", "MALFORMED")
    rate, length = _main_shape(leads)
    chosen = [lead for lead in leads if (lead.sampling_rate, len(lead.samples)) == (rate, length)]
    if not 0 < rate < 1e6:
        raise InvalidRequest.field(FIELD, "the file states no usable sampling rate", "RATE_OUT_OF_RANGE")
    channels = np.empty((len(chosen), length))
    voltage = []
    for row, lead in zip(channels, chosen, strict=True):
        factor = _millivolts(lead)
        voltage.append(factor is not None)
        row[:] = lead.samples
        if factor is not None:
            row *= factor[0]
            row += factor[1]
    start, stop = _heart_span(channels, rate)
    notes = [*remarks, *(["FILLER_REMOVED"] if (start, stop) != (0, length) else [])]
    return assemble(
        labels=[lead.label for lead in chosen],
        channels=channels[:, start:stop],
        sampling_rate=float(rate),
        format_name=name,
        field_name=FIELD,
        metadata=_metadata(record),
        voltage=voltage,
        remarks=notes,
    )


def _main_shape(leads: Sequence[Any]) -> tuple[float, int]:
    """Rate and length that most standard leads share, or, where there are none, most channels."""
    standard = [lead for lead in leads if normalise_lead(lead.label)] or leads
    return Counter((lead.sampling_rate, len(lead.samples)) for lead in standard).most_common(1)[0][0]


def _millivolts(lead: Any) -> tuple[float, float] | None:
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


def _heart_span(channels: npt.NDArray[np.float64], rate: float) -> tuple[int, int]:
    """Where the signal begins and ends: at both ends, samples that are the same in every channel are no heart.

    Philips carts fill up to eleven seconds with zeros and one calibration pulse in all leads at once; others write
    their lowest value. Runs below 20 ms are left: a few equal samples are chance.
    """
    length = channels.shape[1]
    if len(channels) < 3:
        return 0, length
    with np.errstate(invalid="ignore"):
        alive = np.flatnonzero(~(np.ptp(channels, axis=0) <= 1e-9))
    if not len(alive):
        return 0, length
    least = round(_FILLER_SECONDS * rate)
    start, stop = int(alive[0]), int(alive[-1]) + 1
    return (start if start >= least else 0), (stop if length - stop >= least else length)


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
