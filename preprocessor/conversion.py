"""Recordings → standard files that other readers open: DICOM 12-lead ECG, EDF, WFDB (zip) and CSV.

Only what a Recording may hold is written: no names and no numbers; DICOM's required identifiers are written empty, its
required UIDs are new. Samples are 16-bit counts of 1 µV where that loses nothing, else of the device's own step, else
of 0.1 µV, else of the finest step that the range allows. :func:`losses` says what a written file lacks.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.hashing import MILLIVOLTS_PER_COUNT, canonical, signal_hash
from cardiomesh.ecg.recording import Recording
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding.assemble import NO_DATE

__all__ = ["CONVERSIONS", "convert", "losses", "same_signal"]

_INT16: Final = 32_767
#: Microvolts per count of the signal hash.
_FINE: Final = MILLIVOLTS_PER_COUNT * 1e3
#: µV; differences below are rounding errors.
_LEAST_STEP: Final = 1e-3
#: Bytes of one EDF data record that the standard's authors advise not to exceed.
_EDF_RECORD: Final = 61_440
_SCP_CODES: Final[Mapping[str, int]] = {
    "I": 1, "II": 2, "V1": 3, "V2": 4, "V3": 5, "V4": 6, "V5": 7, "V6": 8, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64,
}  # fmt: skip


def convert(recording: Recording, kind: str) -> bytes:
    """The recording as a file of kind ``dcm``, ``edf``, ``wfdb`` or ``csv``."""
    writer = CONVERSIONS.get(kind)
    if writer is None:
        raise InvalidRequest.field("kind", f"can write {', '.join(CONVERSIONS)}", "UNKNOWN_FORMAT")
    if not recording.leads or not recording.samples:
        raise InvalidRequest.field("recording", "there is no lead to write", "EMPTY")
    if not np.isfinite(recording.millivolts).all():
        raise InvalidRequest.field(
            "recording", "samples are missing, and the format has no word for that", "MISSING_SAMPLES"
        )
    return writer(recording)


def _counts(recording: Recording) -> tuple[npt.NDArray[np.int16], float]:
    """Whole 16-bit counts ``[leads, n]`` and microvolts per count: the finest step that is needed and fits."""
    microvolts = recording.millivolts * 1e3
    largest = float(np.abs(microvolts).max())
    if _whole(microvolts) and largest <= _INT16:
        return np.rint(microvolts).astype(np.int16), 1.0
    own = _own_step(microvolts)
    if own is not None:
        return np.rint(microvolts / own).astype(np.int16), own
    step = max(_FINE, largest / _INT16)
    if step == _FINE:  # by the rule of the signal hash, so that what is written keeps the hash of what was read
        return canonical(recording.millivolts).astype(np.int16), step
    return np.rint(microvolts / step).astype(np.int16), step


def _whole(counts: npt.NDArray[np.float64]) -> bool:
    return bool(np.abs(counts - np.rint(counts)).max() < 1e-3)


def _own_step(microvolts: npt.NDArray[np.float64]) -> float | None:
    """The step of the recorder, of which all values are multiples (derived leads: of its half); None if none fits."""
    values = np.unique(np.abs(microvolts))
    gaps = np.diff(np.concatenate([[0.0], values]))
    gaps = gaps[gaps > _LEAST_STEP]
    if not len(gaps):
        return None
    for part in (1, 2):
        step = float(f"{gaps.min() / part:.10g}")
        if values[-1] / step <= _INT16 and _whole(microvolts / step):
            return step
    return None


def _to_csv(recording: Recording) -> bytes:
    times = np.arange(recording.samples) / recording.sampling_rate
    out = io.StringIO()
    out.write("time [s]," + ",".join(f"{lead} [mV]" for lead in recording.leads) + "\n")
    np.savetxt(
        out,
        np.column_stack([times, recording.millivolts.T]),
        fmt=["%.6f"] + ["%.5f"] * len(recording.leads),
        delimiter=",",
    )
    return out.getvalue().encode()


def _to_wfdb(recording: Recording) -> bytes:
    counts, step = _counts(recording)
    gain = f"{1000 / step:.10g}"
    head = f"ecg {len(counts)} {recording.sampling_rate:.10g} {recording.samples}"
    if recording.acquired_at is not None:
        head += recording.acquired_at.strftime(" %H:%M:%S %d/%m/%Y")
    lines = [head]
    for lead, row in zip(recording.leads, counts, strict=True):
        checksum = (int(row.sum(dtype=np.int64)) + 0x8000) % 0x10000 - 0x8000
        lines.append(f"ecg.dat 16 {gain}(0)/mV 16 0 {row[0]} {checksum} 0 {lead}")
    if recording.patient.age_years is not None:
        lines.append(f"#Age: {recording.patient.age_years}")
    if recording.patient.sex is not None:
        lines.append(f"#Sex: {recording.patient.sex}")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ecg.hea", "\n".join(lines) + "\n")
        archive.writestr("ecg.dat", np.ascontiguousarray(counts.T).astype("<i2").tobytes())
    return buffer.getvalue()


def _to_edf(recording: Recording) -> bytes:
    """EDF (Kemp et al. 1992) in data records of a second, or of what divides the recording and has an exact length."""
    counts, step = _counts(recording)
    rate, leads = recording.sampling_rate, len(recording.leads)
    size = _edf_record(rate, recording.samples, leads)
    records, duration = recording.samples // size, size / rate
    top = _edf_top(step, int(np.abs(counts.astype(np.int32)).max()))
    limit = step * top
    when = (recording.acquired_at or NO_DATE).strftime("%d.%m.%y%H.%M.%S")

    def column(values: list[str], width: int) -> str:
        return "".join(value[:width].ljust(width) for value in values)

    header = "0".ljust(8) + "X X X X".ljust(80) + "Startdate X X X X".ljust(80) + when
    header += str(256 * (leads + 1)).ljust(8) + " " * 44 + str(records).ljust(8) + _eight(duration).ljust(8)
    header += str(leads).ljust(4)
    header += column([f"ECG {lead}" for lead in recording.leads], 16) + " " * 80 * leads + column(["uV"] * leads, 8)
    header += column([_eight(-limit)] * leads, 8) + column([_eight(limit)] * leads, 8)
    header += column([str(-top)] * leads, 8) + column([str(top)] * leads, 8) + " " * 80 * leads
    header += column([str(size)] * leads, 8) + " " * 32 * leads
    blocks = counts.reshape(leads, records, size).transpose(1, 0, 2)
    return header.encode("ascii") + np.ascontiguousarray(blocks).astype("<i2").tobytes()


def _eight(value: float) -> str:
    """A number in the eight characters that EDF has for it."""
    return next(text for digits in range(8, 0, -1) if len(text := f"{value:.{digits}g}") <= 8)


def _edf_record(rate: float, samples: int, leads: int) -> int:
    """Samples of one data record: a second's where that divides the recording, else the most that do, exactly."""
    if rate == round(rate) and samples % round(rate) == 0:
        return round(rate)
    most = min(samples, _EDF_RECORD // (2 * leads))
    sizes = (size for size in range(most, 0, -1) if samples % size == 0 and float(_eight(size / rate)) == size / rate)
    return next(sizes, samples)


def _edf_top(step: float, largest: int) -> int:
    """The highest count, so that EDF's eight characters hold its value in µV as exactly as may be."""
    tops = [top for top in (_INT16, 32_000, 30_000, 25_000, 20_000, 16_000, 10_000) if top >= largest]
    return min(tops or [_INT16], key=lambda top: abs(float(_eight(-top * step)) / (top * step) + 1))


def _to_dicom(recording: Recording) -> bytes:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import (
        ExplicitVRLittleEndian,
        GeneralECGWaveformStorage,
        TwelveLeadECGWaveformStorage,
        generate_uid,
    )

    counts, step = _counts(recording)
    when = recording.acquired_at or NO_DATE
    twelve = len(counts) <= 13 and recording.samples <= 16384

    def code(value: str, scheme: str, version: str, meaning: str) -> Sequence:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator = value, scheme
        item.CodingSchemeVersion, item.CodeMeaning = version, meaning
        return Sequence([item])

    channels = []
    for lead in recording.leads:
        channel = Dataset()
        channel.ChannelSourceSequence = code(f"5.6.3-9-{_SCP_CODES[lead]}", "SCPECG", "1.3", f"Lead {lead}")
        channel.ChannelSensitivity = f"{step:.10g}"
        channel.ChannelSensitivityUnitsSequence = code("uV", "UCUM", "1.4", "microvolt")
        channel.ChannelSensitivityCorrectionFactor, channel.ChannelBaseline = "1", "0"
        channel.ChannelSampleSkew, channel.WaveformBitsStored = "0", 16
        channels.append(channel)
    group = Dataset()
    group.WaveformOriginality, group.NumberOfWaveformChannels = "ORIGINAL", len(counts)
    group.NumberOfWaveformSamples, group.SamplingFrequency = recording.samples, f"{recording.sampling_rate:.10g}"
    group.MultiplexGroupLabel, group.ChannelDefinitionSequence = "RHYTHM", Sequence(channels)
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.WaveformData = np.ascontiguousarray(counts.T).astype("<i2").tobytes()
    group["WaveformData"].VR = "OW"
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID = TwelveLeadECGWaveformStorage if twelve else GeneralECGWaveformStorage
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID
    file.StudyInstanceUID, file.SeriesInstanceUID = generate_uid(), generate_uid()
    file.Modality, file.Manufacturer = "ECG", recording.device.manufacturer
    file.ManufacturerModelName = recording.device.model
    file.PatientName = file.PatientID = file.PatientBirthDate = ""
    file.PatientSex = {"female": "F", "male": "M"}.get(recording.patient.sex or "", "")
    if recording.patient.age_years is not None:
        file.PatientAge = f"{recording.patient.age_years:03d}Y"
    file.StudyDate = file.ContentDate = when.strftime("%Y%m%d")
    file.StudyTime = file.ContentTime = when.strftime("%H%M%S")
    file.AcquisitionDateTime = when.strftime("%Y%m%d%H%M%S")
    file.AccessionNumber = file.StudyID = file.ReferringPhysicianName = ""
    file.SeriesNumber, file.InstanceNumber = 1, 1
    file.AcquisitionContextSequence = Sequence([])
    file.WaveformSequence = Sequence([group])
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


CONVERSIONS: Final[Mapping[str, Callable[[Recording], bytes]]] = {
    "dcm": _to_dicom, "edf": _to_edf, "wfdb": _to_wfdb, "csv": _to_csv,
}  # fmt: skip


def losses(recording: Recording, again: Recording) -> tuple[str, ...]:
    """What a written file lacks of the recording, told by reading it back; empty where nothing is lost."""
    lines = []
    if again.millivolts.shape != recording.millivolts.shape:
        lines.append(f"{again.samples} of {recording.samples} samples are read back")
    elif not (canonical(again.millivolts) == canonical(recording.millivolts)).all():
        change = float(np.abs(again.millivolts - recording.millivolts).max()) * 1e3
        lines.append(f"amplitudes change by up to {change:.3g} µV")
    if again.sampling_rate != recording.sampling_rate:
        lines.append(f"the rate is {again.sampling_rate:.9g} Hz instead of {recording.sampling_rate:.9g} Hz")
    gone = [f"channel {name}" for name in recording.ignored_leads]
    gone += ["the device's median beat"] if recording.median_beat is not None else []
    gone += ["the device"] if again.device != recording.device else []
    gone += ["age and sex"] if again.patient != recording.patient else []
    gone += ["the time of recording"] if _local(again.acquired_at) != _local(recording.acquired_at) else []
    return (*lines, *([f"left out: {', '.join(gone)}"] if gone else []))


def same_signal(recording: Recording, again: Recording) -> bool:
    """Whether both have the same leads and the same signal hash, whatever container they came in."""
    one, other = (signal_hash(canonical(r.millivolts), r.sampling_rate) for r in (recording, again))
    return recording.leads == again.leads and one == other


def _local(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=None, microsecond=0) if moment else None
