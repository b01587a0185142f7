"""Plain numbers → Recording."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from cardiomesh.ecg.leads import normalise_lead
from cardiomesh.ecg.recording import Recording
from cardiomesh.errors import FieldViolation, InvalidRequest
from preprocessor.decoding.assemble import assemble, extra_name
from preprocessor.decoding.inputs import SampleType, SignalInput
from preprocessor.decoding.units import millivolts_per

__all__ = ["MAX_CHANNELS", "decode_signal"]

MAX_CHANNELS: Final = 64
_DTYPES: Final[Mapping[SampleType, str]] = {"int16": "<i2", "float32": "<f4"}
_FIELD: Final = "recording.signal"


def decode_signal(signal: SignalInput) -> Recording:
    """Unpack and scale to millivolts. Everything that is wrong with the request is told at once."""
    violations = list(_violations(signal))
    if violations:
        first = violations[0]
        raise InvalidRequest(f"{first.field}: {first.description}", violations)
    assert signal.sample_type is not None  # noqa: S101  stated for the type checker; _violations refused it
    factor = float(millivolts_per(signal.unit) or 1.0) * signal.scale
    counts = np.frombuffer(signal.samples, dtype=_DTYPES[signal.sample_type]).reshape(len(signal.leads), -1)
    with np.errstate(invalid="ignore", over="ignore"):
        channels = np.multiply(counts, factor, dtype=np.float64)
    return assemble(
        labels=signal.leads,
        channels=channels,
        sampling_rate=signal.sampling_rate,
        format_name="signal",
        field_name=f"{_FIELD}.leads",
        as_sent=True,
    )


def _violations(signal: SignalInput) -> list[FieldViolation]:
    found: list[FieldViolation] = []

    def wrong(name: str, description: str, reason: str) -> None:
        found.append(FieldViolation(f"{_FIELD}.{name}", description, reason))

    if not signal.leads:
        wrong("leads", "name the leads in the order of the samples", "MISSING_LEADS")
    elif len(signal.leads) > MAX_CHANNELS:
        wrong("leads", f"at most {MAX_CHANNELS} channels are read", "TOO_MANY_LEADS")
    unknown = [
        str(k + 1)
        for k, name in enumerate(signal.leads[:MAX_CHANNELS])
        if normalise_lead(name) is None and extra_name(name, k).startswith("channel ")
    ]
    if unknown:
        wrong(
            "leads",
            f"no known lead name at position {', '.join(unknown)}; use I, II, III, aVR … V6",
            "UNKNOWN_LEAD",
        )
    if millivolts_per(signal.unit) is None:
        wrong("unit", 'not a unit of voltage; use the UCUM code "mV", "uV" or "V"', "UNKNOWN_UNIT")
    if not math.isfinite(signal.scale) or signal.scale <= 0:
        wrong("scale", "must be a positive number of units per count", "BAD_SCALE")
    if signal.sample_type is None:
        wrong("sample_type", "say how the samples are stored: INT16 or FLOAT32", "MISSING_SAMPLE_TYPE")
    if not signal.samples:
        wrong("samples", "no samples were sent", "EMPTY")
    elif signal.sample_type is not None and signal.leads:
        size = np.dtype(_DTYPES[signal.sample_type]).itemsize * len(signal.leads)
        if len(signal.samples) % size:
            wrong(
                "samples",
                f"{len(signal.samples)} bytes do not divide into {len(signal.leads)} leads of {signal.sample_type}",
                "WRONG_LENGTH",
            )
    return found
