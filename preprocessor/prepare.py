"""From what a caller sent to what a model takes. No transport in here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cardiomesh.ecg.conditioning import PREPROCESSING_VERSION, condition, window
from cardiomesh.ecg.hashing import MILLIVOLTS_PER_COUNT, canonical, signal_hash, tensor_hash
from cardiomesh.ecg.quality import REJECT_BELOW, Quality, Reason, grade
from cardiomesh.ecg.recording import Recording
from cardiomesh.ecg.reversal import suspect_reversal
from preprocessor.decoding import RecordingInput, decode
from preprocessor.decoding.registry import Isolated, decode_known
from preprocessor.validation import check_fitness, check_form

__all__ = ["Prepared", "make_ready", "prepare", "read"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A recording ready for a model; ``tensor`` is float32 little-endian ``[windows, 12, 1000]``."""

    recording: Recording
    quality: Quality
    tensor: bytes
    window_starts: tuple[float, ...]
    tensor_hash: str
    signal_hash: str
    preprocessing_version: str


def read(request: RecordingInput, isolated: Isolated = decode_known) -> Recording:
    """Decode, and refuse what no model could take."""
    recording = decode(request, isolated)
    check_form(recording)
    return recording


def make_ready(recording: Recording, reject_below: float = REJECT_BELOW, quality: Quality | None = None) -> Prepared:
    """Grade (unless that was done), refuse the unfit, condition, cut into windows, name both signal and tensor."""
    quality = quality or grade(recording.millivolts, recording.sampling_rate, recording.leads, reject_below)
    check_fitness(quality)
    # The tensor is made of the very counts that are hashed: one signal hash, one tensor, whatever the container.
    counts = canonical(recording.millivolts)
    conditioned = condition(counts * MILLIVOLTS_PER_COUNT, recording.sampling_rate)
    suspicions = tuple(Reason(s.code, s.message) for s in suspect_reversal(conditioned))
    windows, starts = window(conditioned)
    tensor = windows.astype("<f4", copy=False).tobytes()
    return Prepared(
        recording=recording,
        quality=replace(quality, reasons=quality.reasons + suspicions),
        tensor=tensor,
        window_starts=starts,
        tensor_hash=tensor_hash(tensor),
        signal_hash=signal_hash(counts, recording.sampling_rate),
        preprocessing_version=PREPROCESSING_VERSION,
    )


def prepare(request: RecordingInput, reject_below: float = REJECT_BELOW) -> Prepared:
    """All of it: decode, check, grade, condition."""
    return make_ready(read(request), reject_below)
