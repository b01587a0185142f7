"""What a recording must be before anything is computed on it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from cardiomesh.ecg.leads import missing_leads
from cardiomesh.ecg.order import misnamed
from cardiomesh.ecg.quality import FLAT_AMPLITUDE, Grade, Quality
from cardiomesh.ecg.recording import Recording
from cardiomesh.errors import FieldViolation, InvalidRequest, UnfitRecording

__all__ = [
    "MAX_RATE_HZ",
    "MAX_SECONDS",
    "MIN_RATE_HZ",
    "MIN_SECONDS",
    "absurd_amplitude",
    "check_fitness",
    "check_form",
    "check_leads",
]

#: Below, the model's pass band (to 40 Hz) is not in the signal; above, no ECG device samples.
MIN_RATE_HZ: Final = 100.0
MAX_RATE_HZ: Final = 32_000.0
#: The models' window is ten seconds; carts that stop a few samples early are completed by up to 2 %.
MIN_SECONDS: Final = 9.8
MAX_SECONDS: Final = 60.0
#: The median lead of a heart stays far below this, peak to peak (mV); the largest of 2,664 PTB-XL records has 4.9.
MAX_AMPLITUDE: Final = 15.0
_FIELD: Final = "recording"


def check_form(recording: Recording, may_miss: Sequence[str] = ()) -> None:
    """Refuse what no model could take: rate, length, missing leads, missing samples, a scale that cannot be right.

    One lead of ``may_miss`` may be missing.
    """
    violations = list(_form_violations(recording, may_miss))
    if not violations and not np.isfinite(recording.millivolts).all():
        violations = list(_sample_violations(recording))
    if not violations:
        violations = list(_order_violations(recording))
    _refuse(violations)


def _form_violations(recording: Recording, may_miss: Sequence[str]) -> Iterator[FieldViolation]:
    rate = recording.sampling_rate
    if not math.isfinite(rate) or not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        yield FieldViolation(
            f"{_FIELD}.sampling_rate",
            f"{rate:g} Hz; a rate between {MIN_RATE_HZ:g} and {MAX_RATE_HZ:g} Hz is needed",
            "RATE_OUT_OF_RANGE",
        )
    elif recording.samples == 0:
        yield FieldViolation(f"{_FIELD}.samples", "there are no samples", "EMPTY")
    elif recording.duration < MIN_SECONDS:
        yield FieldViolation(
            f"{_FIELD}.duration",
            f"{recording.duration:.2f} s; at least {MIN_SECONDS:g} s are needed",
            "TOO_SHORT",
        )
    elif recording.duration > MAX_SECONDS:
        yield FieldViolation(
            f"{_FIELD}.duration",
            f"{recording.duration:.0f} s; at most {MAX_SECONDS:g} s are analysed at once, longer ones by AnalyzeLong",
            "TOO_LONG",
        )
    yield from _missing(recording.leads, may_miss)


def check_leads(leads: Sequence[str]) -> None:
    """Refuse where standard leads are missing."""
    _refuse(list(_missing(leads, ())))


def _missing(leads: Sequence[str], may_miss: Sequence[str]) -> Iterator[FieldViolation]:
    missing = missing_leads(leads)
    if missing and not (len(missing) == 1 and missing[0] in may_miss):
        yield FieldViolation(
            f"{_FIELD}.leads", f"missing {', '.join(missing)}; the model does not answer without", "MISSING_LEADS"
        )


def _sample_violations(recording: Recording) -> Iterator[FieldViolation]:
    bad = np.count_nonzero(~np.isfinite(recording.millivolts), axis=1)
    for lead, count in zip(recording.leads, bad, strict=True):
        if count:
            yield FieldViolation(
                f"{_FIELD}.leads[{lead}]", f"{count} samples are missing or not finite", "MISSING_SAMPLES"
            )


def _order_violations(recording: Recording) -> Iterator[FieldViolation]:
    for name, lead in (misnamed(recording.millivolts, recording.leads) or {}).items():
        yield FieldViolation(
            f"{_FIELD}.leads[{name}]",
            f"holds lead {lead}, as I + III = II and its like show; the channels are not in the order of their names",
            "LEADS_PERMUTED",
        )


def check_fitness(quality: Quality) -> None:
    """Refuse amplitudes that no heart has, and a recording whose grade is REJECT, with the reason per lead."""
    absurd = absurd_amplitude(quality)
    if absurd is not None:
        _refuse([absurd])
    if quality.grade is not Grade.REJECT:
        return
    violations = [
        FieldViolation(f"{_FIELD}.leads[{lead.lead}]", lead.reasons[0].message, lead.reasons[0].code)
        for lead in sorted(quality.leads, key=lambda lead: lead.score)
        if lead.grade is Grade.REJECT and lead.reasons
    ]
    violations = violations or [
        FieldViolation(_FIELD, f"quality score {quality.score:.2f} is below the limit", "LOW_QUALITY")
    ]
    _refuse(violations)


def absurd_amplitude(quality: Quality) -> FieldViolation | None:
    """What is wrong with beats that are everywhere far too high or too low: the unit or scale cannot be right."""
    field = f"{_FIELD}.amplitude"
    amplitudes = sorted(lead.amplitude for lead in quality.leads)
    middle, highest = amplitudes[len(amplitudes) // 2], amplitudes[-1]
    if middle > MAX_AMPLITUDE:
        return FieldViolation(field, f"beats of {middle:.3g} mV; the unit or scale is wrong", "ABSURD_AMPLITUDE")
    if highest < FLAT_AMPLITUDE:
        # Asystole looks like this, too: whoever watches a patient must be able to tell it from other refusals.
        return FieldViolation(
            field, f"no lead exceeds {highest:.2g} mV; nothing was recorded, or the unit or scale is wrong", "NO_SIGNAL"
        )
    return None


def _refuse(violations: list[FieldViolation]) -> None:
    if not violations:
        return
    unreadable = {"RATE_OUT_OF_RANGE", "EMPTY"} & {violation.reason for violation in violations}
    error = InvalidRequest if unreadable else UnfitRecording
    raise error(
        "; ".join(f"{v.field.removeprefix('recording.')}: {v.description}" for v in violations[:3]),
        violations,
    )
