"""From a recording in millivolts to the tensor every model is trained and served on.

One function, used by the training code and by the preprocessor alike, so that a model never sees in service
what it did not see in training. Change anything here and ``PREPROCESSING_VERSION`` changes with it: the
version is part of each model card, of each cache key and of each answer.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import signal

from cardiomesh.ecg.tensor import MODEL_RATE_HZ, WINDOW_SAMPLES, WINDOW_SECONDS

__all__ = [
    "MODEL_RATE_HZ",
    "PASS_BAND_HZ",
    "PREPROCESSING_VERSION",
    "WINDOW_SAMPLES",
    "WINDOW_SECONDS",
    "condition",
    "window",
]

PREPROCESSING_VERSION: Final = "cm1-100hz-0.5-40hz-mv"
#: Monitoring band (AHA 2007, Kligfield et al., part I): slow drift below and muscle and mains above are removed.
PASS_BAND_HZ: Final = (0.5, 40.0)
_FILTER_ORDER: Final = 2
_SPAN: Final = 10  # samples at 100 Hz that the anti-alias FIR reaches to either side, as scipy chooses
_OUTPUTS: Final = 20  # of one matrix product: fewer cost calls, more cost multiplications by zero

FloatArray = npt.NDArray[np.floating]


@lru_cache(maxsize=64)
def _resampler(sampling_rate: float) -> tuple[int, int, npt.NDArray[np.float64]]:
    """Up factor, down factor and the anti-alias FIR for one source rate (Hz); designed once."""
    ratio = Fraction(MODEL_RATE_HZ / sampling_rate).limit_denominator(2000)
    up, down = ratio.numerator, ratio.denominator
    if up == down:
        return 1, 1, np.ones(1)
    widest = max(up, down)
    taps = signal.firwin(2 * _SPAN * widest + 1, 1.0 / widest, window=("kaiser", 5.0))
    return up, down, np.asarray(taps, dtype=np.float64)


@lru_cache(maxsize=1)
def _band() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The band-pass as second-order sections, and its state after a long constant input of 1."""
    sos = np.asarray(signal.butter(_FILTER_ORDER, PASS_BAND_HZ, btype="bandpass", fs=MODEL_RATE_HZ, output="sos"))
    return sos, np.asarray(signal.sosfilt_zi(sos))[:, None, :]


@lru_cache(maxsize=64)
def _decimator(down: int) -> npt.NDArray[np.float64]:
    """The anti-alias FIR as banded matrices ``[k, B · down, B]``: B outputs are k neighbouring blocks times these."""
    taps = _resampler(float(MODEL_RATE_HZ * down))[2]
    block = _OUTPUTS * down
    count = -(-(len(taps) - down) // block) + 1
    bands = np.zeros((count * block, _OUTPUTS))
    for k in range(_OUTPUTS):
        bands[k * down : k * down + len(taps), k] = taps[::-1]
    return bands.reshape(count, block, _OUTPUTS)


def _fir(x: npt.NDArray[np.float64], down: int) -> npt.NDArray[np.float64]:
    """Filter ``[leads, n]``, zero beyond both ends, and keep every ``down``-th: one matrix product for all leads."""
    bands = _decimator(down)
    out = -(-x.shape[1] // down)
    count = -(-out // _OUTPUTS)
    padded = np.zeros((len(x), (count + len(bands) - 1) * bands.shape[1]))
    start = _SPAN * down
    padded[:, start : start + x.shape[1]] = x
    blocks = padded.reshape(len(x), -1, bands.shape[1])
    y = blocks[:, :count] @ bands[0]
    for k in range(1, len(bands)):
        y += blocks[:, k : k + count] @ bands[k]
    return np.asarray(y.reshape(len(x), -1)[:, :out])


@lru_cache(maxsize=64)
def _ends(length: int, down: int) -> npt.NDArray[np.float64]:
    """What ``_fir`` takes away, at both ends, from a constant 1 and from a line of 0 to 1; ``[2, out]``."""
    out = -(-length // down)
    before = _fir(np.stack([np.ones(length), np.arange(length) / length]), down)
    return np.asarray(np.stack([np.ones(out), np.arange(out) / out]) - before)


def _decimate(x: npt.NDArray[np.float64], down: int) -> npt.NDArray[np.float64]:
    """``scipy.signal.resample_poly(x, 1, down, window=taps, padtype="line")`` in a third of the time.

    Beyond its ends the signal goes on along the line from its first to its last sample. As all of this is linear,
    the line need not be taken off and put back: what the ends lack of it is added.
    """
    first, length = x[:, :1], x.shape[1]
    slope = (x[:, -1:] - first) * (length / (length - 1))
    return _fir(x, down) + np.hstack([first, slope]) @ _ends(length, down)


def _zero_phase(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """``scipy.signal.sosfiltfilt(band, x)``: odd extension at both ends, forwards, backwards."""
    sos, state = _band()
    edge = 3 * (2 * len(sos) + 1)
    head = 2 * x[:, :1] - x[:, edge:0:-1]
    tail = 2 * x[:, -1:] - x[:, -2 : -edge - 2 : -1]
    y = np.concatenate([head, x, tail], axis=1)
    for _ in range(2):
        y, _state = signal.sosfilt(sos, y, axis=-1, zi=state * y[None, :, :1])
        y = y[:, ::-1]
    return np.asarray(y[:, edge:-edge])


def condition(millivolts: FloatArray, sampling_rate: float) -> npt.NDArray[np.float32]:
    """Resample to 100 Hz (polyphase) and keep 0.5–40 Hz with zero phase.

    ``millivolts`` is ``[leads, n]`` at ``sampling_rate`` Hz and finite; the answer is float32
    ``[leads, round(n · 100 / rate)]`` in millivolts. Each lead is treated alone: no lead's answer depends on
    another's, and nothing is scaled by the signal's own amplitude, which carries hypertrophy.
    """
    x = np.asarray(millivolts, dtype=np.float64)
    up, down, taps = _resampler(float(sampling_rate))
    if up == 1 and down > 1 and len(taps) <= x.shape[-1]:
        x = _decimate(x, down)
    elif (up, down) != (1, 1):
        x = x - x.mean(axis=-1, keepdims=True)  # resample_poly's ripple is in proportion to the offset
        x = signal.resample_poly(x, up, down, axis=-1, window=taps, padtype="line")
    return np.ascontiguousarray(_zero_phase(x), dtype=np.float32)


def window(conditioned: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], tuple[float, ...]]:
    """Cut ``[leads, m]`` at 100 Hz into evenly spaced ten-second windows that cover all of it.

    Returns float32 ``[windows, leads, 1000]`` and each window's start in seconds. Windows overlap where the
    length is not a multiple of ten seconds; a recording up to 2 % short of ten seconds is padded with its
    edge values.
    """
    length = conditioned.shape[-1]
    if length < WINDOW_SAMPLES:
        short = WINDOW_SAMPLES - length
        conditioned = np.pad(conditioned, ((0, 0), (0, short)), mode="edge")
        length = WINDOW_SAMPLES
    count = -(-length // WINDOW_SAMPLES)
    starts = np.linspace(0, length - WINDOW_SAMPLES, count).round().astype(int)
    stacked = np.stack([conditioned[:, s : s + WINDOW_SAMPLES] for s in starts])
    return np.ascontiguousarray(stacked), tuple(float(s) / MODEL_RATE_HZ for s in starts)
