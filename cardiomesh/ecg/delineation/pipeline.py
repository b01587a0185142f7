"""Where each wave of each beat begins, peaks and ends, in every lead and over all leads."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.delineation.fuse import fused
from cardiomesh.ecg.delineation.marks import Delineation, WaveMarks
from cardiomesh.ecg.delineation.network import RATE_HZ, Segmenter, shipped, standardise
from cardiomesh.ecg.delineation.segments import events, matched, waves
from cardiomesh.ecg.delineation.typical import aligned, dominant_beats, median_beat
from cardiomesh.errors import InvalidRequest

__all__ = ["LEAST_SECONDS", "assembled", "delineate", "usable_leads"]

FloatArray = npt.NDArray[np.float64]
Signals = npt.NDArray[np.float32]

#: Shorter recordings hold no whole beat with its neighbours.
LEAST_SECONDS: Final = 2.0
#: A lead whose central 98 % of samples span less than this (mV) carries no signal.
_FLAT: Final = 0.02
_P, _QRS, _T = 1, 2, 3
#: A P wave that ends no longer than this before a QRS complex (s) belongs to it: PR up to about 0.45 s.
_CONDUCTED: Final = 0.36
#: A T wave begins no later than this after its QRS complex (s).
_REPOLARISED: Final = 0.5


def delineate(
    millivolts: npt.NDArray[np.floating], sampling_rate: float, *, segmenter: Segmenter | None = None
) -> Delineation:
    """Delineate ``[leads, n]`` mV, at least two seconds at ``sampling_rate`` Hz (100 Hz or more).

    Any number of leads in any order. A lead that is flat or not finite is left out and shows no wave. Deterministic;
    memory grows with the length, so cut long recordings into windows.
    """
    x = np.asarray(millivolts, dtype=np.float64)
    if x.ndim != 2 or not len(x):
        raise InvalidRequest.field("millivolts", f"has shape {x.shape}, expected [leads, samples]", "SHAPE")
    if not np.isfinite(sampling_rate) or sampling_rate < 100.0:
        raise InvalidRequest.field("sampling_rate", f"is {sampling_rate:g} Hz, at least 100 Hz needed", "RATE")
    if x.shape[1] < LEAST_SECONDS * sampling_rate:
        seconds = x.shape[1] / sampling_rate
        raise InvalidRequest.field("millivolts", f"lasts {seconds:.2f} s, at least {LEAST_SECONDS:g} s needed", "SHORT")
    usable = usable_leads(x)
    clean = x if usable.all() else np.where(usable[:, None], x, 0.0)
    if not usable.any():
        return _nothing(clean, sampling_rate, usable)
    network = segmenter or shipped()
    by_class = network.probabilities(standardise(clean[usable], sampling_rate))
    return assembled(clean, sampling_rate, usable, by_class)


def usable_leads(x: FloatArray) -> npt.NDArray[np.bool_]:
    """Which leads are finite and carry a signal."""
    finite = np.asarray(np.isfinite(x).all(axis=1))
    low, high = np.percentile(np.where(finite[:, None], x, 0.0)[:, ::4], (1, 99), axis=1)
    return np.asarray(finite & (high - low >= _FLAT))


def _peaks(x: Signals, onset: FloatArray, offset: FloatArray, rate: float) -> FloatArray:
    """Where each wave ``[leads, waves]`` is farthest from the line between its ends, in samples."""
    lead, wave = np.nonzero(np.isfinite(onset))
    peak = np.full(onset.shape, np.nan)
    if not len(lead):
        return peak
    first = np.clip(onset[lead, wave].round().astype(np.intp), 0, x.shape[1] - 1)
    last = np.clip(offset[lead, wave].round().astype(np.intp), 0, x.shape[1] - 1)
    length = np.maximum(last - first, 1)
    step = np.arange(int(length.max()) + 1, dtype=np.int32)
    at = np.minimum(first[:, None] + step, last[:, None])
    share = np.minimum(step / length[:, None], 1.0, dtype=np.float32)
    values = x[lead[:, None], at]
    away = np.abs(values - (values[:, :1] + (values[:, -1:] - values[:, :1]) * share))
    peak[lead, wave] = first + away.argmax(axis=1)
    return peak


def assembled(
    x: FloatArray, rate: float, usable: npt.NDArray[np.bool_], by_class: npt.NDArray[np.float32]
) -> Delineation:
    """Waves, beats and their median from the network's answer for the usable leads."""
    scale = rate / RATE_HZ
    rows = np.flatnonzero(usable)
    narrow = x.astype(np.float32)  # half the memory to move, and still a thousandth of a microvolt
    carrying = narrow if usable.all() else narrow[usable]
    edges = {kind: events(by_class, kind) for kind in (_P, _QRS, _T)}
    found: dict[int, WaveMarks] = {}
    for kind, (start, end, _) in edges.items():
        onset, offset = matched(waves(by_class, kind), start, end, len(rows), kind)
        whole = np.full((2, len(x), len(start)), np.nan)
        whole[0, rows], whole[1, rows] = onset * scale, offset * scale
        found[kind] = WaveMarks(whole[0], _peaks(narrow, whole[0], whole[1], rate), whole[1])
    q_start, q_end, _ = edges[_QRS]
    beats = _beat_positions(carrying, q_start * scale, q_end * scale)
    dominant = dominant_beats(carrying, beats, rate)
    beats = aligned(carrying, beats, dominant, rate)
    p_of, blocked = _conducted(edges[_P], q_start, by_class.shape[2])
    t_of = _repolarisation(edges[_T], q_start, q_end)
    p, qrs, t = _picked(found[_P], p_of), found[_QRS], _picked(found[_T], t_of)
    fused_qrs = fused(qrs.onset, qrs.offset)
    median = median_beat(narrow, rate, beats, dominant, (p, qrs, t), fused_qrs.onset)
    return Delineation(
        sampling_rate=float(rate),
        samples=x.shape[1],
        usable=usable,
        beats=beats,
        dominant=dominant,
        p=p,
        qrs=qrs,
        t=t,
        blocked_p=_picked(found[_P], blocked),
        fused_p=fused(p.onset, p.offset),
        fused_qrs=fused_qrs,
        fused_t=fused(t.onset, t.offset),
        median=median,
    )


