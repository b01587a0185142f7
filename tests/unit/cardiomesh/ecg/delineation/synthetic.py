"""An ECG whose waves begin and end where we say: half-period cosine bumps with finite support."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Volts = npt.NDArray[np.float64]

#: Gain of each lead, I II III aVR aVL aVF V1-V6, for (P, q, R, s, T); limb leads obey Einthoven and Goldberger.
_ONE = np.array([0.07, -0.04, 0.65, -0.10, 0.20])
_TWO = np.array([0.14, -0.08, 1.10, -0.15, 0.32])
_CHEST = np.array(
    [
        [0.05, 0.00, 0.25, -0.90, -0.08],
        [0.06, 0.00, 0.45, -1.30, 0.45],
        [0.07, 0.00, 0.80, -0.80, 0.50],
        [0.07, -0.05, 1.40, -0.40, 0.45],
        [0.07, -0.08, 1.30, -0.20, 0.38],
        [0.07, -0.08, 1.00, -0.10, 0.28],
    ]
)
GAINS = np.vstack(
    [_ONE, _TWO, _TWO - _ONE, -(_ONE + _TWO) / 2, _ONE - _TWO / 2, _TWO - _ONE / 2, _CHEST],
)
#: Start and end of P, q, R, s and T from the QRS onset on (s).
TIMES = np.array([(-0.16, -0.055), (0.0, 0.022), (0.018, 0.066), (0.06, 0.092), (0.2, 0.385)])
PR_MS, QRS_MS, QT_MS = 160.0, 92.0, 385.0


@dataclass(frozen=True)
class Synthetic:
    """Signals ``[12, n]`` mV and where each QRS complex begins, in samples."""

    millivolts: Volts
    rate: float
    qrs_onset: Volts


def ecg(
    rate: float = 500.0,
    seconds: float = 10.0,
    rr: npt.NDArray[np.float64] | float = 0.84,
    p: float = 1.0,
    noise: float = 0.008,
    seed: int = 5,
) -> Synthetic:
    """Beats every ``rr`` seconds (one number, or one per beat), P waves scaled by ``p``, white noise in mV."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    steps = np.full(int(seconds / rr) + 1, rr) if isinstance(rr, float) else rr
    starts = 0.4 + np.concatenate([[0.0], np.cumsum(steps)])
    starts = starts[starts < seconds - 0.45]
    x = noise * rng.standard_normal((12, len(t)))
    for start in starts:
        for k, (begin, end) in enumerate(TIMES):
            phase = (t - start - begin) / (end - begin)
            bump = np.where(
                (phase > 0) & (phase < 1), np.sin(np.pi * np.clip(phase, 0, 1)) ** (1 if 0 < k < 4 else 2), 0
            )
            x += GAINS[:, k, None] * (p if k == 0 else 1.0) * bump
    return Synthetic(x, rate, starts * rate)
