"""Where the beats of a recording lie, and what an average heart would have written in their place."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.delineation import Delineation
from cardiomesh.ecg.leads import INDEPENDENT_LEADS, STANDARD_LEADS, derive_limb_leads
from explainer.beat_basis import BEFORE, SAMPLES, beat_basis
from explainer.model import FloatArray

__all__ = ["INDEPENDENT_ROWS", "MIXING", "average_heart", "places"]

Array = npt.NDArray[np.float64]

#: Beats fade in and out over this many samples.
_FADE: Final = 6


def _mixing() -> Array:
    """Twelve leads from the eight independent ones, ``[12, 8]``."""
    unit = dict(zip(INDEPENDENT_LEADS, np.eye(len(INDEPENDENT_LEADS)), strict=True))
    every = {**unit, **derive_limb_leads(unit)}
    return np.stack([every[lead] for lead in STANDARD_LEADS])


#: Twelve leads from the eight independent ones, ``[12, 8]``.
MIXING: Final = _mixing()
INDEPENDENT_ROWS: Final = [STANDARD_LEADS.index(lead) for lead in INDEPENDENT_LEADS]


def places(d: Delineation) -> list[tuple[int, Array]]:
    """First sample and fade of each typical beat: full over the beat, gone where its neighbours begin."""
    found = []
    for k, position in enumerate(d.beats):
        if not d.dominant[k]:
            continue
        since = position - d.beats[k - 1] if k else np.inf
        until = d.beats[k + 1] - position if k + 1 < len(d.beats) else np.inf
        before = int(min(BEFORE, max(2 * _FADE, 0.4 * since)))
        after = int(min(SAMPLES - BEFORE, max(2 * _FADE, 0.6 * until)))
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(_FADE) + 0.5) / _FADE)
        weight = np.zeros(SAMPLES)
        weight[BEFORE - before : BEFORE + after] = 1.0
        weight[BEFORE - before : BEFORE - before + _FADE] = ramp
        weight[BEFORE + after - _FADE : BEFORE + after] = ramp[::-1]
        found.append((round(position) - BEFORE, weight))
    return found


def average_heart(baseline: FloatArray, d: Delineation) -> FloatArray:
    """The mean beat of the basis at each typical beat of ``d``, on ``baseline`` ``[12, samples]`` mV.

    Same rate and rhythm; no noise, no beats of another shape, nothing that is this heart's own.
    """
    mean = MIXING @ beat_basis().mean.reshape(len(INDEPENDENT_LEADS), SAMPLES)
    written = baseline.astype(np.float64)
    for start, weight in places(d):
        first, last = max(0, start), min(written.shape[1], start + SAMPLES)
        written[:, first:last] += (mean * weight)[:, first - start : last - start]
    return np.asarray(written, np.float32)
