"""Long recordings in each format that is read block by block, made of a short one repeated."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.data import get_testdata_file

from cardiomesh.ecg.leads import STANDARD_LEADS
from tests.unit.preprocessor.recordings import heart

__all__ = ["MAKERS", "RATE", "as_dicom", "as_edf", "as_ishne", "as_wfdb", "tape"]

RATE = 200
Counts = npt.NDArray[np.int16]


def tape(seconds: float, rate: float = RATE, seed: int = 7) -> Counts:
    """``[12, n]`` µV."""
    return heart(seconds, rate, seed=seed)


def as_wfdb(counts: Counts, rate: int = RATE, compression: int = zipfile.ZIP_STORED) -> bytes:
    """Limb leads in one signal file, chest leads in another, of another format."""
    header = [f"r 12 {rate} {counts.shape[1]}"]
    header += [f"limb.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in STANDARD_LEADS[:6]]
    header += [f"chest.dat 32 1000/mV 32 0 0 0 0 {lead}" for lead in STANDARD_LEADS[6:]]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        archive.writestr("r.hea", "\n".join(header) + "\n")
        archive.writestr("limb.dat", counts[:6].T.astype("<i2").tobytes())
        archive.writestr("chest.dat", counts[6:].T.astype("<i4").tobytes())
    return packed.getvalue()


def as_ishne(counts: Counts, rate: int = RATE) -> bytes:
    """ISHNE 1.0 with 1 µV a count, by the standard's table of the header."""
    comment = b"a comment of odd length"
    fixed = bytearray(512)

    def put(offset: int, kind: str, *values: object) -> None:
        struct.pack_into("<" + kind, fixed, offset - 10, *values)

    put(10, "iiii", len(comment), counts.shape[1], 522, 522 + len(comment))
    put(26, "h", 1)
    put(128, "hh3h", 2, 1, 1, 2, 1950)
    put(138, "3h", 3, 4, 2020)
    put(150, "3h", 8, 30, 0)
    put(156, "h", 12)
    put(158, "12h", *range(5, 17))
    put(182, "12h", *[1] * 12)
    put(206, "12h", *[1000] * 12)
    put(272, "h", rate)
    return b"ISHNE1.0\0\0" + bytes(fixed) + comment + counts.T.astype("<i2").tobytes()


def as_edf(counts: Counts, rate: int = RATE) -> bytes:
    """EDF+C with one-second records, annotations between limb and chest leads, 1 µV a count."""
    labels = [f"ECG {lead}" for lead in STANDARD_LEADS]
    signals = [*labels[:6], "EDF Annotations", *labels[6:]]
    sizes = [rate] * 6 + [8] + [rate] * 6
    records = counts.shape[1] // rate
    fixed = f"{'0':<8}{'X':<80}{'X':<80}03.04.2008.30.00{256 * 14:<8}{'EDF+C':<44}{records:<8}{1:<8}{13:<4}"
    columns = [
        [f"{label:<16}" for label in signals],
        [" " * 80] * 13,
        [f"{'' if 'Ann' in label else 'uV':<8}" for label in signals],
        [f"{-32768:<8}"] * 13,
        [f"{32767:<8}"] * 13,
        [f"{-32768:<8}"] * 13,
        [f"{32767:<8}"] * 13,
        [" " * 80] * 13,
        [f"{size:<8}" for size in sizes],
        [" " * 32] * 13,
    ]
    body = []
    for record in range(records):
        second = counts[:, record * rate : (record + 1) * rate].astype("<i2")
        note = f"+{record}\x14\x14\0".encode().ljust(16, b"\0")
        body.append(second[:6].tobytes() + note + second[6:].tobytes())
    return (fixed + "".join("".join(column) for column in columns)).encode("ascii") + b"".join(body)


def as_dicom(counts: Counts, rate: int = RATE) -> bytes:
    """The real DICOM ECG's header around these samples (1.25 µV a count in that file; here 1)."""
    dataset = pydicom.dcmread(Path(str(get_testdata_file("waveform_ecg.dcm"))))
    group = dataset.WaveformSequence[0]
    for channel in group.ChannelDefinitionSequence:
        channel.ChannelSensitivity = "1"
    group.SamplingFrequency, group.NumberOfWaveformSamples = str(rate), counts.shape[1]
    group.WaveformData = counts.T.astype("<i2").tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


MAKERS = {"wfdb": as_wfdb, "ishne": as_ishne, "edf": as_edf, "dicom": as_dicom}
