"""The segments of the beat in the model's own tensor: what every method speaks of instead of samples.

Delineated here, on the tensor that is explained and at its rate, so that a segment's name and the samples it stands
for cannot come from two signals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.delineation import Delineation, delineate
from cardiomesh.ecg.leads import STANDARD_LEADS
from explainer.beats import average_heart
from explainer.model import FloatArray

__all__ = ["SEGMENTS", "TERRITORIES", "Segmentation", "Territory", "segment", "shares"]

#: P wave, its end to the QRS complex, QRS complex, its end to the T wave, T wave, and all the rest of the cycle.
SEGMENTS: Final = ("P", "PR", "QRS", "ST", "T", "TP")
_REST: Final = SEGMENTS.index("TP")
#: ST segment of a beat whose T wave cannot be seen (s): J to J + 80 ms.
_ST_WITHOUT_T: Final = 0.08
#: A lead's zero is its mean over this stretch before the QRS complex (s), as in the median beat.
_LEVEL: Final = 0.02


@dataclass(frozen=True, slots=True)
class Territory:
    """Leads that look at the same wall of the heart."""

    name: str
    name_pt: str
    leads: tuple[str, ...]


#: aVR is left out: it follows from I and II.
TERRITORIES: Final = (
    Territory("septal", "septal", ("V1", "V2")),
    Territory("anterior", "anterior", ("V3", "V4")),
    Territory("lateral", "lateral", ("I", "aVL", "V5", "V6")),
    Territory("inferior", "inferior", ("II", "III", "aVF")),
)


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """Which segment each sample belongs to, and what each lead would read without it."""

    #: Index into ``SEGMENTS``, ``[windows, samples]``.
    labels: npt.NDArray[np.int8]
    #: What an average heart would have written at the same rate and rhythm, mV, ``[windows, leads, samples]``; the
    #: line through each lead's levels just before its QRS complexes where the leads are not the standard twelve.
    reference: FloatArray
    #: One per window.
    delineations: tuple[Delineation, ...]

    @property
    def beats(self) -> int:
        """Beats in all windows; without one there are no segments to speak of."""
        return sum(len(d.beats) for d in self.delineations)

    @property
    def present(self) -> tuple[int, ...]:
        """The segments that occur, by index."""
        return tuple(int(k) for k in np.unique(self.labels))


def segment(ecg: FloatArray, sampling_rate: float) -> Segmentation:
    """Segments of ``[windows, leads, samples]`` mV at ``sampling_rate`` Hz, the model's input."""
    delineations = tuple(delineate(window, sampling_rate) for window in ecg)
    labels = np.stack([_labels(d) for d in delineations])
    lines = [_baseline(window, d) for window, d in zip(ecg, delineations, strict=True)]
    if ecg.shape[1] == len(STANDARD_LEADS):
        lines = [average_heart(line, d) for line, d in zip(lines, delineations, strict=True)]
    return Segmentation(labels, np.stack(lines), delineations)


def _labels(d: Delineation) -> npt.NDArray[np.int8]:
    found = np.full(d.samples, _REST, np.int8)

    def mark(name: str, start: float, stop: float) -> None:
        if np.isfinite(start) and np.isfinite(stop):
            first, last = max(0, round(start)), min(d.samples, round(stop))
            found[first:last] = SEGMENTS.index(name)

    for k in range(len(d.beats)):
        q_on, q_off = d.fused_qrs.onset[k], d.fused_qrs.offset[k]
        t_on, t_off = d.fused_t.onset[k], d.fused_t.offset[k]
        mark("T", t_on, t_off)
        mark("ST", q_off, t_on if np.isfinite(t_on) else q_off + _ST_WITHOUT_T * d.sampling_rate)
        mark("PR", d.fused_p.offset[k], q_on)
        mark("P", d.fused_p.onset[k], d.fused_p.offset[k])
    for k in range(len(d.beats)):  # last, so that no neighbour's wave overwrites a QRS complex
        mark("QRS", d.fused_qrs.onset[k], d.fused_qrs.offset[k])
    return found


def _baseline(window: FloatArray, d: Delineation) -> FloatArray:
    starts = d.fused_qrs.onset[np.isfinite(d.fused_qrs.onset)].round().astype(np.intp)
    if not len(starts):
        return np.zeros_like(window)
    width = max(1, round(_LEVEL * d.sampling_rate))
    at = np.clip(starts[:, None] - np.arange(1, width + 1), 0, d.samples - 1)
    levels = window[:, at].mean(axis=2)
    time = np.arange(d.samples)
    return np.stack([np.interp(time, starts, row) for row in levels]).astype(np.float32)


def shares(values: npt.NDArray[np.floating], labels: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
    """The positive part of ``[windows, leads, samples]`` per segment and lead over its sum, ``[segments, leads]``.

    Zeros where nothing is positive.
    """
    positive = np.maximum(values, 0).astype(np.float64)
    inside = np.stack([labels == k for k in range(len(SEGMENTS))])  # [segments, windows, samples]
    sums = np.einsum("wls,kws->kl", positive, inside, optimize=True)
    total = sums.sum()
    return np.asarray(sums / total if total > 0 else sums)
