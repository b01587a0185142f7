"""By what a recording is known again in another container, trimmed or resampled.

The intervals between a heart's beats are never quite the same twice, and neither is the way in which one beat differs
from the one before: noise, breathing, ectopic beats. Both survive another container, another rate and lost seconds at
either end. A patient's shape of the beat is in neither, so that two recordings of one patient are told apart.

* A *landmark* is a hash of two successive intervals, rounded on one of two grids that lie half a step apart: an
  interval on the edge of one grid is in the middle of the other. As with landmarks in sound (Wang, ISMIR 2003) one that
  agrees finds a candidate in one look-up, however many recordings there are.
* A beat's *code* is the interval to the next beat (16 bits, ms) and the signs of 48 random projections of what changes
  between the two (Charikar, STOC 2002): the share of bits in which two codes agree grows with the correlation.

Everything is computed on the conditioned signal: 100 Hz, 0.5-40 Hz, millivolts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks, resample_poly

from cardiomesh.ecg.conditioning import MODEL_RATE_HZ

__all__ = ["GRIDS", "Fingerprint", "fingerprint"]

Array = npt.NDArray[np.float64]

#: Beats are at least so far apart (s); a peak of steepness counts from this share of the usual one.
_APART: Final = 0.25
_STEEP: Final = 0.4
#: Part of a beat that places it, and part that is compared, around its steepest point (s).
_PLACED: Final = (-0.08, 0.08)
_COMPARED: Final = (-0.20, 0.40)
#: Beats are placed on a grid so much finer than the model's: a lost millisecond shifts all of its samples.
_FINER: Final = 5
_FINE_HZ: Final = _FINER * MODEL_RATE_HZ
#: Fine samples by which a beat may lie off its steepest point.
_REACH: Final = 3 * _FINER
_STEP_MS: Final = 8.0
GRIDS: Final = (0.0, 0.5)
_BITS: Final = 48
#: A minute of tachycardia; the start of a recording says enough.
_MOST_BEATS: Final = 128
_FEWEST_BEATS: Final = 4
_SEED: Final = b"cardiomesh.fingerprint.v1"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Landmarks, 64 bits each, and the codes of the beats in order of time."""

    landmarks: tuple[int, ...]
    beats: tuple[int, ...]


def fingerprint(conditioned: npt.NDArray[np.floating]) -> Fingerprint:
    """Of a conditioned signal ``[12, n]``; empty where there are too few beats."""
    x = np.asarray(conditioned, dtype=np.float64)
    fine = resample_poly(x, _FINER, 1, axis=1)
    places = _places(x, fine)[: _MOST_BEATS + 1]
    if len(places) < _FEWEST_BEATS:
        return Fingerprint((), ())
    intervals = np.diff(places) * (1000.0 / _FINE_HZ)
    changes = np.diff(_segments(fine, places), axis=0).reshape(len(intervals), -1)
    signs = (changes @ _projections(changes.shape[1])) > 0
    weights = 1 << np.arange(_BITS, dtype=np.uint64)
    codes = [
        min(round(interval), 0xFFFF) << _BITS | int(code)
        for interval, code in zip(intervals, (signs * weights).sum(axis=1), strict=True)
    ]
    landmarks = {_landmark(grid, pair) for grid in GRIDS for pair in pairwise(intervals)}
    return Fingerprint(tuple(sorted(landmarks)), tuple(codes))


def _places(x: Array, fine: Array) -> Array:
    """When the beats are, in samples of ``fine`` and to a fraction of one: where each is most like the typical one."""
    peaks = _FINER * _steepest(x)
    first, last = (round(edge * _FINE_HZ) for edge in _PLACED)
    before, after = (round(edge * _FINE_HZ) for edge in _COMPARED)
    peaks = peaks[(peaks + before - _REACH >= 0) & (peaks + after + _REACH + 1 < fine.shape[1])]
    if not len(peaks):
        return np.empty(0)
    around = fine[:, peaks[:, None] + np.arange(first - _REACH, last + _REACH + 1)].transpose(1, 0, 2)
    typical = np.median(around, axis=0)[:, _REACH:-_REACH]
    size = typical.shape[1]
    lags = range(2 * _REACH + 1)
    likeness = np.stack([(around[:, :, lag : lag + size] * typical).sum(axis=(1, 2)) for lag in lags], axis=1)
    best = likeness.argmax(axis=1).clip(1, 2 * _REACH - 1)
    left, here, right = (likeness[np.arange(len(peaks)), best + step] for step in (-1, 0, 1))
    bend = left - 2 * here + right
    vertex = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, 1.0), 0.0)
    return np.asarray(peaks + best - _REACH + vertex.clip(-1, 1))


def _steepest(x: Array) -> npt.NDArray[np.intp]:
    """The samples in which all leads together are steepest, one for each beat."""
    steepness = np.sqrt((np.gradient(x, axis=1) ** 2).sum(axis=0))
    steepness = np.convolve(steepness, np.ones(7) / 7, mode="same")
    peaks, _ = find_peaks(steepness, distance=round(_APART * MODEL_RATE_HZ))
    strong = np.sort(steepness[peaks])[::-1][: max(3, round(x.shape[1] / MODEL_RATE_HZ))]
    return np.asarray(peaks[steepness[peaks] >= _STEEP * np.median(strong)] if len(peaks) else peaks, dtype=np.intp)


def _segments(fine: Array, places: Array) -> Array:
    """Each beat at steps of 20 ms from its own place, smoothed over 50 ms, each lead about its own straight line.

    The line takes away what a lost second changes: the slow end of the filter. ``[beats, 12, samples]``.
    """
    steps = np.arange(round(_COMPARED[0] * MODEL_RATE_HZ), round(_COMPARED[1] * MODEL_RATE_HZ) + 1)
    at = places[:, None] + _FINER * steps
    whole = np.floor(at).astype(int).clip(0, fine.shape[1] - 2)
    part = at - whole
    found = (fine[:, whole] * (1 - part) + fine[:, whole + 1] * part).transpose(1, 0, 2)
    time = np.linspace(-1.0, 1.0, found.shape[2])
    slope = (found * time).sum(axis=2, keepdims=True) / (time**2).sum()
    found = found - found.mean(axis=2, keepdims=True) - slope * time
    return np.asarray(uniform_filter1d(found, 5, axis=2)[:, :, ::2])


@lru_cache(maxsize=2)
def _projections(size: int) -> Array:
    """±1 ``[size, bits]``, the same on every machine for ever."""
    bits = hashlib.shake_256(_SEED).digest(-(-size * _BITS // 8))
    signs = np.unpackbits(np.frombuffer(bits, np.uint8))[: size * _BITS]
    return np.asarray(signs.reshape(size, _BITS) * 2.0 - 1.0)


def _landmark(grid: float, pair: tuple[float, float]) -> int:
    cells = tuple(int(np.floor(interval / _STEP_MS + grid)) for interval in pair)
    return int.from_bytes(hashlib.blake2b(repr((grid, *cells)).encode(), digest_size=8).digest(), "big")
