"""The wave segmenter: a small 1-D U-Net that names every sample of every lead, run in NumPy.

Trained by ``export.delineator`` on LUDB ids 1-100, whose module ``network`` is the same graph in PyTorch. All leads
share the weights; at each resolution the mean over the leads is fed back to each of them. Any number of leads in any
order is understood; a lead of zeros is no signal and should be left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from importlib import resources
from typing import IO, Final

import numpy as np
import numpy.typing as npt
from scipy import signal

__all__ = ["CLASSES", "RATE_HZ", "Weights", "load_weights", "probabilities", "read_weights", "standardise"]

RATE_HZ: Final = 250
#: What a sample can belong to, in the order of the network's answer.
CLASSES: Final = ("none", "P", "QRS", "T")
_PASS_HZ: Final = (0.5, 45.0)
_LEVELS: Final = 5
_DILATIONS: Final = (2, 4)
#: The network halves 125 Hz frames four times: its input is a multiple of this.
_MULTIPLE: Final = 2 ** (_LEVELS - 1) * 2
#: Added to a lead's spread (mV), so that a nearly flat lead is not blown up into waves.
_LEAST_SPREAD: Final = 0.02
#: Numbers in the buffer of a convolution.
_BUFFER: Final = 160_000

Array = npt.NDArray[np.float32]


@lru_cache(maxsize=64)
def _resampler(sampling_rate: float) -> tuple[int, int, npt.NDArray[np.float64]]:
    """Up factor, down factor and the anti-alias FIR for one source rate (Hz)."""
    ratio = Fraction(RATE_HZ / sampling_rate).limit_denominator(2000)
    up, down = ratio.numerator, ratio.denominator
    rate = sampling_rate * up
    corner = min(_PASS_HZ[1], 0.45 * sampling_rate)
    taps = signal.firwin(2 * round(0.03 * rate) + 1, corner, window=("kaiser", 4.0), fs=rate)
    return up, down, np.asarray(taps, dtype=np.float64)


@lru_cache(maxsize=1)
def _high_pass() -> npt.NDArray[np.float64]:
    return np.asarray(signal.butter(2, _PASS_HZ[0], btype="highpass", fs=RATE_HZ, output="sos"))


def standardise(millivolts: npt.NDArray[np.floating], sampling_rate: float) -> Array:
    """``[leads, n]`` mV to the network's input at 250 Hz: 0.5-45 Hz, zero phase, each lead over its own spread."""
    x = np.asarray(millivolts, dtype=np.float64)
    up, down, taps = _resampler(float(sampling_rate))
    x = x - x.mean(axis=-1, keepdims=True)
    if up == down:  # resample_poly returns such a signal unfiltered
        edge = len(taps) // 2
        x = signal.oaconvolve(np.pad(x, ((0, 0), (edge, edge)), mode="edge"), taps[None], mode="valid", axes=1)
    else:
        x = signal.resample_poly(x, up, down, axis=-1, window=taps, padtype="line")
    x = signal.sosfiltfilt(_high_pass(), x, axis=-1)
    spread = np.sqrt((x * x).mean(axis=-1, keepdims=True))
    return np.asarray(x / (spread + _LEAST_SPREAD), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Kernels ``[taps · inputs, outputs]`` and biases ``[outputs]`` by layer name, batch normalisation folded in."""

    kernels: Mapping[str, Array]
    biases: Mapping[str, Array]
    provenance: Mapping[str, object]
    #: Each kernel with its bias as one more row: a column of ones then adds it within the matrix product.
    stacked: Mapping[str, Array] = field(init=False)

    def __post_init__(self) -> None:
        stacked = {name: np.vstack([kernel, self.biases[name]]) for name, kernel in self.kernels.items()}
        object.__setattr__(self, "stacked", stacked)


@lru_cache(maxsize=1)
def load_weights() -> Weights:
    """The weights that ship with the package."""
    with resources.files("cardiomesh.ecg.delineation").joinpath("weights.npz").open("rb") as file:
        return read_weights(file)


def read_weights(file: IO[bytes]) -> Weights:
    """Weights as ``export.delineator.weights`` writes them."""
    with np.load(file) as stored:
        kernels = {k.removesuffix(".kernel"): stored[k].astype(np.float32) for k in stored if k.endswith(".kernel")}
        biases = {k.removesuffix(".bias"): stored[k].astype(np.float32) for k in stored if k.endswith(".bias")}
        provenance = json.loads(str(stored["provenance"]))
    return Weights(kernels, biases, provenance)


def _convolve(x: Array, weights: Weights, layer: str, stride: int = 1, dilation: int = 1, relu: bool = True) -> Array:
    """A one-dimensional convolution of ``[rows, n, inputs]`` and its ReLU, as matrix products over a few rows each.

    A few, so that windows and answers stay in the cache: memory, not arithmetic, is what this network costs.
    """
    kernel = weights.stacked[layer]
    rows, n, inputs = x.shape
    width = len(kernel) - 1
    taps = width // inputs
    reach = dilation * (taps // 2)
    outputs = -(-n // stride)
    y = np.empty((rows, outputs, kernel.shape[1]), dtype=np.float32)
    count = max(1, min(rows, _BUFFER // (outputs * width)))
    padded = np.zeros((count, n + 2 * reach, inputs), dtype=np.float32)
    row, step, item = padded.strides
    windows = np.lib.stride_tricks.as_strided(
        padded, (count, outputs, taps, inputs), (row, stride * step, dilation * step, item), writeable=False
    )
    columns = np.ones((count, outputs, width + 1), dtype=np.float32)
    unfolded = columns[:, :, :width].reshape(count, outputs, taps, inputs)
    for first in range(0, rows, count):
        part = slice(first, min(first + count, rows))
        used = part.stop - first
        padded[:used, reach : reach + n] = x[part]
        unfolded[...] = windows
        flat = y[part].reshape(-1, kernel.shape[1])
        np.matmul(columns[:used].reshape(-1, width + 1), kernel, out=flat)
        if relu:
            np.maximum(flat, 0, out=flat)
    return y


def probabilities(standardised: Array, weights: Weights | None = None) -> Array:
    """Probability of each of ``CLASSES`` for every sample: ``[leads, n]`` at 250 Hz to ``[leads, n, 4]``."""
    w = weights or load_weights()
    leads, n = standardised.shape
    x = np.pad(standardised, ((0, 0), (0, -n % _MULTIPLE)), mode="edge").reshape(leads, -1, 2)
    skips = []
    for level in range(_LEVELS):
        x = _convolve(x, w, f"down.{level}", stride=2 if level else 1)
        if level < _LEVELS - 1:
            x = _convolve(x, w, f"encode.{level}")
        x += _convolve(x.mean(axis=0, keepdims=True), w, f"shared.{level}", relu=False)
        skips.append(np.maximum(x, 0, out=x))
    for index, dilation in enumerate(_DILATIONS):
        x = x + _convolve(x, w, f"context.{index}", dilation=dilation)
    for level in reversed(range(_LEVELS - 1)):
        up = _convolve(x, w, f"up.{level}", relu=False)
        x = skips[level]
        x.reshape(leads, -1, 2, x.shape[2])[...] += up[:, :, None]
        x = _convolve(x, w, f"decode.{level}")
    logits = _convolve(x, w, "head", relu=False).reshape(leads, -1, 4, 2).swapaxes(2, 3).reshape(leads, -1, 4)[:, :n]
    logits -= logits.max(axis=2, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=2, keepdims=True)
    return np.asarray(logits)
