"""What an integrator wants to know of a strange file first: what it is, what is in it, how fit it is.

Unlike ``prepare`` this does not refuse an ECG that no model could take: it says why, and shows the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.conditioning import condition
from cardiomesh.ecg.hashing import canonical, signal_hash
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.ecg.quality import Quality, Reason, grade
from cardiomesh.ecg.recording import Recording
from cardiomesh.ecg.reversal import suspect_reversal
from cardiomesh.errors import FieldViolation, InvalidRequest
from preprocessor.decoding import RecordingInput, decode
from preprocessor.decoding.registry import Isolated, decode_known, title_of
from preprocessor.validation import check_fitness, check_form

__all__ = ["ChannelFacts", "Inspection", "inspect_recording"]

_LEAST_SECONDS_TO_GRADE = 2.0


@dataclass(frozen=True, slots=True)
class ChannelFacts:
    """One channel as found: its lowest and highest value in mV (None where it is not a voltage) and its step."""

    name: str
    standard: bool
    derived: bool
    samples: int
    lowest: float | None
    highest: float | None
    missing: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that ``cardiomesh inspect`` shows. ``problems`` is empty when the recording can be analysed."""

    recording: Recording = field(repr=False)
    format: str
    title: str
    manufacturer: str
    model: str
    age_years: int | None
    sex: str | None
    acquired_at: datetime | None
    sampling_rate: float
    duration: float
    samples: int
    channels: tuple[ChannelFacts, ...]
    remarks: tuple[str, ...]
    quality: Quality | None
    signal_hash: str | None
    problems: tuple[FieldViolation, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain types only, for ``--json``."""
        quality = self.quality
        return {
            "format": self.format,
            "title": self.title,
            "device": {"manufacturer": self.manufacturer, "model": self.model},
            "patient": {"age_years": self.age_years, "sex": self.sex},
            "acquired_at": self.acquired_at.isoformat() if self.acquired_at else None,
            "sampling_rate": self.sampling_rate,
            "duration": self.duration,
            "samples": self.samples,
            "unit": "mV",
            "leads": [c.name for c in self.channels if c.standard],
            "derived_leads": [c.name for c in self.channels if c.derived],
            "ignored_leads": [c.name for c in self.channels if not c.standard],
            "channels": [
                {"name": c.name, "samples": c.samples, "lowest": c.lowest, "highest": c.highest, "missing": c.missing}
                for c in self.channels
            ],
            "median_beat": None
            if (beat := self.recording.median_beat) is None
            else {
                "leads": list(beat.leads),
                "samples": beat.millivolts.shape[1],
                "sampling_rate": beat.sampling_rate,
            },
            "remarks": list(self.remarks),
            "quality": None
            if quality is None
            else {
                "grade": str(quality.grade),
                "score": quality.score,
                "reasons": [{"code": r.code, "message": r.message} for r in quality.reasons],
                "leads": {
                    lead.lead: {
                        "grade": str(lead.grade),
                        "score": lead.score,
                        "amplitude": lead.amplitude,
                        "reasons": [{"code": r.code, "message": r.message} for r in lead.reasons],
                    }
                    for lead in quality.leads
                },
            },
            "signal_hash": self.signal_hash,
            "analysable": not self.problems,
            "problems": [{"field": p.field, "description": p.description, "reason": p.reason} for p in self.problems],
        }


def inspect_recording(request: RecordingInput, isolated: Isolated = decode_known) -> Inspection:
    """Decode and describe. Raises InvalidRequest only where the content is no ECG at all."""
    recording = decode(request, isolated)
    if not recording.leads and not any(channel.millivolts is not None for channel in recording.extra):
        raise InvalidRequest.field("recording.file.content", "the file holds no voltage signal", "NO_RHYTHM")
    problems: list[FieldViolation] = []
    quality = _graded(recording)
    try:
        check_form(recording)
        if quality is not None:
            check_fitness(quality)
    except InvalidRequest as error:
        problems.extend(error.violations)
    whole = recording.leads == STANDARD_LEADS and bool(np.isfinite(recording.millivolts).all())
    if whole and quality is not None and not problems:
        conditioned = condition(recording.millivolts, recording.sampling_rate)
        suspicions = tuple(Reason(s.code, s.message) for s in suspect_reversal(conditioned))
        quality = replace(quality, reasons=quality.reasons + suspicions)
    return Inspection(
        recording=recording,
        format=recording.format,
        title=title_of(recording.format),
        manufacturer=recording.device.manufacturer,
        model=recording.device.model,
        age_years=recording.patient.age_years,
        sex=recording.patient.sex,
        acquired_at=recording.acquired_at,
        sampling_rate=recording.sampling_rate,
        duration=recording.duration,
        samples=recording.samples,
        channels=tuple(_channels(recording)),
        remarks=recording.remarks,
        quality=quality,
        signal_hash=signal_hash(canonical(recording.millivolts), recording.sampling_rate) if whole else None,
        problems=tuple(problems),
    )


def _graded(recording: Recording) -> Quality | None:
    """Grades of the standard leads, where there are any, long and fast enough to be graded."""
    x = recording.millivolts
    if not len(x) or recording.duration < _LEAST_SECONDS_TO_GRADE or not 50 <= recording.sampling_rate <= 1e5:
        return None
    return grade(np.nan_to_num(x), recording.sampling_rate, recording.leads) if np.isfinite(x).any() else None


def _channels(recording: Recording) -> list[ChannelFacts]:
    facts = [
        _facts(name, values, standard=True, derived=name in recording.derived_leads)
        for name, values in zip(recording.leads, recording.millivolts, strict=True)
    ]
    facts += [_facts(channel.name, channel.millivolts, standard=False, derived=False) for channel in recording.extra]
    return facts


def _facts(name: str, values: npt.NDArray[np.float64] | None, *, standard: bool, derived: bool) -> ChannelFacts:
    if values is None:
        return ChannelFacts(name, standard, derived, 0, None, None, 0)
    finite = values[np.isfinite(values)]
    return ChannelFacts(
        name=name,
        standard=standard,
        derived=derived,
        samples=len(values),
        lowest=round(float(finite.min()), 6) if len(finite) else None,
        highest=round(float(finite.max()), 6) if len(finite) else None,
        missing=len(values) - len(finite),
    )
