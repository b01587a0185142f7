"""Contec ECG90A native exports → Recording.

The format is unpublished. What is read here was found by comparing one real file with the same cart's own SCP and EDF
exports of it, and agrees with what ecg-contec documents: 43 bytes of header with the local time at byte 10, sex and age
at 40 and 41, then frames of eight little-endian 16-bit words at 800 Hz: II, III, V1 to V6, up to a frame of zeros and a
trailer. The low twelve bits are the sample about 2048 in 5 µV steps; bits above say that an electrode is off. Firmware
that differs in any of this is refused by the checks, not guessed at.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import numpy as np

from cardiomesh.ecg.recording import Device, Patient, Recording, Sex
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding.assemble import Metadata, age_group, assemble

__all__ = ["decode_contec"]

FIELD: Final = "recording.file.content"
_HEADER: Final = 43
_SEX: Final = 40
_AGE: Final = 41
_FRAME: Final = np.dtype("<u2")
_RATE: Final = 800.0
_MILLIVOLTS: Final = 0.005
_STORED: Final = ("II", "III", "V1", "V2", "V3", "V4", "V5", "V6")


def decode_contec(content: bytes) -> Recording:
    """Read a Contec export; III and II give I."""
    frame = _FRAME.itemsize * len(_STORED)
    body = content[_HEADER:]
    words = np.frombuffer(body, _FRAME, count=len(body) // frame * len(_STORED)).reshape(-1, len(_STORED))
    # Zeros, which no sample about 2048 ever is, begin the trailer.
    ends = np.flatnonzero(~words.any(axis=1))
    words = words[: ends[0]] if len(ends) else words
    while len(words) and not words[-1].all():
        words = words[:-1]
    if not len(words) or not (words & 0x0FFF).any() or (words == 0).any():
        raise InvalidRequest.field(FIELD, "the Contec file is damaged or of an unknown kind", "UNREADABLE")
    millivolts = ((words & 0x0FFF).astype(np.float64) - 2048).T * _MILLIVOLTS
    lead_i = millivolts[0] - millivolts[1]
    channels = np.concatenate([lead_i[None], millivolts[:1], millivolts[2:]])
    off = ((words & 0xF000) != 0).any(axis=0)
    return assemble(
        labels=["I", "II", *_STORED[2:]],
        channels=channels,
        sampling_rate=_RATE,
        format_name="contec",
        field_name=FIELD,
        metadata=Metadata(
            device=Device("Contec", "ECG90A"), patient=_patient(content), acquired_at=_moment(content[10:34])
        ),
        remarks=["ELECTRODE_OFF"] if off.any() else [],
    )


def _patient(content: bytes) -> Patient:
    """Sex and age; 255 and 0 stand for "not entered". The name between is not looked at."""
    sexes: Mapping[int, Sex] = {0: "female", 1: "male"}
    return Patient(age_group(content[_AGE] or None), sexes.get(content[_SEX]))


def _moment(text: bytes) -> datetime | None:
    try:
        return datetime.strptime(text.split(b"\0")[0].decode("ascii"), "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007
    except (ValueError, UnicodeDecodeError):
        return None
