"""Normal recordings with one finding drawn into them: the model must see it, and the explanation must point to it.

Each plant changes every beat in the same way, in stated segments and leads, keeps the lead relations, and ends
smoothly. It counts only where it makes the served model call one of its findings that was absent before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.delineation import Delineation
from cardiomesh.ecg.leads import STANDARD_LEADS
from explainer.model import FloatArray

__all__ = ["PLANTS", "Plant", "planted"]

Array = npt.NDArray[np.float64]
#: Adds one beat's change (mV) to ``[leads, samples]``; gets the window, and QRS onset, offset, T onset, offset.
Draw = Callable[[Array, Array, tuple[int, int, int, int]], None]


@dataclass(frozen=True, slots=True)
class Plant:
    """One finding that can be drawn."""

    name: str
    #: Where it lies.
    segments: frozenset[str]
    leads: frozenset[str]
    #: Findings of the model that it may cause.
    codes: tuple[str, ...]
    draw: Draw


def _row(lead: str) -> int:
    return STANDARD_LEADS.index(lead)


def _bump(start: int, stop: int) -> Array:
    """A smooth hill over ``[start, stop)``, 1 in the middle."""
    length = max(stop - start, 2)
    return np.sin(np.pi * (np.arange(length) + 0.5) / length)


def _add(change: Array, lead: str, start: int, values: Array) -> None:
    stop = min(start + len(values), change.shape[1])
    change[_row(lead), start:stop] += values[: stop - start]


def _st_elevation(change: Array, window: Array, marks: tuple[int, int, int, int]) -> None:
    _, q_off, _, t_off = marks
    for lead, height in {"V1": 0.15, "V2": 0.35, "V3": 0.4, "V4": 0.3}.items():
        _add(change, lead, q_off, height * _bump(q_off, t_off) ** 0.5)


def _t_inversion(change: Array, window: Array, marks: tuple[int, int, int, int]) -> None:
    _, _, t_on, t_off = marks
    for lead in ("V3", "V4", "V5", "V6"):
        part = window[_row(lead), t_on:t_off]
        if part.size > 2:
            line = np.linspace(part[0], part[-1], part.size)
            _add(change, lead, t_on, -2.0 * (part - line))


def _hypertrophy(change: Array, window: Array, marks: tuple[int, int, int, int]) -> None:
    q_on, q_off, _, _ = marks
    for lead in ("V1", "V2", "V3", "V4", "V5", "V6"):
        part = window[_row(lead), q_on:q_off]
        if part.size > 2:
            _add(change, lead, q_on, 1.2 * (part - np.linspace(part[0], part[-1], part.size)))


def _bundle_branch_block(change: Array, window: Array, marks: tuple[int, int, int, int]) -> None:
    """A broad terminal force: rightwards and forwards, 80 ms from the middle of the QRS complex on."""
    q_on, q_off, _, _ = marks
    start = (q_on + q_off) // 2
    shape = _bump(start, start + 9)
    for lead, height in {"V1": 0.7, "V2": 0.5, "I": -0.4, "V5": -0.35, "V6": -0.4}.items():
        _add(change, lead, start, height * shape)


PLANTS: Final = (
    Plant(
        "ST elevation V1-V4",
        frozenset({"ST", "T"}),
        frozenset({"V1", "V2", "V3", "V4"}),
        ("MI", "AMI", "ASMI", "STTC", "ISC_"),
        _st_elevation,
    ),
    Plant(
        "T inversion V3-V6",
        frozenset({"T"}),
        frozenset({"V3", "V4", "V5", "V6"}),
        ("STTC", "NDT", "INVT", "ISC_", "ISCAL", "NT_", "LOWT"),
        _t_inversion,
    ),
    Plant(
        "high chest voltages",
        frozenset({"QRS"}),
        frozenset({"V1", "V2", "V3", "V4", "V5", "V6"}),
        ("HYP", "LVH", "VCLVH"),
        _hypertrophy,
    ),
    Plant(
        "late rightward force",
        frozenset({"QRS", "ST"}),
        frozenset({"V1", "V2", "V5", "V6", "I", "III", "aVR", "aVL", "aVF"}),
        ("CD", "CRBBB", "IRBBB", "IVCD"),
        _bundle_branch_block,
    ),
)


def planted(plant: Plant, window: FloatArray, d: Delineation) -> FloatArray:
    """``[leads, samples]`` in standard order with the finding in every beat that shows a T wave."""
    change = np.zeros(window.shape)
    wide = window.astype(np.float64)
    marks = np.stack([d.fused_qrs.onset, d.fused_qrs.offset, d.fused_t.onset, d.fused_t.offset])
    for column in marks.T:
        if np.isfinite(column).all():
            q_on, q_off, t_on, t_off = (max(0, round(float(v))) for v in column)
            plant.draw(change, wide, (q_on, q_off, t_on, min(t_off, window.shape[1])))
    one, two = change[_row("I")], change[_row("II")]
    for lead, values in {
        "III": two - one,
        "aVR": -(one + two) / 2,
        "aVL": one - two / 2,
        "aVF": two - one / 2,
    }.items():
        change[_row(lead)] = values
    return np.asarray(wide + change, np.float32)
