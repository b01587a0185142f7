"""From a source to prepared windows: each is what ``Prepare`` would have said of its ten seconds alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.conditioning import MODEL_RATE_HZ, WINDOW_SECONDS
from cardiomesh.ecg.delineation import delineate
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.ecg.quality import Quality, grade
from cardiomesh.ecg.recording import Recording
from cardiomesh.errors import InvalidRequest
from preprocessor.decoding.assemble import assemble
from preprocessor.long.source import FIELD, Block, Source, refused
from preprocessor.prepare import Prepared, make_ready
from preprocessor.validation import MAX_RATE_HZ, MIN_RATE_HZ, check_form, check_leads

__all__ = ["LEAST_STRIDE_SECONDS", "Plan", "Window", "describe", "plan", "windows"]

LEAST_STRIDE_SECONDS: Final = 1.0
#: The leads that the heart rate is taken from: nearly as good as twelve, at less than half the cost
#: (``python -m benchmarks.window_rate``).
_RATE_LEADS: Final = [STANDARD_LEADS.index(lead) for lead in ("I", "II")]
_LEAST_BEATS: Final = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the windows lie: ``starts`` in samples, each ``length`` samples long; the last ends with the recording."""

    starts: range
    last: int | None
    length: int

    @property
    def count(self) -> int:
        """How many windows there are."""
        return len(self.starts) + (self.last is not None)

    def __iter__(self) -> Iterator[int]:
        yield from self.starts
        if self.last is not None:
            yield self.last


@dataclass(frozen=True, slots=True)
class Window:
    """One window: prepared, or refused and why. ``start`` in seconds, ``heart_rate`` in beats per minute."""

    index: int
    start: float
    prepared: Prepared | None = None
    quality: Quality | None = None
    heart_rate: float | None = None
    refusal: InvalidRequest | None = None


def plan(source: Source, stride: float) -> Plan:
    """Windows every ``stride`` seconds; raises InvalidRequest where none can be."""
    if not LEAST_STRIDE_SECONDS <= stride <= 86_400:
        raise InvalidRequest.field(
            "start.stride", f"{stride:g} s; at least {LEAST_STRIDE_SECONDS:g} s are needed", "OUT_OF_RANGE"
        )
    if not MIN_RATE_HZ <= source.rate <= MAX_RATE_HZ:
        raise InvalidRequest.field(
            "recording.sampling_rate",
            f"{source.rate:g} Hz; a rate between {MIN_RATE_HZ:g} and {MAX_RATE_HZ:g} Hz is needed",
            "RATE_OUT_OF_RANGE",
        )
    length, step = round(WINDOW_SECONDS * source.rate), round(stride * source.rate)
    if source.samples <= length:
        return Plan(range(1), None, source.samples)
    starts = range(0, source.samples - length + 1, step)
    last = source.samples - length
    return Plan(starts, last if starts[-1] != last else None, length)


def describe(source: Source) -> Recording:
    """The recording without its samples: leads, device and remarks, for ``RecordingInfo``.

    Raises InvalidRequest where no window could ever be prepared, because leads are missing or come twice.
    """
    second = _recording(source, np.zeros((len(source.labels), max(1, round(source.rate)))))
    check_leads(second.leads)
    return second


def windows(source: Source, layout: Plan, reject_below: float) -> Iterator[Window]:
    """Read the source once, and prepare its windows in order. Never holds more than a block and a window."""
    kept, first = np.empty((len(source.labels), 0)), 0
    blocks = source.blocks()
    for index, start in enumerate(layout):
        while first + kept.shape[1] < start + layout.length:
            passed = min(max(start - first, 0), kept.shape[1])
            kept, first = _append(kept[:, passed:], next(blocks, None)), first + passed
        part = kept[:, start - first : start - first + layout.length]
        yield _window(source, index, start / source.rate, part, reject_below)


def _append(kept: Block, block: Block | None) -> Block:
    if block is None:
        raise refused("the file ends before its header says; send it whole", "TRUNCATED")
    return np.concatenate([kept, block], axis=1)


def _recording(source: Source, channels: Block) -> Recording:
    return assemble(
        labels=source.labels,
        channels=channels,
        sampling_rate=source.rate,
        format_name=source.format,
        field_name=FIELD,
        metadata=source.metadata,
        voltage=source.voltage,
        remarks=source.remarks,
        as_sent=True,
    )


def _window(source: Source, index: int, start: float, channels: Block, reject_below: float) -> Window:
    recording, quality = _recording(source, channels), None
    try:
        check_form(recording)
        quality = grade(recording.millivolts, recording.sampling_rate, recording.leads, reject_below)
        prepared = make_ready(recording, reject_below, quality)
    except InvalidRequest as refusal:
        return Window(index, start, quality=quality, refusal=refusal)
    # The tensor and its facts travel on; ten seconds of samples do not.
    prepared = replace(prepared, recording=replace(recording, millivolts=recording.millivolts[:, :0]))
    rate = heart_rate(np.frombuffer(prepared.tensor, "<f4").reshape(len(STANDARD_LEADS), -1))
    return Window(index, start, prepared, prepared.quality, rate)


def heart_rate(conditioned: npt.NDArray[np.float32]) -> float | None:
    """Beats per minute of ``[12, n]`` mV at 100 Hz, from the median interval; None with fewer than three beats."""
    beats = delineate(conditioned[_RATE_LEADS], MODEL_RATE_HZ).beats
    if len(beats) < _LEAST_BEATS:
        return None
    return round(60 * MODEL_RATE_HZ / float(np.median(np.diff(beats))), 1)
