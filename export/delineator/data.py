"""LUDB as training material, and what is done to it so that one hundred records teach more than themselves.

LUDB: Kalyakulina et al., IEEE Access 8 (2020); PhysioNet, Open Data Commons Attribution License 1.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import wfdb
from scipy import signal

from cardiomesh.ecg.delineation.network import RATE_HZ, standardise

__all__ = ["IGNORED", "LEADS", "Example", "augmented", "load"]

LEADS = ("i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6")
CLASSES = {"p": 1, "N": 2, "t": 3}
#: Label of samples outside the annotated range.
IGNORED = -1
#: Share of the crops from which one beat is taken out.
_DROP = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One record: ``ecg`` ``[12, n]`` as the network takes it, ``labels`` ``[12, n]`` of class or ``IGNORED``."""

    number: int
    ecg: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int8]


def _labels(path: Path, lead: str, rate: float, length: int) -> npt.NDArray[np.int8]:
    """Class of every 250 Hz sample of one lead."""
    marks = wfdb.rdann(str(path), lead)
    at = np.asarray(marks.sample) * (RATE_HZ / rate)
    labels = np.full(length, IGNORED, dtype=np.int8)
    if not len(at):
        return labels
    labels[int(np.ceil(at[0])) : int(np.floor(at[-1])) + 1] = 0
    for k, symbol in enumerate(marks.symbol):
        if symbol not in CLASSES:
            continue
        start = at[k - 1] if k and marks.symbol[k - 1] == "(" else None
        end = at[k + 1] if k + 1 < len(at) and marks.symbol[k + 1] == ")" else None
        if start is None or end is None:
            # Half a wave is marked: what lies around it is unknown.
            labels[int(at[k]) - 20 : int(at[k]) + 20] = IGNORED
            continue
        labels[int(np.ceil(start)) : int(np.floor(end)) + 1] = CLASSES[symbol]
    return labels


def load(folder: Path, numbers: range) -> list[Example]:
    """The records ``numbers`` of LUDB."""
    examples = []
    for number in numbers:
        path = folder / str(number)
        record = wfdb.rdrecord(str(path))
        ecg = standardise(np.ascontiguousarray(record.p_signal.T), float(record.fs))
        labels = np.stack([_labels(path, lead, record.fs, ecg.shape[1]) for lead in LEADS])
        examples.append(Example(number, ecg, labels))
    return examples


def _stretched(
    example: Example, factor: float, start: float, length: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
    """``length`` samples from ``start`` on, time running ``factor`` times as fast."""
    at = start + np.arange(length) * factor
    whole = np.arange(example.ecg.shape[1])
    ecg = np.stack([np.interp(at, whole, lead) for lead in example.ecg]).astype(np.float32)
    labels = example.labels[:, np.clip(at.round().astype(int), 0, len(whole) - 1)]
    return ecg, np.where(at > whole[-1], np.int8(IGNORED), labels)


def _dropped(ecg: npt.NDArray[np.float32], labels: npt.NDArray[np.int8], rng: np.random.Generator) -> None:
    """Take one QRS complex and its T wave out in place: what is left is a P wave that was not conducted.

    LUDB holds too few of these for a network to learn that a P wave may stand alone.
    """
    starts = np.flatnonzero(np.diff((labels == CLASSES["N"]).mean(axis=0) > 0.25, prepend=False))[::2]
    if len(starts) < 3:
        return
    beat = int(rng.integers(1, len(starts) - 1))
    first = max(int(starts[beat]) - round(0.02 * RATE_HZ), 1)
    t_wave = (labels[:, first : int(starts[beat + 1]) - round(0.1 * RATE_HZ)] == CLASSES["t"]).any(axis=0)
    if not t_wave.any():
        return
    last = first + int(np.flatnonzero(t_wave)[-1]) + round(0.02 * RATE_HZ)
    if (labels[:, first:last] == CLASSES["p"]).any():
        return  # the next P wave leans on this T wave
    share = np.linspace(0, 1, last - first, dtype=np.float32)
    before, after = (ecg[:, at - 2 : at + 3].mean(axis=1, keepdims=True) for at in (max(first, 2), last))
    ecg[:, first:last] = before + (after - before) * share
    labels[:, first:last] = 0


def augmented(
    example: Example, length: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
    """A random stretch of a record: other rate, amplitude, polarity, noise, wander, mains, lost beats and leads."""
    factor = float(rng.uniform(0.8, 1.25))
    room = example.ecg.shape[1] - length * factor
    ecg, labels = _stretched(example, factor, float(rng.uniform(0, max(room, 1))), length)
    leads = len(ecg)
    if rng.random() < _DROP:
        _dropped(ecg, labels, rng)
    ecg *= rng.uniform(0.7, 1.4, (leads, 1)).astype(np.float32) * np.where(rng.random((leads, 1)) < 0.15, -1, 1)
    t = np.arange(length) / RATE_HZ
    noise = rng.normal(size=(leads, length))
    if rng.random() < 0.5:
        noise = signal.lfilter([1], [1, -0.9], noise) * 0.5
    ecg += (noise * rng.exponential(0.03, (leads, 1))).astype(np.float32)
    wander = np.sin(2 * np.pi * rng.uniform(0.1, 0.6) * t + rng.uniform(0, 6, (leads, 1)))
    ecg += (wander * rng.exponential(0.05, (leads, 1))).astype(np.float32)
    ecg += (np.sin(2 * np.pi * rng.choice([50, 60]) * t) * rng.exponential(0.01, (leads, 1))).astype(np.float32)
    if rng.random() < 0.3:
        lost = rng.random(leads) < 0.2
        ecg[lost] = 0
        labels = np.where(lost[:, None], IGNORED, labels)
    if rng.random() < 0.3:
        keep = rng.permutation(leads)
        ecg, labels = ecg[keep], labels[keep]
    return ecg, labels
