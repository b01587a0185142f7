"""Where everything lies on the A4 landscape page, in millimetres from its lower left corner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.report.content import Grade, Sheet

__all__ = ["PAGE", "Placement", "Slot", "Trace", "place"]

Array = npt.NDArray[np.float64]

#: ISO 216 A4, landscape.
PAGE: Final = (297.0, 210.0)
#: 54 by 27 squares of 5 mm.
GRID_LEFT, GRID_BOTTOM, GRID_WIDTH, GRID_HEIGHT = 13.5, 18.5, 270.0, 135.0
GRID_RIGHT: Final = GRID_LEFT + GRID_WIDTH
GRID_TOP: Final = GRID_BOTTOM + GRID_HEIGHT
#: Paper speed and nominal gain (AHA/ACCF/HRS 2007, Kligfield et al., part I).
MM_PER_SECOND: Final = 25.0
GAINS: Final = (10.0, 5.0, 2.5)
#: The calibration pulse stands left of this line, the traces right of it.
TRACE_LEFT: Final = GRID_LEFT + 15.0
SHOWN_SECONDS: Final = 10.0
ROWS: Final = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
#: The rhythm strip is lead II, or the first of these that was recorded.
RHYTHM_CHOICES: Final = ("II", "V1", "V5", "I", "III", "aVF", "V2", "V3", "V4", "V6", "aVL", "aVR")

#: Clear paper kept between neighbouring traces and at the grid's edges.
_CLEARANCE: Final = 1.2
#: Width of the time bins in which two rows are compared: half a millimetre of paper.
_BIN_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Slot:
    """One lead's place on the paper: a row (0 on top) and the seconds it shows."""

    lead: str
    row: int
    start: float
    stop: float


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One slot with its curve in page millimetres; ``x`` and ``y`` are empty where nothing was recorded."""

    slot: Slot
    x: Array
    y: Array
    clipped: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """The decided gain (mm/mV), the baseline of each row and every trace."""

    gain: float
    baselines: tuple[float, ...]
    column_seconds: float
    shown_seconds: float
    traces: tuple[Trace, ...]

    @property
    def clipped(self) -> tuple[str, ...]:
        """Leads whose curve leaves its place and is cut off there, in standard order."""
        cut = {t.slot.lead for t in self.traces if t.clipped}
        return tuple(lead for lead in STANDARD_LEADS if lead in cut)


def _slots(sheet: Sheet) -> tuple[list[Slot], float, float]:
    shown = min(SHOWN_SECONDS, sheet.duration)
    column = shown / 4  # shorter recordings get narrower columns, so that every lead shows as much
    slots = [
        Slot(lead, row, c * column, (c + 1) * column) for row, leads in enumerate(ROWS) for c, lead in enumerate(leads)
    ]
    rhythm = next((lead for lead in RHYTHM_CHOICES if sheet.lead(lead) is not None), RHYTHM_CHOICES[0])
    return [*slots, Slot(rhythm, len(ROWS), 0.0, shown)], column, shown


def _cut(sheet: Sheet, slot: Slot) -> tuple[Array, Array]:
    """Seconds and millivolts of one slot."""
    samples = sheet.lead(slot.lead)
    if samples is None:
        return np.empty(0), np.empty(0)
    first, last = (round(t * sheet.sampling_rate) for t in (slot.start, slot.stop))
    return np.arange(first, min(last, len(samples))) / sheet.sampling_rate, samples[first:last]


def _envelopes(curves: list[tuple[Array, Array]], slots: list[Slot]) -> tuple[Array, Array]:
    """Highest and lowest millivolts ``[rows, bins]`` of each row in each bin, widened by one bin."""
    bins = round(SHOWN_SECONDS / _BIN_SECONDS) + 1
    high, low = np.zeros((2, len(ROWS) + 1, bins + 2))
    for (seconds, millivolts), slot in zip(curves, slots, strict=True):
        known = ~np.isnan(millivolts)
        where = (seconds[known] / _BIN_SECONDS).astype(int) + 1
        for shift in (-1, 0, 1):
            np.maximum.at(high[slot.row], where + shift, millivolts[known])
            np.minimum.at(low[slot.row], where + shift, millivolts[known])
    return high, low


def _needs(high: Array, low: Array, gain: float) -> Array:
    """Millimetres needed above the first row, between the rows, and below the last."""
    inner = [(high[r + 1] - low[r]).max() for r in range(len(high) - 1)]
    pulse = np.array([*[1.0] * len(high), 0.0])  # the calibration pulse of 1 mV stands on every row
    needs: Array = np.maximum(np.array([high[0].max(), *inner, -low[-1].min()]), pulse) * gain + _CLEARANCE
    return needs


def _spread(needs: Array) -> Array:
    """Gaps that fill the grid's height: as even as the needs allow."""
    even = GRID_HEIGHT / (len(ROWS) + 1)
    wanted = np.array([0.55, *[1.0] * (len(needs) - 2), 0.45]) * even
    small, large = 0.0, 1.0
    for _ in range(40):  # the largest common scale of the wanted gaps that still leaves every need met
        middle = (small + large) / 2
        if np.maximum(needs, middle * wanted).sum() > GRID_HEIGHT:
            large = middle
        else:
            small = middle
    return np.maximum(needs, small * wanted)


def place(sheet: Sheet) -> Placement:
    """Choose the gain and the baselines, and put every lead into its slot.

    The highest gain at which no trace runs into its neighbour is used for all leads. Leads graded unfit have no
    say in that and are clipped to their place; if the lowest gain does not suffice, every lead is.
    """
    slots, column, shown = _slots(sheet)
    curves = [_cut(sheet, slot) for slot in slots]
    fit = [_is_fit(sheet, slot.lead) for slot in slots]
    high, low = _envelopes(
        [c for c, ok in zip(curves, fit, strict=True) if ok], [s for s, ok in zip(slots, fit, strict=True) if ok]
    )
    gain = next((g for g in GAINS if _needs(high, low, g).sum() <= GRID_HEIGHT), GAINS[-1])
    needs = _needs(high, low, gain)
    crowded = bool(needs.sum() > GRID_HEIGHT)
    gaps = _spread(np.zeros_like(needs) if crowded else needs)
    baselines = GRID_TOP - np.cumsum(gaps)[:-1]
    baselines = GRID_BOTTOM + np.round(baselines - GRID_BOTTOM)  # on a millimetre line
    edges = np.array([GRID_TOP, *baselines, GRID_BOTTOM])

    traces = []
    for slot, (seconds, millivolts), ok in zip(slots, curves, fit, strict=True):
        y = baselines[slot.row] + gain * millivolts
        clipped = False
        if crowded or not ok:
            above, here, below = edges[slot.row : slot.row + 3]
            top = here + (above - here) / (1 if slot.row == 0 else 2) - _CLEARANCE / 2
            bottom = here - (here - below) / (1 if slot.row == len(ROWS) else 2) + _CLEARANCE / 2
            cut = np.clip(y, bottom, top)
            clipped = bool(np.any(cut[~np.isnan(y)] != y[~np.isnan(y)]))
            y = cut
        traces.append(Trace(slot, TRACE_LEFT + MM_PER_SECOND * seconds, y, clipped))
    return Placement(gain, tuple(map(float, baselines)), column, shown, tuple(traces))


def _is_fit(sheet: Sheet, lead: str) -> bool:
    quality = sheet.quality.of(lead) if sheet.quality else None
    return quality is None or quality.grade is not Grade.REJECT
