"""Recordings of made-up hearts: the same beat, its own intervals, its own noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.conditioning import condition
from preprocessor.fingerprint import Fingerprint, fingerprint

RATE = 500.0
Array = npt.NDArray[np.float64]


def recording(seed: int, *, seconds: float = 12.0, jitter: float = 0.03, noise: float = 0.02) -> Array:
    """``[12, n]`` millivolts at 500 Hz; ``jitter`` is the SD of the intervals around 0.8 s."""
    random = np.random.default_rng(seed)
    gains = np.linspace(0.4, 1.2, 12)[:, None]
    time = np.arange(round(seconds * RATE)) / RATE
    beats = np.cumsum(0.8 + jitter * random.standard_normal(round(seconds / 0.8)))
    x = np.zeros((12, len(time)))
    for beat in beats:
        for at, width, height in ((-0.16, 0.02, 0.1), (0.0, 0.01, 1.0), (0.03, 0.01, -0.3), (0.25, 0.05, 0.3)):
            x += gains * height * np.exp(-0.5 * ((time - beat - at) / width) ** 2)
    return x + noise * random.standard_normal(x.shape)


def known_by(millivolts: Array, rate: float = RATE) -> Fingerprint:
    """The fingerprint of a recording."""
    return fingerprint(condition(millivolts, rate))
