"""One ECG-shaped recording, the same on every machine: nobody's, so it may be sent anywhere."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["RATE_HZ", "known_ecg"]

RATE_HZ: Final = 500
_SECONDS: Final = 10
_BEATS_PER_MINUTE: Final = 72
#: P, Q, R, S and T of a textbook beat in lead II: seconds after the R wave, width in seconds, millivolts.
_WAVES: Final = (
    (-0.18, 0.025, 0.15),
    (-0.03, 0.010, -0.10),
    (0.0, 0.011, 1.1),
    (0.03, 0.011, -0.25),
    (0.28, 0.05, 0.30),
)
#: Leads I and III as shares of II, and V1 to V6; the other limb leads follow by Einthoven and Goldberger.
_LEAD_I, _LEAD_III = 0.6, 0.4
_CHEST: Final = (-0.45, 0.35, 0.7, 1.1, 1.0, 0.8)


def known_ecg() -> npt.NDArray[np.float32]:
    """Ten seconds of sinus rhythm in the standard lead order, ``[12, 5000]`` mV at 500 Hz, with a little noise."""
    time = np.arange(_SECONDS * RATE_HZ) / RATE_HZ
    beat = (time + 0.4) % (60 / _BEATS_PER_MINUTE) - 0.4
    two = sum((height * np.exp(-0.5 * ((beat - at) / width) ** 2) for at, width, height in _WAVES), np.zeros_like(beat))
    one, three = _LEAD_I * two, _LEAD_III * two
    leads = [one, two, three, -(one + two) / 2, (one - three) / 2, (two + three) / 2, *(k * two for k in _CHEST)]
    noise = np.random.default_rng(0).normal(0, 0.008, (12, time.size))
    return np.asarray(np.stack(leads) + noise, np.float32)
