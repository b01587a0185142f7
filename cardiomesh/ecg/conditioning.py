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
MODEL_RATE_HZ: Final = 100
WINDOW_SECONDS: Final = 10.0
WINDOW_SAMPLES: Final = 1000
#: Monitoring band (AHA 2007, Kligfield et al., part I): slow drift below and muscle and mains above are removed.
PASS_BAND_HZ: Final = (0.5, 40.0)
_FILTER_ORDER: Final = 2

FloatArray = npt.NDArray[np.floating]


@lru_cache(maxsize=64)
def _resampler(sampling_rate: float) -> tuple[int, int, npt.NDArray[np.float64]]:
    """Up factor, down factor and the anti-alias FIR for one source rate (Hz); designed once."""
    ratio = Fraction(MODEL_RATE_HZ / sampling_rate).limit_denominator(2000)
    up, down = ratio.numerator, ratio.denominator
    if up == down:
        return 1, 1, np.ones(1)
    widest = max(up, down)
    taps = signal.firwin(2 * 10 * widest + 1, 1.0 / widest, window=("kaiser", 5.0))
    return up, down, np.asarray(taps, dtype=np.float64)


@lru_cache(maxsize=1)
def _band() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The band-pass as second-order sections, and its state after a long constant input of 1."""
    sos = np.asarray(signal.butter(_FILTER_ORDER, PASS_BAND_HZ, btype="bandpass", fs=MODEL_RATE_HZ, output="sos"))
    return sos, np.asarray(signal.sosfilt_zi(sos))[:, None, :]


def _decimate(x: npt.NDArray[np.float64], down: int, taps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """``scipy.signal.resample_poly(x, 1, down, window=taps, padtype="line")`` in half the time.

    The samples are taken as blocks of ``down``, so that all products come from one matrix multiplication.
    """
    leads, length = x.shape
    out = -(-length // down)
    blocks = -(-len(taps) // down)
    first = x[:, :1]
    slope = (x[:, -1:] - first) * (length / (length - 1))
    padded = np.zeros((leads, (out + blocks - 1) * down))
    start = len(taps) // 2
    padded[:, start : start + length] = x - (first + slope * (np.arange(length) / length))
    kernel = np.zeros((blocks, down))
    kernel.reshape(-1)[: len(taps)] = taps[::-1]
    products = kernel @ padded.reshape(leads, -1, down).transpose(0, 2, 1)  # [leads, blocks, out + blocks - 1]
    y = first + slope * (np.arange(out) / out)
    for block in range(blocks):
        y += products[:, block, block : block + out]
    return np.asarray(y)


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
    x = x - x.mean(axis=-1, keepdims=True)
    up, down, taps = _resampler(float(sampling_rate))
    if up == 1 and down > 1 and len(taps) <= x.shape[-1]:
        x = _decimate(x, down, taps)
    elif (up, down) != (1, 1):
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
