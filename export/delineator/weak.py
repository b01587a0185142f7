"""PTB-XL as training material: its rhythm statements say whether there are P waves, the network itself says where.

LUDB's hundred records hold too few fast rhythms, long PR intervals and wide QRS complexes; a network that knows
nothing else misses their P waves. In a sinus rhythm there is one before every regular beat at the same distance, so
the answers for all beats and leads are averaged and the likeliest place is taken, however faint. In atrial
fibrillation and flutter there is none. Only presence is taught this way: what lies around a wave that the network did
not see by itself is left out, so that LUDB's marks alone teach where a wave begins and ends.

PTB-XL: Wagner et al., Scientific Data 2020 (CC BY 4.0); folds 1 to 8 only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.delineation.network import RATE_HZ, Segmenter, standardise
from cardiomesh.ecg.delineation.pipeline import assembled, usable_leads
from export.delineator.data import IGNORED, Example
from export.errors import DataError
from export.training.ptbxl import read_ptbxl

__all__ = ["GROUPS", "Rhythms", "group_of", "labelled", "load"]

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]
#: Number and signals ``[12, n]`` mV of the records of each group.
Rhythms = Mapping[str, Sequence[tuple[int, FloatArray]]]

#: Groups of records, and how often each is drawn. An invented P wave is the worse fault: most are without.
GROUPS: Final = {"block": 0.2, "fast": 0.2, "wide": 0.15, "sinus": 0.15, "fibrillation": 0.3}
#: Folds whose rhythm statements are used: 9 chooses and 10 tests.
FOLDS: Final = range(1, 9)
RATE: Final = 500.0
#: Most records of one group: the full PTB-XL has thousands of sinus rhythms.
_MOST: Final = 250
_SINUS: Final = {"SR", "SBRAD", "STACH", "SARRH", "1AVB"}
#: Rhythms in which nobody knows where P waves stand.
_UNCLEAR: Final = {"PACE", "SVTAC", "SVARR", "PSVT", "2AVB", "3AVB", "WPW", "BIGU", "TRIGU"}
_NONE, _P, _QRS, _T = range(4)
#: Answers of the network below this are not taken for a label.
_SURE: Final = 0.7
#: Slower and larger copies of a record, in which a network used to slow rhythms sees more: (slower by, larger by).
_VIEWS: Final = ((1.0, 1.0), (1.25, 1.0), (1.5, 1.0), (1.25, 2.0), (1.5, 2.0))
#: A P wave begins no earlier than this before the QRS complex, and ends no later than that (s).
_EARLIEST, _LATEST = 0.45, 0.03
#: In first-degree block the P wave ends at least this long before (s).
_LATEST_IN_BLOCK: Final = 0.1
#: The likeliest place is no place if it is less likely than this, or shorter or longer than a P wave (s).
_FAINTEST, _SHORTEST, _LONGEST = 0.04, 0.04, 0.16
#: Around a P wave that was only found by averaging nothing is taught (s).
_MARGIN: Final = 0.036


def group_of(codes: Collection[str]) -> str | None:
    """The group of a record with these SCP codes; None where its rhythm says nothing sure about P waves."""
    found = set(codes)
    if found & _UNCLEAR:
        return None
    if found & {"AFIB", "AFLT"}:
        return None if found & _SINUS else "fibrillation"
    if not found & _SINUS:
        return None
    if "1AVB" in found:
        return "block"
    if "STACH" in found:
        return "fast"
    return "wide" if found & {"CLBBB", "CRBBB", "IVCD", "ILBBB"} else "sinus"


def load(folder: Path) -> Rhythms:
    """The first records of each group in PTB-XL's training folds."""
    table, signals = read_ptbxl(folder)
    rhythms: dict[str, list[tuple[int, FloatArray]]] = {name: [] for name in GROUPS}
    for number, fold, codes, (millivolts, rate) in zip(
        table["ecg_id"], table["strat_fold"], table["codes"], signals, strict=True
    ):
        group = group_of(codes) if fold in FOLDS else None
        if group is not None and len(rhythms[group]) < _MOST:
            if rate != RATE:
                raise DataError(f"delineation is learnt at {RATE:g} Hz, not at {rate:g}: give PTB-XL's records500")
            rhythms[group].append((int(number), millivolts))
    return rhythms


def labelled(rhythms: Rhythms, teacher: Segmenter) -> dict[str, list[Example]]:
    """The records of each group with labels; a record in which too few beats are found is left out."""
    return {
        group: [e for number, x in records if (e := _labelled(number, x, group, teacher)) is not None]
        for group, records in rhythms.items()
    }


