"""From class probabilities per sample to waves per lead, and to the events that the leads agree on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.delineation.network import RATE_HZ

__all__ = ["LeadWaves", "events", "matched", "waves"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

#: Shortest P, QRS and T (s); shorter runs of a class are noise.
_SHORTEST: Final = {1: 0.032, 2: 0.028, 3: 0.06}
#: Shortest stretch on which the leads agree (s). No QRS complex is over in all leads within 50 ms (the shortest of
#: LUDB lasts 76 ms), but pacing spikes and steps of the baseline are.
_SHORTEST_EVENT: Final = {1: 0.032, 2: 0.052, 3: 0.06}
#: A wave that is interrupted for no longer than this (s) is one wave.
_GAP: Final = 0.032
#: An event is where the mean over leads of its class probability exceeds this. A P wave counts from a third on: in
#: most records some leads show none.
_AGREEMENT: Final = {1: 0.33, 2: 0.4, 3: 0.33}
#: A lead's wave belongs to an event when their middles are no farther apart than this (s).
_REACH: Final = {1: 0.1, 2: 0.1, 3: 0.16}


@dataclass(frozen=True, slots=True, eq=False)
class LeadWaves:
    """Waves of one class: lead index, first and last position in samples of 250 Hz with fractions, each ``[k]``."""

    lead: IntArray
    onset: FloatArray
    offset: FloatArray


def _runs(inside: npt.NDArray[np.bool_]) -> tuple[IntArray, IntArray, IntArray]:
    """Row, first and one-past-last index of each run of True in ``[rows, n]``."""
    # With a False at both ends of each row the runs of all rows begin and end by turns.
    padded = np.zeros((inside.shape[0], inside.shape[1] + 2), dtype=bool)
    padded[:, 1:-1] = inside
    flat = padded.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    row, first = np.divmod(edges[::2], padded.shape[1])
    return row, first, edges[1::2] - row * padded.shape[1]


def _joined(row: IntArray, first: IntArray, last: IntArray, gap: int) -> tuple[IntArray, IntArray, IntArray]:
    """Runs of a row that are at most ``gap`` samples apart become one."""
    if not len(row):
        return row, first, last
    apart = np.ones(len(row), dtype=bool)
    apart[1:] = (row[1:] != row[:-1]) | (first[1:] - last[:-1] > gap)
    starts = np.flatnonzero(apart)
    ends = np.append(starts[1:] - 1, len(row) - 1)
    return row[starts], first[starts], last[ends]


def _crossing(margin: npt.NDArray[np.float32], row: IntArray, outside: IntArray, inside: IntArray) -> FloatArray:
    """Where the margin crosses zero between two neighbouring samples; the edge itself at the ends of the signal."""
    n = margin.shape[1]
    low = margin[row, np.clip(outside, 0, n - 1)]
    high = margin[row, inside]
    share = np.where((low < 0) & (high > 0), high / np.maximum(high - low, 1e-9), 0.5)
    return np.asarray(inside + (outside - inside) * share, dtype=np.float64)


def waves(probability: npt.NDArray[np.float32], kind: int) -> LeadWaves:
    """The waves of class ``kind`` in ``[4, leads, n]``: where it is likelier than any other class."""
    own = probability[kind]
    others = [probability[other] for other in range(len(probability)) if other != kind]
    margin = own - np.maximum(np.maximum(others[0], others[1]), others[2])
    row, first, last = _joined(*_runs(margin > 0), round(_GAP * RATE_HZ))
    long = last - first >= _SHORTEST[kind] * RATE_HZ
    row, first, last = row[long], first[long], last[long]
    return LeadWaves(row, _crossing(margin, row, first - 1, first), _crossing(margin, row, last, last - 1))


def events(probability: npt.NDArray[np.float32], kind: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Start, end and mean agreement of each stretch on which the leads of ``[4, leads, n]`` agree, each ``[k]``."""
    agreement = probability[kind].mean(axis=0)
    _, first, last = _joined(*_runs((agreement > _AGREEMENT[kind])[None]), round(_GAP * RATE_HZ))
    long = last - first >= _SHORTEST_EVENT[kind] * RATE_HZ
    first, last = first[long], last[long]
    total = np.concatenate([[0.0], np.cumsum(agreement, dtype=np.float64)])
    return (
        first.astype(np.float64),
        (last - 1).astype(np.float64),
        np.asarray((total[last] - total[first]) / np.maximum(last - first, 1)),
    )


def matched(
    found: LeadWaves, start: FloatArray, end: FloatArray, leads: int, kind: int
) -> tuple[FloatArray, FloatArray]:
    """Onsets and offsets ``[leads, events]`` of the longest wave that each lead shows at each event; NaN for none."""
    onset = np.full((leads, len(start)), np.nan)
    offset = onset.copy()
    if not len(start) or not len(found.lead):
        return onset, offset
    middle = (start + end) / 2
    own = (found.onset + found.offset) / 2
    event = np.searchsorted((middle[1:] + middle[:-1]) / 2, own)
    near = np.abs(middle[event] - own) <= _REACH[kind] * RATE_HZ
    order = np.argsort(found.offset - found.onset, kind="stable")
    order = order[near[order]]
    onset[found.lead[order], event[order]] = found.onset[order]
    offset[found.lead[order], event[order]] = found.offset[order]
    return onset, offset
