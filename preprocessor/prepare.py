"""From what a caller sent to what a model takes. No transport in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.conditioning import PREPROCESSING_VERSION, condition, window
from cardiomesh.ecg.hashing import MILLIVOLTS_PER_COUNT, canonical, signal_hash, tensor_hash
from cardiomesh.ecg.leads import STANDARD_LEADS, missing_leads
from cardiomesh.ecg.quality import REJECT_BELOW, Grade, Quality, Reason, grade
from cardiomesh.ecg.recording import Recording
from cardiomesh.ecg.reversal import suspect_reversal
from preprocessor.decoding import RecordingInput, decode
from preprocessor.decoding.registry import Isolated, decode_known
from preprocessor.validation import check_fitness, check_form

__all__ = ["Prepared", "make_ready", "prepare", "read"]

#: The most that a recording scores which lacks a lead: poor.
_MISSING_SCORE: Final = 0.75


@dataclass(frozen=True, slots=True)
class Prepared:
    """A recording ready for a model; ``tensor`` is float32 little-endian ``[windows, 12, 1000]``.

    Its windows are cut from ``conditioned``, float32 millivolts ``[12, n]`` at 100 Hz.
    """

    recording: Recording
    quality: Quality
    tensor: bytes
    window_starts: tuple[float, ...]
    tensor_hash: str
    signal_hash: str
    preprocessing_version: str
    conditioned: npt.NDArray[np.float32]


def read(request: RecordingInput, isolated: Isolated = decode_known, may_miss: Sequence[str] = ()) -> Recording:
    """Decode, and refuse what no model could take; one lead of ``may_miss`` may be missing."""
    recording = decode(request, isolated)
    check_form(recording, may_miss)
    return recording


def make_ready(recording: Recording, reject_below: float = REJECT_BELOW, quality: Quality | None = None) -> Prepared:
    """Grade (unless that was done), refuse the unfit, condition, cut into windows, name both signal and tensor."""
    quality = quality or grade(recording.millivolts, recording.sampling_rate, recording.leads, reject_below)
    missing = missing_leads(recording.leads)
    if missing:
        quality = _without(quality, missing, reject_below)
    check_fitness(quality)
    # The tensor is made of the very counts that are hashed: one signal hash, one tensor, whatever the container.
    counts = canonical(_with_zeros(recording) if missing else recording.millivolts)
    conditioned = condition(counts * MILLIVOLTS_PER_COUNT, recording.sampling_rate)
    remarks = () if missing else tuple(Reason(s.code, s.message) for s in suspect_reversal(conditioned))
    windows, starts = window(conditioned)
    tensor = windows.astype("<f4", copy=False).tobytes()
    return Prepared(
        recording=recording,
        quality=replace(quality, reasons=quality.reasons + remarks),
        tensor=tensor,
        window_starts=starts,
        tensor_hash=tensor_hash(tensor),
        signal_hash=signal_hash(counts, recording.sampling_rate),
        preprocessing_version=PREPROCESSING_VERSION,
        conditioned=conditioned,
    )


def _with_zeros(recording: Recording) -> npt.NDArray[np.float64]:
    """All twelve leads in standard order, zeros where one is missing: what models see of a lead dropped in training."""
    whole = np.zeros((len(STANDARD_LEADS), recording.samples))
    whole[[STANDARD_LEADS.index(lead) for lead in recording.leads]] = recording.millivolts
    return whole


def _without(quality: Quality, missing: Sequence[str], reject_below: float) -> Quality:
    """The quality of a recording that lacks a lead: poor at best, and it says so."""
    reason = Reason("MISSING_LEAD", f"{', '.join(missing)} is missing: what needs it is not evaluable")
    score = min(quality.score, _MISSING_SCORE)
    unfit = quality.grade is Grade.REJECT or score < reject_below
    return replace(quality, grade=Grade.REJECT if unfit else Grade.C, score=score, reasons=(*quality.reasons, reason))


def prepare(request: RecordingInput, reject_below: float = REJECT_BELOW) -> Prepared:
    """All of it: decode, check, grade, condition."""
    return make_ready(read(request), reject_below)