def _labelled(number: int, millivolts: FloatArray, group: str, teacher: Segmenter) -> Example | None:
    """One record with the teacher's labels, corrected by what its rhythm says; None where no beat was found."""
    usable = usable_leads(millivolts)
    if not usable.all():
        return None
    ecg = standardise(millivolts, RATE)
    p = teacher.probabilities(ecg)
    if group == "fibrillation":
        p[_P] = 0.0
        p /= p.sum(axis=0)
    labels = np.where(p.max(axis=0) >= _SURE, p.argmax(axis=0), IGNORED).astype(np.int8)
    if group != "fibrillation":
        found = assembled(millivolts, RATE, usable, p)
        onset = found.fused_qrs.onset * (RATE_HZ / RATE)
        if np.count_nonzero(np.isfinite(onset)) < 3:
            return None
        _place_p_waves(labels, p, ecg, onset, teacher, _LATEST_IN_BLOCK if group == "block" else _LATEST)
    return Example(number, ecg, labels)


def _regular(onset: FloatArray) -> FloatArray:
    """The QRS onsets that follow the last one after the usual time."""
    rr = np.diff(onset)
    typical = np.nanmedian(rr)
    return np.asarray(onset[1:][np.abs(rr - typical) < 0.15 * typical])


def _evidence(
    ecg: npt.NDArray[np.float32], onset: FloatArray, lags: FloatArray, teacher: Segmenter
) -> Iterator[FloatArray]:
    """Mean probability of P over the beats at each lag from the QRS onset, ``[leads, lags]``, in each view."""
    whole = np.arange(ecg.shape[1])
    for slower, larger in _VIEWS:
        stretched = np.arange(int(len(whole) * slower)) / slower
        view = np.stack([np.interp(stretched, whole, lead) for lead in ecg]).astype(np.float32) * np.float32(larger)
        p = teacher.probabilities(view)[_P]
        at = np.clip(np.round((onset[:, None] + lags) * slower).astype(int), 0, p.shape[1] - 1)
        yield p[:, at].mean(axis=1, dtype=np.float64)


def _place(evidence: FloatArray, lags: FloatArray) -> tuple[float, float] | None:
    """First and last lag of the likeliest P wave, where the leads' mean exceeds half its maximum."""
    mean = evidence.mean(axis=0)
    peak = int(mean.argmax())
    if mean[peak] < _FAINTEST or peak in (0, len(lags) - 1):
        return None
    low = np.flatnonzero(mean < mean[peak] / 2)
    first = int(low[low < peak].max(initial=-1)) + 1
    last = int(low[low > peak].min(initial=len(lags))) - 1
    length = (last - first) / RATE_HZ
    return (float(lags[first]), float(lags[last])) if _SHORTEST <= length <= _LONGEST else None


def _place_p_waves(
    labels: Labels,
    p: npt.NDArray[np.float32],
    ecg: npt.NDArray[np.float32],
    onset: FloatArray,
    teacher: Segmenter,
    latest: float,
) -> None:
    """Write a P wave before each regular beat into ``labels``; where it cannot be placed, nothing is taught there."""
    regular = _regular(onset)
    if len(regular) < 2:
        return
    rr = float(np.nanmedian(np.diff(onset))) / RATE_HZ
    lags = np.arange(-round(min(_EARLIEST, rr - 0.2) * RATE_HZ), -round(latest * RATE_HZ) + 1, dtype=np.float64)
    if len(lags) < 10:
        return
    evidence = max(_evidence(ecg, regular, lags, teacher), key=lambda e: float(e.mean(axis=0).max()))
    place = _place(evidence, lags)
    margin = round(_MARGIN * RATE_HZ)
    for start in regular:
        if place is None:
            first, last = round(start + lags[0]), round(start + lags[-1])
            stretch = labels[:, max(first, 0) : max(last, 0)]
            stretch[stretch != _QRS] = IGNORED
            continue
        first, last = round(start + place[0]), round(start + place[1])
        if first - margin < 0:
            continue
        seen = p[_P, :, first : last + 1].mean(axis=1) > 0.5  # these leads know the wave and its ends by themselves
        shown = evidence.max(axis=1) >= 0.5 * evidence.mean(axis=0).max()
        labels[~seen, first - margin : last + margin + 1] = IGNORED
        labels[shown & ~seen, first : last + 1] = _P