def _beat_positions(x: Signals, start: FloatArray, end: FloatArray) -> FloatArray:
    """One position per QRS complex: where the leads together are farthest from their level at its start."""
    if not len(start):
        return np.zeros(0)
    last = x.shape[1] - 1
    first = np.clip(start.round().astype(np.intp), 0, last)
    stop = np.clip(end.round().astype(np.intp), 0, last)
    at = np.minimum(first[:, None] + np.arange(int((stop - first).max()) + 1), stop[:, None])
    values = x[:, at]
    away = values - values[:, :, :1]
    return np.asarray(first + (away * away).sum(axis=0).argmax(axis=1), dtype=np.float64)


def _conducted(
    p: tuple[FloatArray, FloatArray, FloatArray], q_start: FloatArray, length: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Index of each beat's P wave (-1 for none), and of the P waves that no QRS complex follows in time."""
    start, end, _ = p
    of_beat = np.full(len(q_start), -1, dtype=np.intp)
    beat = np.searchsorted(q_start, (start + end) / 2)
    known = beat < len(q_start)
    gap = np.where(known, q_start[np.minimum(beat, len(q_start) - 1)] - end, np.inf) if len(q_start) else end * np.inf
    near = known & (gap <= _CONDUCTED * RATE_HZ)
    of_beat[beat[near]] = np.flatnonzero(near)  # the last P wave before a beat is its own
    # After the last whole P wave the recording may have ended before its QRS complex came.
    seen = np.flatnonzero(end + _CONDUCTED * RATE_HZ < length)
    return of_beat, np.setdiff1d(seen, of_beat)


def _repolarisation(
    t: tuple[FloatArray, FloatArray, FloatArray], q_start: FloatArray, q_end: FloatArray
) -> npt.NDArray[np.intp]:
    """Index of each beat's T wave (-1 for none): the one that the leads agree on most, where there are several."""
    start, end, agreement = t
    of_beat = np.full(len(q_start), -1, dtype=np.intp)
    beat = np.searchsorted(q_start, (start + end) / 2) - 1
    near = (beat >= 0) & (start - q_end[np.maximum(beat, 0)] <= _REPOLARISED * RATE_HZ) if len(q_end) else beat < -1
    order = np.flatnonzero(near)[np.argsort((agreement * (end - start))[near], kind="stable")]
    of_beat[beat[order]] = order
    return of_beat


def _picked(wave: WaveMarks, index: npt.NDArray[np.intp]) -> WaveMarks:
    """The waves at ``index``; NaN where it is -1."""
    if not wave.onset.shape[1]:
        nothing = np.full((len(wave.onset), len(index)), np.nan)
        return WaveMarks(nothing, nothing.copy(), nothing.copy())
    return WaveMarks(
        *(np.where(index >= 0, mark[:, np.maximum(index, 0)], np.nan) for mark in (wave.onset, wave.peak, wave.offset))
    )


def _nothing(x: FloatArray, rate: float, usable: npt.NDArray[np.bool_]) -> Delineation:
    """The delineation of a recording without a single usable lead."""
    empty = np.zeros((len(x), 0))
    none = WaveMarks(empty, empty, empty)
    fused_none = fused(empty, empty)
    return Delineation(
        sampling_rate=float(rate),
        samples=x.shape[1],
        usable=usable,
        beats=np.zeros(0),
        dominant=np.zeros(0, dtype=bool),
        p=none,
        qrs=none,
        t=none,
        blocked_p=none,
        fused_p=fused_none,
        fused_qrs=fused_none,
        fused_t=fused_none,
        median=None,
    )
