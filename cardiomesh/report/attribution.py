"""The attribution as a soft glow behind the trace."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.report.content import Attribution, Sheet
from cardiomesh.report.layout import (
    GRID_BOTTOM,
    GRID_HEIGHT,
    GRID_LEFT,
    GRID_WIDTH,
    MM_PER_SECOND,
    TRACE_LEFT,
    Placement,
    Trace,
)

__all__ = ["COLOUR", "FLOOR", "MAX_ALPHA", "glow", "lead_shares", "opacity"]

Array = npt.NDArray[np.float64]

#: One blue hue: apart from the red grid for every common colour vision deficiency (cf. Wong, Nat Methods 2011).
COLOUR: Final = (0.0, 0.36, 0.72)
#: Opacity of the strongest influence: the grid still shows through, the black trace stays the darkest thing.
MAX_ALPHA: Final = 0.62
#: Below this share of the scale nothing is drawn.
FLOOR: Final = 0.15
#: The scale ends at this percentile over all leads, so that one spike cannot turn the rest pale.
_SCALE_PERCENTILE: Final = 99.0
_PIXELS_PER_MM: Final = 4
_SMOOTHING_SECONDS: Final = 0.03
_HALO_MM: Final = 1.1


def _meant(attribution: Attribution) -> Array:
    """What the meaning asks for, ``[leads, m]``, never negative."""
    values = np.asarray(attribution.values, dtype=np.float64)
    return np.abs(values) if attribution.meaning == "magnitude" else np.clip(values, 0.0, None)


def _drawn(attribution: Attribution) -> Array:
    """The same, smoothed over time with a Gaussian of 30 ms."""
    values = _meant(attribution)
    sigma = _SMOOTHING_SECONDS * attribution.sampling_rate
    reach = int(np.ceil(3 * sigma))
    if reach < 1:
        return values
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(values, ((0, 0), (reach, reach)), mode="edge")
    return np.stack([np.convolve(row, kernel, mode="valid") for row in padded])


def opacity(attribution: Attribution) -> Array:
    """``[leads, m]`` between 0 and 1: linear above the floor, 1 from the 99th percentile of all leads on."""
    drawn = _drawn(attribution)
    scale = float(np.percentile(drawn, _SCALE_PERCENTILE)) or float(drawn.max())
    if scale <= 0.0:
        return np.zeros_like(drawn)
    return np.clip((drawn / scale - FLOOR) / (1.0 - FLOOR), 0.0, 1.0)


def lead_shares(sheet: Sheet, attribution: Attribution) -> list[tuple[str, float]]:
    """Each recorded lead's share of the drawn influence before scaling, largest first; empty when there is none."""
    rows = zip(sheet.leads, _meant(attribution), strict=True)
    sums = {lead: float(row.sum()) for lead, row in rows if sheet.lead(lead) is not None}
    total = sum(sums.values())
    if total <= 0.0:
        return []
    return sorted(((lead, value / total) for lead, value in sums.items()), key=lambda item: -item[1])


def _halo(trace: Trace, strength: Array, columns: Array, rows: Array) -> Array:
    """Opacity ``[rows, columns]`` around one trace: full where the pen passes, falling off within a few mm."""
    known = ~np.isnan(trace.y)
    x, y = trace.x[known], trace.y[known]
    # Between two samples the pen covers all heights in between; a column takes the extremes of its samples and
    # of the curve at its two edges, so that sparse signals leave no holes.
    half = 0.5 / _PIXELS_PER_MM
    high = np.maximum(np.interp(columns - half, x, y), np.interp(columns + half, x, y))
    low = np.minimum(np.interp(columns - half, x, y), np.interp(columns + half, x, y))
    index = np.clip(((x - (columns[0] - half)) * _PIXELS_PER_MM).astype(int), 0, len(columns) - 1)
    np.maximum.at(high, index, y)
    np.minimum.at(low, index, y)
    distance = np.maximum(np.maximum(low[None] - rows[:, None], rows[:, None] - high[None]), 0.0)
    halo = np.pad(strength[None] * np.exp(-0.5 * (distance / _HALO_MM) ** 4), ((0, 0), (1, 1)), mode="edge")
    smooth: Array = (halo[:, :-2] + 2.0 * halo[:, 1:-1] + halo[:, 2:]) / 4.0  # noise on the trace leaves no streaks
    return smooth


def glow(sheet: Sheet, placement: Placement) -> npt.NDArray[np.uint8]:
    """RGBA picture of the whole grid area, first row on top, four pixels per millimetre."""
    attribution = sheet.attribution
    height, width = int(GRID_HEIGHT * _PIXELS_PER_MM), int(GRID_WIDTH * _PIXELS_PER_MM)
    alpha = np.zeros((height, width))
    if attribution is not None:
        strengths = opacity(attribution)
        times = attribution.start + np.arange(strengths.shape[1]) / attribution.sampling_rate
        centres = GRID_LEFT + (np.arange(width) + 0.5) / _PIXELS_PER_MM
        rows = GRID_BOTTOM + GRID_HEIGHT - (np.arange(height) + 0.5) / _PIXELS_PER_MM
        for trace in placement.traces:
            if np.isnan(trace.y).all():
                continue
            first = TRACE_LEFT + MM_PER_SECOND * trace.slot.start
            last = TRACE_LEFT + MM_PER_SECOND * trace.slot.stop
            inside = np.flatnonzero((centres >= first) & (centres < last))
            seconds = (centres[inside] - TRACE_LEFT) / MM_PER_SECOND
            row = strengths[sheet.leads.index(trace.slot.lead)]
            strength = np.interp(seconds, times, row, left=0.0, right=0.0)
            part = slice(inside[0], inside[-1] + 1)
            alpha[:, part] = np.maximum(alpha[:, part], _halo(trace, strength, centres[inside], rows))
    picture = np.empty((height, width, 4), dtype=np.uint8)
    picture[..., :3] = np.round(255 * np.array(COLOUR)).astype(np.uint8)
    picture[..., 3] = np.round(255 * MAX_ALPHA * alpha).astype(np.uint8)
    return picture
