"""What a caller sends, free of any transport."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from cardiomesh.ecg.recording import Device, Patient

__all__ = ["FileInput", "RecordingInput", "SampleType", "SignalInput"]

SampleType = Literal["int16", "float32"]


@dataclass(frozen=True, slots=True)
class SignalInput:
    """Plain numbers: lead-major ``[leads, n]``, packed little-endian; ``scale`` units per count."""

    leads: tuple[str, ...]
    sampling_rate: float
    unit: str
    sample_type: SampleType | None
    samples: bytes
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class FileInput:
    """A device file, unchanged. The hint is only that: the content decides."""

    content: bytes
    format_hint: str = ""


@dataclass(frozen=True, slots=True)
class RecordingInput:
    """One recording as sent. What the caller states of device and patient overrides what a file says."""

    content: SignalInput | FileInput | None
    acquired_at: datetime | None = None
    device: Device | None = None
    patient: Patient = field(default_factory=Patient)
    subject_ref: str = ""
