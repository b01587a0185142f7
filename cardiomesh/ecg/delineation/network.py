"""The wave segmenter: a small 1-D U-Net that names every sample of every lead.

Trained by ``export.delineator``, whose module ``network`` is the graph. All leads share the weights; at each
resolution the mean over the leads is fed back to each of them. Any number of leads in any order is understood; a lead
of zeros is no signal and should be left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from importlib import resources
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime
from scipy import signal

__all__ = ["CLASSES", "RATE_HZ", "Segmenter", "shipped", "standardise"]

RATE_HZ: Final = 250
#: What a sample can belong to, in the order of the network's answer.
CLASSES: Final = ("none", "P", "QRS", "T")
_PASS_HZ: Final = (0.5, 45.0)
#: The network halves 125 Hz frames four times: its input is a multiple of this.
_MULTIPLE: Final = 2**4 * 2
#: Added to a lead's spread (mV), so that a nearly flat lead is not blown up into waves.
_LEAST_SPREAD: Final = 0.02

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


class Segmenter:
    """A trained network, run by ONNX Runtime on one thread; may be shared between threads."""

    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        # One recording is 5 ms of work: other cores are for other recordings.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    @property
    def provenance(self) -> Mapping[str, object]:
        """What it was trained on, and how."""
        found: dict[str, object] = json.loads(self._session.get_modelmeta().custom_metadata_map["provenance"])
        return found

    def probabilities(self, standardised: Array) -> Array:
        """Probability of each of ``CLASSES`` for every sample: ``[leads, n]`` at 250 Hz to ``[4, leads, n]``."""
        leads, n = standardised.shape
        padded = np.pad(standardised, ((0, 0), (0, -n % _MULTIPLE)), mode="edge")
        (frames,) = self._session.run(None, {"ecg": padded})
        by_phase = frames.transpose(1, 0, 2, 3).copy()
        by_phase -= by_phase.max(axis=0)
        np.exp(by_phase, out=by_phase)
        by_phase /= by_phase.sum(axis=0)
        p = np.empty((len(CLASSES), leads, padded.shape[1]), dtype=np.float32)
        p[:, :, 0::2], p[:, :, 1::2] = by_phase[:, :, 0], by_phase[:, :, 1]
        return np.asarray(p[:, :, :n])


@lru_cache(maxsize=1)
def shipped() -> Segmenter:
    """The network that ships with the package."""
    return Segmenter(resources.files("cardiomesh.ecg.delineation").joinpath("segmenter.onnx").read_bytes())
